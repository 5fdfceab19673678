"""Answers and requests that are under way: passed on as they come, and ended properly however they end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from orchestrators.core.health import Health
from orchestrators.models import HealthSnapshot
from orchestrators.simulator import Container, Simulator
from routing.models import Attempt, Job
from tests.routing.inference.scenes import PICTURE, depth_by, orchestrator
from tests.routing.inference.scripted import OK, Conversation, Script, Scripted
from tests.routing.inference.test_memory_of_bodies import connect_to
from tests.support.gateway import Gateway, in_thread

REVERSAL = {"slug": "text-reversal", "profile": "warm", "price_ceiling": "none"}
URL = "/v1/capabilities/text-reversal/reverse-stream"
WORDS = {"text": "one two three"}
EVENTS = [b'data: {"word": "%b"}\n\n' % word for word in (b"eno", b"owt", b"eerht")]
UPLOAD = b"POST %b HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %b\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM = OK + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
SOON = 3.0  # seconds, for a busy machine: well before the 5 s after which an attempt ends by itself


def alder(price: int = 100, *, pace: float = 0.0, name: str = "alder") -> Simulator:
    return Simulator(name, capabilities=[Container("text-reversal", price=price, pace=pace)])


async def reversal_by(gateway: Gateway, *others: Simulator | Scripted) -> None:
    """`text-reversal`, offered by all of these, probed once. A scripted one is the cheapest."""
    offers = [
        orchestrator(each, each.offer("text-reversal") if isinstance(each, Scripted) else "text-reversal")  # type: ignore[arg-type]
        for each in others
    ]
    await gateway.apply({"capabilities": [REVERSAL], "orchestrators": offers})
    await gateway.probe()


@asynccontextmanager
async def streaming(gateway: Gateway, url: str = URL, **request: Any) -> AsyncIterator[httpx.Response]:
    headers = {"authorization": f"Bearer {gateway.key}"}
    request = request or {"json": WORDS}
    async with gateway.http.stream("POST", url, headers=headers, **request) as answer:
        yield answer


async def told(gateway: Gateway) -> Job:
    """The one job there is, from the database."""
    await gateway.drained()
    return await in_thread(Job.objects.get)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not true():
            await asyncio.sleep(0.01)


# --- as it comes ---------------------------------------------------------------------------------


async def test_events_come_one_by_one(gateway: Gateway) -> None:
    """R5: the client has the first event while the container still works on the last."""
    async with alder(pace=0.2) as simulator:
        await reversal_by(gateway, simulator)
        async with streaming(gateway) as answer:
            pieces = answer.aiter_raw()
            first = await anext(pieces)
            working = simulator["text-reversal"].in_flight
            rest = b"".join([piece async for piece in pieces])
        job = await told(gateway)

    assert (first, working) == (EVENTS[0], 1)
    assert rest.startswith(EVENTS[1] + EVENTS[2])
    assert rest.endswith(b"\n\ndata: [DONE]\n\n")
    assert answer.headers["content-type"] == "text/event-stream"
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert "content-length" not in answer.headers
    assert (job.code, job.status, job.bytes_out) == ("ok", 200, len(first + rest))


async def test_a_stream_drowned_in_newlines_ends_after_done(gateway: Gateway) -> None:
    """O3, G5: the orchestrator never stops writing; the client has its end, nobody is called twice (G4)."""
    async with alder() as simulator, alder(200, name="birch") as birch:
        await reversal_by(gateway, simulator, birch)
        simulator.fault("text-reversal", "sse_flood")
        async with asyncio.timeout(10):
            answer = await gateway.post(URL, json=WORDS)
        job = await told(gateway)
        await until(lambda: simulator["text-reversal"].in_flight == 0)

    assert answer.content.startswith(b"".join(EVENTS))
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert (job.code, job.attempts_made) == ("ok", 1)
    assert not birch.calls


async def test_an_answer_in_chunks_is_passed_on_as_it_comes(gateway: Gateway) -> None:
    """No event stream, no length: the second piece is made when the client has the first."""
    has_first = asyncio.Event()

    async def piecemeal(conversation: Conversation) -> None:
        await conversation.whole()
        await conversation.say(OK + b"content-type: video/mp4\r\ntransfer-encoding: chunked\r\n\r\n")
        await conversation.chunk(b"first")
        await has_first.wait()
        await conversation.chunk(b"second")
        await conversation.say(b"0\r\n\r\n")

    async with Scripted("birch", piecemeal) as birch:
        await reversal_by(gateway, birch)
        async with streaming(gateway) as answer:
            pieces = answer.aiter_raw()
            assert await anext(pieces) == b"first"
            has_first.set()
            assert [piece async for piece in pieces] == [b"second"]
        job = await told(gateway)

    assert answer.headers["content-type"] == "video/mp4"
    assert (job.code, job.bytes_out) == ("ok", len(b"firstsecond"))


# --- before the first byte for the client ----------------------------------------------------------


def saying(*pieces: bytes) -> Script:
    """Chunks, and then the connection breaks."""

    async def script(conversation: Conversation) -> None:
        await conversation.whole()
        await conversation.say(STREAM)
        for piece in pieces:
            await conversation.chunk(piece)

    return script


@pytest.mark.parametrize(
    "start",
    [b'data: {"error": "model crashed"}\n\n', b"data: {"],
    ids=["an error in the first event", "broken before the first event"],
)
async def test_a_stream_that_fails_at_its_start_fails_over(gateway: Gateway, start: bytes) -> None:
    """R67: the first event is judged before the client has a byte; keep-alives are none."""
    async with Scripted("birch", saying(b": wait\n\n", start)) as birch, alder() as good:
        await reversal_by(gateway, birch, good)
        answer = await gateway.post(URL, json=WORDS)

    assert answer.content.startswith(b"".join(EVENTS))
    assert (answer.headers["x-byocgw-attempts"], birch.calls) == ("2", 1)


async def test_a_small_answer_that_breaks_off_fails_over(gateway: Gateway) -> None:
    """What has a length of at most 64 KiB is whole before the client has a byte."""
    async with (
        Simulator("cedar", capabilities=[Container("depth", price=1)]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=100)]) as good,
    ):
        await depth_by(gateway, cedar, good)
        cedar.fault("depth", "mid_stream_break")
        answer = await gateway.post("/v1/capabilities/depth", json=PICTURE)

    assert "depth" in answer.json()
    assert answer.headers["x-byocgw-attempts"] == "2"


# --- broken in the middle ------------------------------------------------------------------------


async def test_a_broken_stream_ends_with_an_error_event(gateway: Gateway) -> None:
    """After the first byte nobody else is asked: an error event, and `broken` in the books."""
    async with alder(1) as simulator, alder(100, name="birch") as birch:
        await reversal_by(gateway, simulator, birch)
        simulator.fault("text-reversal", "mid_stream_break")
        answer = await gateway.post(URL, json=WORDS)
        job = await told(gateway)

    passed, _, error = answer.content.partition(b"event: error\ndata: ")
    problem = json.loads(error)
    assert (answer.status_code, passed) == (200, EVENTS[0])
    assert error.endswith(b"}\n\n")
    assert (problem["code"], problem["status"]) == ("exhausted", 502)
    assert problem["request_id"] == answer.headers["x-request-id"] == job.request_id
    assert "127.0.0.1" not in answer.text
    assert not birch.calls
    assert (job.code, job.status, job.orchestrator, job.attempts_made) == ("broken", 200, "alder", 1)
    assert job.bytes_out == len(passed)
    assert await in_thread(lambda: Attempt.objects.get().outcome) == "upstream_error"
    (live,) = [each for each in gateway.runtime.board.offers.values() if each.health.streak]
    assert live.health.streak == 1
    assert gateway.runtime.board.in_flight == 0


async def test_a_broken_stream_of_a_known_length_is_cut_off(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """An error event would be longer than what is left of it, or pass for it."""

    async def script(conversation: Conversation) -> None:
        await conversation.whole()
        await conversation.say(
            OK + b"content-type: text/event-stream\r\ncontent-length: 9000\r\n\r\n" + EVENTS[0]
        )

    got = b""
    async with Scripted("birch", script) as birch:
        await reversal_by(gateway, birch)
        with pytest.raises(httpx.RemoteProtocolError):
            async with streaming(gateway) as answer:
                assert answer.headers["content-length"] == "9000"
                async for piece in answer.aiter_raw():
                    got += piece
        job = await told(gateway)

    assert got == EVENTS[0]
    assert job.code == "broken"
    assert "ASGI" not in caplog.text and "answered" not in caplog.text


@pytest.mark.parametrize("content_type", [b"Application/JSON", b"text/plain", b"application/vnd.a+json"])
async def test_how_an_answer_in_chunks_names_its_type_hides_no_breach(
    gateway: Gateway, content_type: bytes
) -> None:
    """R56: a schema alone declares JSON, whatever the answer calls itself."""

    async def script(conversation: Conversation) -> None:
        await conversation.whole()
        await conversation.say(OK + b"content-type: %b\r\ntransfer-encoding: chunked\r\n\r\n" % content_type)
        await conversation.chunk(b'{"wrong": ')
        await conversation.chunk(b"1}")
        await conversation.say(b"0\r\n\r\n")

    policy = REVERSAL | {"response": {"schema": {"type": "object", "required": ["text"]}}}
    async with Scripted("birch", script) as birch:
        offers = [orchestrator(birch, birch.offer("text-reversal"))]  # type: ignore[arg-type]
        await gateway.apply({"capabilities": [policy], "orchestrators": offers})
        await gateway.probe()
        answer = await gateway.post(URL, json=WORDS)

    assert answer.status_code == 502
    assert [each["class"] for each in answer.json()["attempts"]] == ["api_mismatch"]


async def test_a_large_answer_that_breaks_off_is_cut_off(gateway: Gateway) -> None:
    """No framing can say it: the client sees that its answer is not whole. Nobody else is asked."""
    async with (
        Simulator("cedar", capabilities=[Container("text-reversal", price=1, kind="echo")]) as cedar,
        Simulator("alder", capabilities=[Container("text-reversal", price=9, kind="echo")]) as good,
    ):
        await reversal_by(gateway, cedar, good)
        cedar.fault("text-reversal", "mid_stream_break")
        with pytest.raises(httpx.RemoteProtocolError):
            await gateway.post(URL, content=bytes(400_000))
        job = await told(gateway)

    assert not good.calls
    assert (job.code, job.orchestrator) == ("broken", "cedar")


# --- the client hangs up -------------------------------------------------------------------------


async def hung_up(gateway: Gateway, simulator: Simulator | Scripted, *, status: int = 499) -> None:
    """The upstream call ends soon, nothing is held against anybody, and every seat is free.

    `status`: the one the client has seen, or 499 for none.
    """
    if isinstance(simulator, Scripted):
        await asyncio.wait_for(simulator.ended.wait(), SOON)
    else:
        await until(lambda: simulator["text-reversal"].in_flight == 0)
    await until(lambda: gateway.runtime.board.in_flight == 0)
    job = await told(gateway)
    assert (job.code, job.status) == ("cancelled", status)
    assert all(live.health == Health() for live in gateway.runtime.board.offers.values())
    assert await in_thread(HealthSnapshot.objects.filter(source="traffic").count) == 0
    assert not any(gateway.runtime.allowances.in_flight.values())


async def test_a_client_that_hangs_up_while_it_waits(gateway: Gateway) -> None:
    async with alder(1) as simulator, alder(100, name="birch") as birch:
        await reversal_by(gateway, simulator, birch)
        simulator.fault("text-reversal", "hang")
        asking = asyncio.create_task(gateway.post(URL, json=WORDS))
        await until(lambda: simulator["text-reversal"].in_flight == 1)
        asking.cancel()
        await hung_up(gateway, simulator)

    assert not birch.calls
    assert await in_thread(lambda: [*Attempt.objects.values_list("outcome", flat=True)]) == ["cancelled"]


async def test_a_client_that_hangs_up_in_the_middle_of_a_stream(gateway: Gateway) -> None:
    async with alder(pace=30) as simulator:
        await reversal_by(gateway, simulator)
        async with streaming(gateway) as answer:
            await anext(answer.aiter_raw())
        await hung_up(gateway, simulator, status=200)


async def never_ending(sent: asyncio.Event) -> AsyncIterator[bytes]:
    yield b"first"
    sent.set()
    await asyncio.Event().wait()


async def test_a_client_that_hangs_up_in_the_middle_of_its_upload(gateway: Gateway) -> None:
    async def read_on(conversation: Conversation) -> None:
        await conversation.whole()

    sent = asyncio.Event()
    async with Scripted("birch", read_on) as birch:
        await reversal_by(gateway, birch)
        asking = asyncio.create_task(gateway.post(URL, content=never_ending(sent)))
        await sent.wait()
        await until(lambda: birch.calls == 1)
        asking.cancel()
        await hung_up(gateway, birch)


async def test_a_client_that_hangs_up_after_an_answer_to_half_of_its_upload(gateway: Gateway) -> None:
    """The answer is under way although the request is not: hanging up must be noticed all the same."""

    async def answer_early(conversation: Conversation) -> None:
        await anext(conversation.pieces)
        await conversation.say(STREAM)
        await conversation.chunk(EVENTS[0])
        await conversation.gone()

    async with Scripted("birch", answer_early) as birch:
        await reversal_by(gateway, birch)
        client = await connect_to(gateway)
        await client.send(UPLOAD % (URL.encode(), gateway.key.encode()) + b"5\r\nfirst\r\n")
        async with asyncio.timeout(10):
            await client.reader.readuntil(EVENTS[0])
        client.writer.transport.abort()
        await hung_up(gateway, birch, status=200)
