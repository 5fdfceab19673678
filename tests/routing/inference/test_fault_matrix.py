"""One bad and one good orchestrator, over real sockets: what the client sees is always the good answer.

A cell is a fault, an endpoint and a number of clients at once. The bad one is the cheaper, was good until
just now, and no dice fall: it is asked first until the gateway passes it over. So every cell is the worst
case of its fault. Both endpoints and both numbers of clients share a test, each with a capability of its
own, so that no cell learns from another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import httpx
import pytest

from orchestrators.core.health import State
from orchestrators.core.outcome import Outcome
from orchestrators.models import Offer
from orchestrators.scoreboard import Seat
from orchestrators.simulator import Container, Simulator
from routing.runtime import Runtime
from tests.routing.inference.scenes import job_header, only_cheapest_first, orchestrator
from tests.routing.inference.scripted import OK, Conversation, Script, Scripted, answering
from tests.support.gateway import Gateway, in_thread

WORDS = {"text": "one two"}
TEXT, STREAM = "reverse-text", "reverse-stream"
GOOD = {
    TEXT: b'{"original": "one two", "reversed": "owt eno"}',
    STREAM: b'data: {"word": "eno"}\n\ndata: {"word": "owt"}\n\n',
}
DONE = b"data: [DONE]\n\n"  # what an orchestrator ends a stream with, after its balance
CONTRACT = {
    "content_types": ["application/json", "text/event-stream"],
    "schema": {"type": "object", "required": ["reversed"]},
}
GRACE, MARGIN = 2.0, 0.5  # seconds; the last is what the gateway may add to an attempt's timeout and its grace
PATIENT, WAITING, HASTY = 5.0, 2.0, 0.6  # attempt timeouts: a busy machine takes its time, a test has little
POLICY = {
    "profile": "warm",
    "price_ceiling": "none",
    "response": CONTRACT,
    "cold_grace": GRACE,
    "max_in_flight": 16,
    "value_of_second": 0,  # the cheapest is asked, however often it fails
}
ENDPOINTS, AT_ONCE = ("native", "drop-in"), (1, 16)
CELLS = [(endpoint, at_once) for endpoint in ENDPOINTS for at_once in AT_ONCE]
MOST_AFTER_A_FAULT = 3

EVENTS = OK + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PAGE = b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Sorry</h1></body></html>"
OOM = b"CUDA out of memory. Tried to allocate 2.00 GiB"


def saying(status: str, body: bytes, content_type: str = "text/plain", **headers: str) -> Script:
    async def script(conversation: Conversation) -> None:
        await conversation.whole()
        fields = {"content-type": content_type, "content-length": str(len(body)), **headers}
        lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {text}" for name, text in fields.items())]
        await conversation.say("\r\n".join([*lines, "\r\n"]).encode() + body)

    return script


def breaking_after(said: bytes) -> Script:
    async def script(conversation: Conversation) -> None:
        await conversation.whole()
        await conversation.say(said)
        await conversation.reset()

    return script


async def hang(conversation: Conversation) -> None:
    await conversation.gone()


def first_event(event: bytes) -> Script:
    async def script(conversation: Conversation) -> None:
        await conversation.whole()
        await conversation.say(EVENTS)
        await conversation.chunk(event)
        await conversation.say(b"0\r\n\r\n")

    return script


def json_of(body: bytes) -> Script:
    return answering(body)


# `None`: nobody listens any more.
FAULTS: dict[str, Script | None] = {
    "down": None,
    "reset before an answer": breaking_after(b""),
    "reset mid-headers": breaking_after(OK + b"content-type: applica"),
    "reset mid-body": breaking_after(OK + b"content-type: application/json\r\ncontent-length: 46\r\n\r\n{"),
    "503 text": saying("503 Service Unavailable", b"the worker is overloaded"),
    "own 503": saying("503 Service Unavailable", b"No capacity available for capability\n"),
    "500 out of memory": saying("500 Internal Server Error", OOM),
    "400 out of memory": saying("400 Bad Request", OOM),
    "200 error": json_of(b'{"error": "the model has failed"}'),
    "200 wrong schema": json_of(b'{"unexpected": true}'),
    "200 not JSON": json_of(b"{"),
    "200 empty": json_of(b""),
    "wrong content type": saying("200 OK", GOOD[TEXT], "application/octet-stream"),
    "429": saying("429 Too Many Requests", b"slow down", retry_after="5"),
    "hang": hang,
    "HTML page, 200": saying("200 OK", PAGE, "text/html; charset=utf-8"),
    "HTML page, 502": saying("502 Bad Gateway", PAGE, "text/html; charset=utf-8"),
    "404 on a served path": saying("404 Not Found", b'{"detail": "Not Found"}', "application/json"),
    "SSE error": first_event(b'data: {"error": "the model has failed"}\n\n'),
    "SSE error event": first_event(b"event: error\ndata: the model has failed\n\n"),
    "SSE comments only": first_event(b": one moment please\n\n"),
}


def path_of(fault: str) -> str:
    return STREAM if fault.startswith("SSE") else TEXT


class Bad(Scripted):
    """A BYOC orchestrator that serves well until `turn`, and as its fault says from then on."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(name, self._say, protocol="byoc")
        self._fault = FAULTS[fault]
        self._turned = False

    async def turn(self) -> None:
        self._turned = True
        if self._fault is None:
            await self.stop()

    async def _say(self, conversation: Conversation) -> None:
        if self._turned and self._fault is not None:
            await self._fault(conversation)
            return
        path = STREAM if STREAM in conversation.line else TEXT
        content_type = "text/event-stream" if path == STREAM else "application/json"
        await answering(GOOD[path] + (DONE if path == STREAM else b""), content_type)(conversation)


class Watch:
    """Counts the attempts at one offer that start after a fault of it was recorded, until it is passed over.

    Seats are taken and outcomes observed on one loop, so their order here is the order in which the
    gateway knew of them: no clock is compared.
    """

    def __init__(self, runtime: Runtime, offer_id: int) -> None:
        self._runtime, self._offer_id = runtime, offer_id
        self.started = self.late = self.most_late = self.although_passed_over = 0
        self._faulty = False

    def start(self) -> None:
        self.started += 1
        self.although_passed_over += self._passed_over
        if self._faulty:
            self.late += 1
            self.most_late = max(self.most_late, self.late)

    def heard(self) -> None:
        self._faulty = not self._passed_over
        if self._passed_over:
            self.late = 0

    @property
    def _passed_over(self) -> bool:
        live, now = self._runtime.board.live(self._offer_id), time.time()
        down = live.health.state is State.DOWN and (live.health.until is None or now < live.health.until)
        revoked = self._runtime.table.revision < live.revoked_before
        return down or now < live.health.busy_until or revoked


class Watches:
    """One for each offer of the bad one, by capability."""

    def __init__(self, runtime: Runtime, offers: dict[str, int]) -> None:
        board = runtime.board
        self._by_slug = {slug: Watch(runtime, offer_id) for slug, offer_id in offers.items()}
        self._by_offer = {offer_id: self._by_slug[slug] for slug, offer_id in offers.items()}
        self._seat, self._observe, self._claim = board.seat, board.observe, board.claim
        board.seat, board.observe, board.claim = self.seat, self.observe, self.claim  # type: ignore[method-assign]

    def __getitem__(self, slug: str) -> Watch:
        return self._by_slug[slug]

    def seat(self, offer_id: int, *limits: Any, **options: Any) -> Seat | None:
        taken = self._seat(offer_id, *limits, **options)
        if taken is not None and offer_id in self._by_offer:
            self._by_offer[offer_id].start()
        return taken

    def observe(self, offer_id: int, outcome: Outcome, *facts: Any, **options: Any) -> Any:
        told = self._observe(offer_id, outcome, *facts, **options)
        if offer_id in self._by_offer and not outcome.is_answer:
            self._by_offer[offer_id].heard()
        return told

    def claim(self, offer_id: int, *facts: Any, **options: Any) -> None:
        self._claim(offer_id, *facts, **options)
        if offer_id in self._by_offer:
            self._by_offer[offer_id].heard()


def is_good(answer: httpx.Response, path: str) -> bool:
    content = answer.content
    whole = (
        content.startswith(GOOD[path]) and content.endswith(DONE) if path == STREAM else content == GOOD[path]
    )
    return answer.status_code == 200 and whole


def slug_of(endpoint: str, at_once: int) -> str:
    return f"{endpoint}-{at_once}"


SLUGS = [slug_of(*cell) for cell in CELLS]


async def ask(gateway: Gateway, slug: str, path: str, *only: Simulator | Scripted) -> httpx.Response:
    if slug.startswith("native") and not only:
        return await gateway.post(f"/v1/capabilities/{slug}/{path}", json=WORDS)
    headers = job_header(slug, include=only)  # type: ignore[arg-type]
    return await gateway.post(f"/process/request/{path}", json=WORDS, headers=headers)


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer as a client had it, after so many seconds."""

    answer: httpx.Response
    seconds: float


class Lateness:
    """Seconds that this loop was kept from running: what the machine does besides is not the gateway's time."""

    _TICK, _STALL = 0.02, 0.1  # less than a stall is the test's own work

    def __init__(self) -> None:
        self.seconds = 0.0

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._watching.cancel()

    async def _watch(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(self._TICK)
            late = time.monotonic() - began - self._TICK
            self.seconds += late if late > self._STALL else 0.0


async def heard(gateway: Gateway, slug: str, path: str, *, requests: int, at_once: int) -> list[Heard]:
    """So many requests by so many clients, each asking again as soon as it has an answer."""
    found: list[Heard] = []
    left = iter(range(requests))

    async def client() -> None:
        for _ in left:
            began = time.monotonic()
            answer = await ask(gateway, slug, path)
            found.append(Heard(answer, time.monotonic() - began))

    await asyncio.gather(*(client() for _ in range(at_once)))
    return found


async def warmed(gateway: Gateway, path: str, attempt: float, *everyone: Simulator | Scripted) -> None:
    """Every cell's capability offered by all of these, and served well by each. `attempt`: its timeout."""
    only_cheapest_first(gateway)
    await gateway.apply(
        {
            "capabilities": [{"slug": slug, "attempt_timeout": attempt, **POLICY} for slug in SLUGS],
            "orchestrators": [orchestrator(each, *SLUGS) for each in everyone],  # type: ignore[arg-type]
        }
    )
    await gateway.probe()
    for slug in SLUGS:
        for each in everyone:
            answer = await ask(gateway, slug, path, each)
            assert is_good(answer, path), answer.text


async def offers_of(name: str) -> dict[str, int]:
    rows = Offer.objects.filter(orchestrator__name=name)
    return await in_thread(lambda: dict(rows.values_list("capability__slug", "pk")))


def strangers(answers: Iterable[Heard], path: str) -> list[tuple[int, bytes]]:
    """What is not the good answer."""
    return [
        (each.answer.status_code, each.answer.content) for each in answers if not is_good(each.answer, path)
    ]


async def walk(gateway: Gateway, fault: str, *, requests: int, margin: float) -> None:
    """The four cells of a fault. `margin`: seconds that a call may take beyond one attempt and its grace."""
    path, attempt = path_of(fault), WAITING if fault == "hang" else PATIENT
    capabilities = [Container(slug, price=1000, capacity=64, kind="text-reversal") for slug in SLUGS]
    async with Bad("cedar", fault) as cedar, Simulator("alder", capabilities=capabilities) as alder:
        await warmed(gateway, path, attempt, cedar, alder)
        watches = Watches(gateway.runtime, await offers_of("cedar"))
        await cedar.turn()
        for endpoint, at_once in CELLS:
            slug = slug_of(endpoint, at_once)
            async with Lateness() as late:
                answers = await heard(gateway, slug, path, requests=requests, at_once=at_once)
            watch = watches[slug]

            assert strangers(answers, path) == [], slug
            assert len(answers) == requests
            assert watch.started >= 1, slug  # the cell is about the bad one
            assert watch.most_late <= MOST_AFTER_A_FAULT, slug
            assert watch.although_passed_over == 0, slug
            assert max(each.seconds for each in answers) <= attempt + GRACE + margin + late.seconds, slug
            assert gateway.runtime.board.in_flight == 0, slug


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_good_one_serves(gateway: Gateway, fault: str) -> None:
    """R4, R63, R64, R65, R66, R67: 100 % good answers, and the bad one is soon left alone."""
    await walk(gateway, fault, requests=20, margin=4 * MARGIN)


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
async def test_the_good_one_serves_on_and_on(gateway: Gateway, fault: str) -> None:
    """R4, R62, R67: the same with 200 requests a cell, and no more time than the product promises."""
    await walk(gateway, fault, requests=200, margin=MARGIN)


@pytest.mark.parametrize("fault", FAULTS)
async def test_nobody_is_left(gateway: Gateway, fault: str) -> None:
    """R68: both are bad: a typed error, Retry-After with every 503, and never a 200."""
    path, attempt = path_of(fault), HASTY if fault == "hang" else PATIENT
    async with Bad("cedar", fault) as cedar, Bad("douglas", fault) as douglas:
        await warmed(gateway, path, attempt, cedar, douglas)
        for each in (cedar, douglas):
            await each.turn()
        answers = [
            each.answer
            for endpoint, at_once in CELLS
            for each in await heard(
                gateway, slug_of(endpoint, at_once), path, requests=at_once + 3, at_once=at_once
            )
        ]

        seats = gateway.runtime.board.in_flight

    assert seats == 0
    for answer in answers:
        if fault == "404 on a served path" and answer.status_code == 404:
            assert answer.json() == {"detail": "Not Found"}  # both containers say so: it is the request's fault
            continue
        assert answer.status_code in (502, 503, 504)
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["code"] in ("exhausted", "none_available", "deadline")
        assert problem["status"] == answer.status_code
        assert problem["request_id"] == answer.headers["x-request-id"]
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) >= 1
