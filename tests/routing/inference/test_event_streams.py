"""Event streams as orchestrators really write them: passed on event by event, and ended where they end."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from routing.models import Job
from tests.routing.inference.scenes import job_header, orchestrator
from tests.routing.inference.scripted import OK, Conversation, Scripted
from tests.support.gateway import Gateway, in_thread

HEAD = (
    OK
    + b"content-type: text/event-stream\r\nlivepeer-payment-balance: 99\r\ntransfer-encoding: chunked\r\n\r\n"
)
LARGE = b"data: " + b"x" * 200_000 + b"\n\n"  # go-livepeer's own gateway breaks on lines above 64 KiB
END = b'data: {"balance": 12.345}\n\ndata: [DONE]\n\n'
OUT_OF_FUNDS = b'event: insufficient balance\ndata: {"balance": 0}\n\ndata: [DONE]\n\n'
STREAMS = {
    "large events": LARGE + LARGE + END,
    "comments and fields": b": wait\n\nretry: 5\n\nid: 1\nevent: x\ndata: a\ndata: b\n\n: ping\n\n" + END,
    "CRLF": (b"data: a\n\ndata: b\n\n" + END).replace(b"\n", b"\r\n"),
    "CR": b"data: a\r\rdata: b\r\rdata: [DONE]\r\r",
    "no space, no blank line at the end": b"data:a\n\ndata:[DONE]\n\n",
    "DONE in a text": b'data: {"text": "[DONE]"}\n\n' + END,
    "out of funds": b"data: a\n\n" + OUT_OF_FUNDS,
}


async def flood(conversation: Conversation) -> None:
    """O3: after its worker is done an orchestrator writes newlines until the job's timeout."""
    with contextlib.suppress(ConnectionError):
        while True:
            await conversation.chunk(b"\n" * 100)
            await asyncio.sleep(0)


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_stream_comes_through_as_it_was_written(gateway: Gateway, size: int) -> None:
    """G6: whatever the chunks it comes in; at [DONE] both sides are done, though newlines go on for ever."""
    stream = b""

    async def script(conversation: Conversation) -> None:
        await conversation.whole()
        await conversation.say(HEAD)
        step = max(size, len(stream) // 2_000)
        for at in range(0, len(stream), step):
            await conversation.chunk(stream[at : at + step])
        await flood(conversation)

    async with Scripted("birch", script, protocol="byoc") as birch:
        await gateway.apply(
            {
                "capabilities": [{"slug": "words", "profile": "warm", "price_ceiling": "none"}],
                "orchestrators": [orchestrator(birch, "words")],  # type: ignore[arg-type]
            }
        )
        await gateway.probe()
        for name, written in STREAMS.items():
            stream = written
            birch.ended.clear()
            answer = await asyncio.wait_for(
                gateway.post("/process/request/x", headers=job_header("words"), json={}), 10
            )
            await asyncio.wait_for(birch.ended.wait(), 5)
            assert answer.content.replace(b"\r\n\r\n", b"\r\r") == stream.replace(b"\r\n\r\n", b"\r\r"), name
            assert answer.headers["livepeer-balance"] == "99"
        await gateway.drained()

    jobs = await in_thread(lambda: list(Job.objects.order_by("pk").values_list("code", "attempts_made")))
    assert jobs == [("ok", 1)] * len(STREAMS)
    assert gateway.runtime.board.in_flight == 0


async def test_what_only_mentions_event_streams_comes_through_byte_for_byte(gateway: Gateway) -> None:
    """R3"""
    said = b"data: [DONE]\n\n\n\n\nmore"

    async def script(conversation: Conversation) -> None:
        await conversation.whole()
        content_type = b'content-type: multipart/related; type="text/event-stream"\r\n'
        await conversation.say(OK + content_type + b"transfer-encoding: chunked\r\n\r\n")
        await conversation.chunk(said)
        await conversation.say(b"0\r\n\r\n")

    async with Scripted("birch", script, protocol="byoc") as birch:
        await gateway.apply(
            {
                "capabilities": [{"slug": "words", "profile": "warm", "price_ceiling": "none"}],
                "orchestrators": [orchestrator(birch, "words")],  # type: ignore[arg-type]
            }
        )
        await gateway.probe()
        answer = await gateway.post("/v1/capabilities/words", json={})

    assert answer.content == said


async def test_a_stream_of_newlines_alone_has_an_end(gateway: Gateway) -> None:
    """O3 without [DONE]: the worker has ended, the orchestrator does not say so."""

    async def script(conversation: Conversation) -> None:
        await conversation.whole()
        await conversation.say(HEAD)
        await conversation.chunk(b"data: a\n\n")
        await flood(conversation)

    async with Scripted("birch", script, protocol="byoc") as birch:
        await gateway.apply(
            {
                "capabilities": [{"slug": "words", "profile": "warm", "price_ceiling": "none"}],
                "orchestrators": [orchestrator(birch, "words")],  # type: ignore[arg-type]
            }
        )
        await gateway.probe()
        answer = await asyncio.wait_for(
            gateway.post("/process/request/x", headers=job_header("words"), json={}), 10
        )
        await asyncio.wait_for(birch.ended.wait(), 5)

    assert answer.content == b"data: a\n\n"
