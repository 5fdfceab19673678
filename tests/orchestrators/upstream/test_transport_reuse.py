"""When a connection is used again, when it must not be, and when it is let go."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest

from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import NotConnected, PartlyAnswered
from orchestrators.upstream.transport import Pool

from .conftest import (
    LINE,
    OK,
    Conversation,
    MakePool,
    Serve,
    Upload,
    ask,
    fault_of,
    read,
    saying,
    saying_once,
)


async def test_it_uses_a_connection_again(serve: Serve, make_pool: MakePool):
    peer, pool = await serve(saying(OK)), make_pool()
    for _ in range(3):
        answer = await ask(pool, peer)
        assert (answer.status, answer.length, await read(answer)) == (200, 2, b"hi")
    assert peer.connections == 1


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2", b"HTTP/1.0 200 OK\r\ncontent-length: 2"],
)
async def test_it_obeys_a_close(serve: Serve, make_pool: MakePool, head: bytes):
    peer, pool = await serve(saying(head + b"\r\n\r\nhi")), make_pool()
    for _ in range(2):
        assert await read(await ask(pool, peer)) == b"hi"
    assert peer.connections == 2


@pytest.mark.beyond_aiohttp("fails an answer for what follows it")
@pytest.mark.parametrize("surplus", [OK, b"xyz", b"HTTP/1.1 200 OK\r\n"])
async def test_it_never_gives_a_second_answer_to_the_next_request(
    serve: Serve, make_pool: MakePool, surplus: bytes
):
    peer, pool = await serve(saying(LINE + b"content-length: 2\r\n\r\nyo" + surplus)), make_pool()
    for _ in range(2):
        assert await read(await ask(pool, peer)) == b"yo"
    assert peer.connections == 2


@pytest.mark.beyond_aiohttp("uses a connection again that spoke while idle")
async def test_it_drops_an_idle_connection_that_speaks(serve: Serve, make_pool: MakePool):
    dropped = asyncio.Event()

    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(OK)
        await asyncio.sleep(0.01)
        await conversation.say(b"\n")
        await conversation.gone()
        dropped.set()

    peer, pool = await serve(script), make_pool()
    assert await read(await ask(pool, peer)) == b"hi"
    await asyncio.wait_for(dropped.wait(), 5)
    assert await read(await ask(pool, peer)) == b"hi"
    assert peer.connections == 2


async def test_it_leaves_a_connection_that_was_closed_while_idle(serve: Serve, make_pool: MakePool):
    peer, pool = await serve(saying_once(OK)), make_pool()
    for _ in range(3):
        assert await read(await ask(pool, peer)) == b"hi"
        await asyncio.wait(peer.tasks)
        await asyncio.sleep(0.02)
    assert peer.connections == 3


async def test_it_closes_connections_that_rest_too_long(serve: Serve, make_pool: MakePool):
    peer, pool = await serve(saying(OK)), make_pool(keep=0.05)
    await read(await ask(pool, peer))
    await asyncio.wait_for(asyncio.wait(peer.tasks), 5)
    assert await read(await ask(pool, peer)) == b"hi"
    assert peer.connections == 2


class Leaving:
    """Answers, and hangs up when told: what a server does whose keep-alive time is over."""

    def __init__(self) -> None:
        self.conversations: list[Conversation] = []

    async def __call__(self, conversation: Conversation) -> None:
        self.conversations.append(conversation)
        while True:
            await conversation.request()
            await conversation.say(OK)


async def _is_sent_again(serve: Serve, pool: Pool, body: bytes | Upload, when: Callable[..., object]) -> None:
    leaving = Leaving()
    peer = await serve(leaving)
    origin = pool.origin(peer.target())
    await read(await ask(pool, peer))
    when(leaving.conversations[0].hang_up)
    answer = await origin.send(b"POST", b"/again", [], body, timeout=5)
    assert await read(answer) == b"hi"
    assert [received.path for received in peer.received] == [b"/", b"/again"]
    assert peer.received[1].body == (body if isinstance(body, bytes) else b"{}{}")
    assert peer.connections == 2
    assert "open 1 idle 1" in repr(pool)


async def parts():
    yield b"{}"
    await asyncio.sleep(0.02)
    yield b"{}"


@pytest.mark.beyond_aiohttp("sends no POST again, whatever is proved")
@pytest.mark.parametrize("body", [b"{}", b"x" * 3 * 1024**2, Upload(parts), Upload(parts, length=4)])
async def test_it_sends_again_what_a_closed_connection_never_took(serve: Serve, make_pool: MakePool, body):
    """Closed while idle, but the end is noticed only once the request is on its way: nobody has read it."""
    await _is_sent_again(serve, make_pool(), body, lambda hang_up: hang_up())


@pytest.mark.beyond_aiohttp("sends no POST again, whatever is proved")
@pytest.mark.parametrize("body", [b"{}", b"x" * 3 * 1024**2])
async def test_it_sends_again_what_came_after_the_end(serve: Serve, make_pool: MakePool, body):
    """The same, a moment later: the request is in the kernel's hands when the end is noticed."""
    soon = asyncio.get_running_loop().call_soon  # before what is then sent together
    await _is_sent_again(serve, make_pool(), body, soon)


@pytest.mark.beyond_aiohttp("fails an answer for what follows it")
async def test_an_answer_to_what_was_not_sent_ends_the_connection(serve: Serve, make_pool: MakePool):
    if isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        pytest.skip("this loop sends before it hears")
    leaving = Leaving()
    peer, pool = await serve(leaving), make_pool()
    await read(await ask(pool, peer))
    os.write(leaving.conversations[0].writer.get_extra_info("socket").fileno(), OK)
    await read(await ask(pool, peer))
    assert await read(await ask(pool, peer)) == b"hi"
    assert peer.connections == 2


@pytest.mark.beyond_aiohttp("sends no POST again, whatever is proved")
async def test_a_body_that_cannot_be_read_again_is_not_sent_again(serve: Serve, make_pool: MakePool):
    leaving = Leaving()
    peer, pool = await serve(leaving), make_pool()
    await read(await ask(pool, peer))
    leaving.conversations[0].hang_up()
    with pytest.raises(NotConnected) as caught:
        await pool.origin(peer.target()).send(b"POST", b"/", [], Upload(parts, repeatable=False), timeout=5)
    assert (caught.value.fault, peer.connections) == (Fault.UNREACHABLE, 1)


async def test_it_reports_a_kept_connection_that_dies_unanswered(serve: Serve, make_pool: MakePool):
    """Nobody can tell whether the request was read: it is not sent again."""

    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(OK)
        await conversation.request()

    peer, pool = await serve(script), make_pool()
    await read(await ask(pool, peer))
    assert (await fault_of(pool, peer)).fault is Fault.BROKEN
    assert (peer.connections, len(peer.received)) == (1, 2)


@pytest.mark.beyond_aiohttp("does not tell how much it keeps")
async def test_it_leaves_a_fast_sender_waiting_for_a_slow_reader(serve: Serve, make_pool: MakePool):
    size, done = 32 * 1024**2, asyncio.Event()

    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(LINE + b"content-length: %d\r\n\r\n" % size)
        for _ in range(size // 65536):
            await conversation.say(b"x" * 65536)
        done.set()

    answer = await ask(make_pool(idle=0.5), await serve(script))
    with pytest.raises(TimeoutError):  # longer than the idle deadline, which is not the sender's now
        await asyncio.wait_for(done.wait(), 0.7)
    assert int(repr(answer).split()[-1][:-1]) < 1024**2
    assert sum([len(chunk) async for chunk in answer.chunks()]) == size


async def test_it_aborts_when_closed_early(serve: Serve, make_pool: MakePool):
    gone = asyncio.Event()

    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(LINE + b"content-length: 1000\r\n\r\nhi")
        await conversation.gone()
        gone.set()

    answer = await ask(make_pool(), await serve(script))
    await answer.aclose()
    await answer.aclose()
    await asyncio.wait_for(gone.wait(), 5)
    with pytest.raises(PartlyAnswered):
        await read(answer)


async def test_closing_after_the_end_keeps_the_connection(serve: Serve, make_pool: MakePool):
    peer, pool = await serve(saying(OK)), make_pool()
    answer = await ask(pool, peer)
    assert await read(answer) == b"hi"
    await answer.aclose()
    await read(await ask(pool, peer))
    assert peer.connections == 1


@pytest.mark.parametrize("before", [b"", OK[:-1]])
async def test_cancelling_aborts_the_connection(serve: Serve, make_pool: MakePool, before: bytes):
    asked, gone = asyncio.Event(), asyncio.Event()

    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(before)
        asked.set()
        await conversation.gone()
        gone.set()

    peer, pool = await serve(script), make_pool()

    async def whole() -> None:
        answer = await ask(pool, peer)
        try:
            await read(answer)
        finally:
            await answer.aclose()

    task = asyncio.create_task(whole())
    await asked.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(gone.wait(), 5)


@pytest.mark.beyond_aiohttp("leaves it to the end of its timeout")
async def test_closing_the_pool_ends_what_is_under_way(serve: Serve, make_pool: MakePool):
    pool = make_pool()
    answer = await ask(pool, await serve(saying(OK[:-1])))
    await pool.aclose()
    with pytest.raises(PartlyAnswered) as caught:
        await read(answer)
    assert caught.value.fault is Fault.CUT_OFF


@pytest.mark.beyond_aiohttp("does not tell how many it keeps")
async def test_each_connection_has_its_own_rest(serve: Serve, make_pool: MakePool):
    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await asyncio.sleep(0.05 * len(peer.received))
        await conversation.say(OK)
        await conversation.gone()

    peer, pool = await serve(script), make_pool(keep=0.4)
    for answer in await asyncio.gather(ask(pool, peer), ask(pool, peer)):
        await read(answer)
    assert "open 2 idle 2" in repr(pool)
    await asyncio.wait_for(asyncio.wait(peer.tasks), 5)
