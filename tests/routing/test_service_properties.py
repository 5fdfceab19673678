"""Whatever orchestrators and clients do, each request ends once and leaves nothing behind.

The service as it runs, without sockets: several requests at once over a few offers of one seat each. Every
attempt meets a fate of the example's, and every client takes its answer, hangs up in the middle, or is gone
while somebody is still being asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrators.core.outcome import Fault
from orchestrators.core.price import Price
from orchestrators.scoreboard import Scoreboard
from orchestrators.upstream.base import Call, PartlyAnswered, Target, UpstreamError
from routing.allowances import Allowances
from routing.core.refusal import Refusal
from routing.core.trace import trace_of
from routing.counts import Counts
from routing.delivery import BrokenOff, Delivery
from routing.replay import ReplayBody, ReplayMemory
from routing.service import RoutingService
from routing.table import ClientEntry, Lane, OfferEntry, RoutingTable
from routing.trip import InferenceCall
from tests.routing.test_candidates import WARM
from tests.support.outcomes import BOUNDED

POLICY = replace(WARM, retry_timeout=0.2, attempt_timeout=0.01, cold_grace=0.0, seat_wait=0.05)
PIECE = b"." * 70_000  # more than is read before the commit point
ACME = ClientEntry(1, "acme", None, None, None, None)

# What an orchestrator does: an answer (status, body, whether it breaks off after it), a fault, or nothing.
ANSWERS = {
    "good": (200, b"{}", False),
    "streams": (200, PIECE, False),
    "breaks early": (200, b"{", True),
    "breaks late": (200, PIECE, True),
    "wrong": (200, b'{"error": "no"}', False),
    "the client's": (422, b"{}", False),
    "error": (500, b"no", False),
    "full": (429, b"", False),
    "own words": (503, b"No capacity available for capability\n", False),
    "out of memory": (500, b"CUDA out of memory", False),
}
fates = st.sampled_from([*ANSWERS, *Fault, "hangs", "bug"])
# A number: the client is gone after so many turns of the loop.
manners = st.sampled_from(["takes it", "takes it", "hangs up"]) | st.integers(1, 30)


class Bug(Exception):
    """Of ours."""


class Reply:
    metadata = ""

    def __init__(self, status: int, body: bytes, breaks: bool) -> None:
        self.status, self.headers = status, {"content-type": "application/json"}
        self.length = None if breaks else len(body)
        self._body, self._breaks = body, breaks
        self.complete = self.closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        half = len(self._body) // 2
        for piece in (self._body[:half], self._body[half:]):
            await asyncio.sleep(0)
            yield piece
        if self._breaks:
            raise PartlyAnswered(Fault.CUT_OFF)
        self.complete = True

    def at_hand(self) -> bytes | None:
        return None

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.chunks()])

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class Fleet:
    """Every protocol's upstream; the fates are dealt to the attempts in their order, then all is well."""

    fates: list[Any]
    replies: list[Reply] = field(default_factory=list)

    def __getitem__(self, protocol: str) -> Fleet:
        return self

    async def send(self, target: Target, call: Call) -> Reply:
        fate = self.fates.pop(0) if self.fates else "good"
        await asyncio.sleep(0)
        if isinstance(fate, Fault):
            raise UpstreamError(fate)
        if fate == "hangs":
            await asyncio.Event().wait()
        if fate == "bug":
            raise Bug
        self.replies.append(Reply(*ANSWERS[fate]))
        return self.replies[-1]


class Books:
    """The journal, kept in memory."""

    def __init__(self) -> None:
        self.closed: list[str] = []

    def append(self, record: Any) -> None:
        self.closed.append(record.request_id)


class Scene:
    def __init__(self, fates: list[Any], offers: int) -> None:
        self.fleet, self.books = Fleet(fates), Books()
        self.board = Scoreboard(lambda: 0.0)
        self.allowances = Allowances(cast(Any, None))  # no budgets, no purses
        self.service = RoutingService(
            cast(Any, self.fleet),
            self.board,
            cast(Any, self.books),
            self.allowances,
            Counts(10),
            longest_answer=1.0,
            draw=lambda: 0.0,
        )
        entries = tuple(_offer(number) for number in range(1, offers + 1))
        self.table = RoutingTable(1, {}, {}, {}, {}, {})
        self.lane = Lane(POLICY, entries, (), None, True)
        self.memory = ReplayMemory(1000)

    async def request(self, number: int, manner: str | int) -> None:
        asked = asyncio.create_task(self.service.infer(self._call(str(number))))
        if isinstance(manner, int):
            for _ in range(manner):
                await asyncio.sleep(0)
            asked.cancel()
        try:
            result = await asked
        except (asyncio.CancelledError, Bug):
            return
        if isinstance(result, Delivery):
            await _taken(result, whole=manner != "hangs up")
        else:
            assert isinstance(result, Refusal)

    def _call(self, request_id: str) -> InferenceCall:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        return InferenceCall(
            request_id=request_id,
            client=ACME,
            table=self.table,
            lane=self.lane,
            worker_path=b"run",
            content_type="application/json",
            body=ReplayBody(receive, length=2, limit=100, memory=self.memory),
            trace=trace_of(None, None, request_id),
        )


async def _taken(delivery: Delivery, *, whole: bool) -> None:
    """As the door passes an answer on."""
    if delivery.whole is not None:
        await delivery.aclose()
        return
    pieces = delivery.chunks()
    try:
        async for _ in pieces:
            if not whole:
                break
    except BrokenOff:
        pass
    await cast(Any, pieces).aclose()


def _offer(number: int) -> OfferEntry:
    return OfferEntry(
        id=number,
        orchestrator=f"orchestrator-{number}",
        orchestrator_id=number,
        target=Target(f"https://{number}.invalid:8935", "byoc", "depth"),
        price=Price.parse("1 wei/second"),
        claimed=True,
        seats=1,
        share=1.0,
    )


@example(["hangs", "error"], 2, ["takes it", 20])  # it holds an answer, and waits for a seat
@settings(BOUNDED, max_examples=150)
@given(st.lists(fates, max_size=10), st.integers(1, 3), st.lists(manners, min_size=1, max_size=5))
def test_nothing_is_left_of_any_request(fates: list[Any], offers: int, clients: list[str | int]) -> None:
    """R12, R67, R68: no seat, no doubt, no open answer, nobody waiting; one line in the books for each."""

    async def play() -> Scene:
        scene = Scene(fates, offers)
        async with asyncio.timeout(30):
            await asyncio.gather(*(scene.request(number, manner) for number, manner in enumerate(clients)))
        return scene

    scene = asyncio.run(play())

    lives = [scene.board.live(number) for number in range(1, offers + 1)]
    assert [(live.in_flight, live.doubts) for live in lives] == [(0, 0)] * offers
    assert sorted(scene.books.closed) == [str(number) for number in range(len(clients))]
    assert all(reply.closed for reply in scene.fleet.replies)
    assert scene.service.waiting == {}
    assert not scene.allowances.in_flight
    assert scene.memory.used == 0
