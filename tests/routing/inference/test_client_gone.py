"""A client that closes its socket: whoever works for it is told within a quarter of a second."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable

import pytest

from orchestrators.core.health import Health
from tests.routing.inference.scenes import orchestrator
from tests.routing.inference.scripted import OK, Conversation, Scripted
from tests.support.gateway import Gateway

SOON = 0.25  # seconds; a few milliseconds are usual
HEAD = (
    b"POST /v1/capabilities/words HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n"
)
STREAM = OK + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


async def waiting(conversation: Conversation, reached: asyncio.Event) -> None:
    await conversation.whole()
    reached.set()


async def in_the_middle_of_a_stream(conversation: Conversation, reached: asyncio.Event) -> None:
    await conversation.whole()
    await conversation.say(STREAM)
    await conversation.chunk(b"data: a\n\n")
    reached.set()


async def in_the_middle_of_an_upload(conversation: Conversation, reached: asyncio.Event) -> None:
    await conversation.skip(1)
    reached.set()


CASES = {waiting: 2, in_the_middle_of_a_stream: 2, in_the_middle_of_an_upload: 1_000_000}


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("protocol", ["direct", "byoc"])
@pytest.mark.parametrize("stage", CASES)
async def test_the_orchestrator_is_told_at_once(
    gateway: Gateway, stage: Callable[..., Awaitable[None]], protocol: str, reset: bool
) -> None:
    reached, told = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def script(conversation: Conversation) -> None:
        await stage(conversation, reached)
        await conversation.gone()
        told.set_result(time.monotonic())

    async with Scripted("birch", script, protocol=protocol) as birch:
        await gateway.apply(
            {
                "capabilities": [{"slug": "words", "profile": "warm", "price_ceiling": "none"}],
                "orchestrators": [
                    orchestrator(birch, birch.offer("words") if protocol == "direct" else "words")
                ],  # type: ignore[arg-type]
            }
        )
        await gateway.probe()
        host, port = gateway.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(HEAD % (gateway.key.encode(), CASES[stage]) + b"{}")
        await asyncio.wait_for(reached.wait(), 10)
        if stage is in_the_middle_of_a_stream:
            await asyncio.wait_for(reader.readuntil(b"data: a\n\n"), 10)
        if reset:
            now = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        left = time.monotonic()
        writer.transport.abort()
        took = await asyncio.wait_for(told, 10) - left
        async with asyncio.timeout(10):
            while gateway.runtime.board.in_flight:
                await asyncio.sleep(0.005)

    assert took < SOON
    assert all(live.health == Health() for live in gateway.runtime.board.offers.values())
