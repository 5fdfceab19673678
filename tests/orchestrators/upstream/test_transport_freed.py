"""A closed connection is freed, however long it lived: the collector is asked for what is young alone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Iterator

import pytest

from orchestrators.upstream.base import UpstreamError
from orchestrators.upstream.transport.connection import Connection
from orchestrators.upstream.transport.pool import FEW

from .conftest import OK, Conversation, MakePool, Script, Serve, ask, read, saying


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[weakref.WeakSet[Connection]]:
    """Those that are there still, all of them grown old."""
    known, made = weakref.WeakSet[Connection](), Connection.connection_made

    def note(self: Connection, transport: asyncio.BaseTransport) -> None:
        known.add(self)
        made(self, transport)
        gc.collect()

    monkeypatch.setattr(Connection, "connection_made", note)
    gc.collect()
    gc.freeze()  # a collection looks at little else now
    gc.disable()
    yield known
    gc.enable()
    gc.unfreeze()


async def test_a_pool_forgets_origins_that_are_not_in_use(serve: Serve, make_pool: MakePool) -> None:
    """As of certificates that change every day: none is named any more, and none is closed by anybody."""
    go = asyncio.Event()

    async def twice(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(OK)
        await conversation.request()
        await go.wait()
        await conversation.say(OK)

    kept, busy, pool = await serve(twice), await serve(twice), make_pool()
    for peer in (kept, busy):
        await read(await ask(pool, peer))
    waiting = asyncio.create_task(ask(pool, busy))
    await asyncio.sleep(0)
    for day in range(3 * FEW):
        pool.origin(kept.target(fingerprint=f"{day:064x}"))
    go.set()

    assert repr(pool).count("<Origin ") <= FEW
    assert await read(await ask(pool, kept)) == await read(await waiting) == b"hi"
    assert (kept.connections, busy.connections) == (1, 1)


async def hang_up(conversation: Conversation) -> None:
    await conversation.request()
    conversation.hang_up()


async def hang_up_later(conversation: Conversation) -> None:
    await conversation.request()
    await conversation.say(OK)
    conversation.hang_up()


async def stall(conversation: Conversation) -> None:
    await conversation.request()
    await conversation.gone()


@pytest.mark.parametrize(
    "script",
    [saying(OK), saying(OK[:-1]), saying(b"HTTP/1.1 200\r\n"), saying(b"?"), hang_up, hang_up_later, stall],
)
async def test_a_closed_connection_is_freed(
    serve: Serve, make_pool: MakePool, connections: weakref.WeakSet[Connection], script: Script
) -> None:
    peer, pool = await serve(script), make_pool()
    with contextlib.suppress(UpstreamError):
        assert await read(await ask(pool, peer, timeout=0.2, total=0.3)) == b"hi"
    await pool.aclose()
    assert peer.connections
    async with asyncio.timeout(10):
        while connections:
            gc.collect(1)
            await asyncio.sleep(0.001)
