"""Request bodies: as they come, as long as they said, and no further than the answer."""

from __future__ import annotations

import asyncio

import pytest

from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import NotAnswered

from .conftest import OK, Conversation, MakePool, Serve, Upload, read


async def answering(conversation: Conversation) -> None:
    while True:
        await conversation.request()
        await conversation.say(OK)


async def send(pool, peer, body, timeout=5.0):
    return await pool.origin(peer.target()).send(b"POST", b"/", [], body, timeout=timeout)


async def three():
    for part in (b"ab", b"", b"cd"):
        yield part


async def test_it_sends_a_body_of_unknown_length_in_chunks(serve: Serve, make_pool: MakePool):
    peer, pool = await serve(answering), make_pool()
    for _ in range(2):
        assert await read(await send(pool, peer, Upload(three))) == b"hi"
    assert [received.body for received in peer.received] == [b"abcd", b"abcd"]
    assert b"content-length" not in peer.received[0].headers
    assert peer.connections == 1


async def test_it_sends_a_body_of_known_length_plainly(serve: Serve, make_pool: MakePool):
    peer = await serve(answering)
    assert await read(await send(make_pool(), peer, Upload(three, length=4))) == b"hi"
    assert (peer.received[0].headers[b"content-length"], peer.received[0].body) == (b"4", b"abcd")


@pytest.mark.beyond_aiohttp("sends on what does not fit its length")
@pytest.mark.parametrize("length", [3, 5])
async def test_it_refuses_a_body_of_another_length(serve: Serve, make_pool: MakePool, length: int):
    """The rest of one body would be the head of the next request."""
    upload = Upload(three, length=length)
    with pytest.raises(ValueError, match="a body of"):
        await send(make_pool(), await serve(answering), upload)
    assert upload.closed == 1


async def test_what_is_uploaded_arrives_while_it_is_produced(serve: Serve, make_pool: MakePool):
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(conversation: Conversation) -> None:
        await conversation.head()
        async for chunk in conversation.chunked():
            arrived.put_nowait(chunk)
        await conversation.say(OK)

    async def step_by_step():
        for part in (b"one", b"two", b"three"):
            yield part
            assert await asyncio.wait_for(arrived.get(), 5) == part

    assert await read(await send(make_pool(), await serve(script), Upload(step_by_step))) == b"hi"


async def test_an_upload_waits_for_who_reads_it(serve: Serve, make_pool: MakePool):
    size, sent = 32 * 1024**2, 0
    full, read_on = asyncio.Event(), asyncio.Event()

    async def much():
        nonlocal sent
        for _ in range(size // 65536):
            asyncio.get_running_loop().call_later(0.1, full.set)
            yield b"x" * 65536
            sent += 65536

    async def script(conversation: Conversation) -> None:
        conversation.writer.transport.pause_reading()
        await read_on.wait()
        conversation.writer.transport.resume_reading()
        await answering(conversation)

    peer = await serve(script)
    task = asyncio.create_task(send(make_pool(), peer, Upload(much, length=size)))
    await full.wait()
    assert sent < size
    read_on.set()
    assert await read(await task) == b"hi"
    assert len(peer.received[0].body) == size


async def early(conversation: Conversation) -> None:
    await conversation.head()
    await conversation.reader.readexactly(1)
    await conversation.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
    await conversation.gone()


async def endless():
    while True:
        yield b"x" * 1000
        await asyncio.sleep(0)


async def once_then_never():
    yield b"x"
    await asyncio.Event().wait()


@pytest.mark.parametrize("source", [endless, once_then_never])
async def test_an_early_answer_stops_the_upload(serve: Serve, make_pool: MakePool, source):
    peer, pool = await serve(early), make_pool()
    for turn in (1, 2):
        upload = Upload(source)
        answer = await asyncio.wait_for(send(pool, peer, upload), 5)
        assert (answer.status, await read(answer), upload.closed) == (413, b"no", 1)
        assert peer.connections == turn


@pytest.mark.beyond_aiohttp("warns of bodies in one piece")
async def test_an_early_answer_to_a_body_in_one_piece_is_not_followed_by_its_rest(
    serve: Serve, make_pool: MakePool
):
    peer, pool = await serve(early), make_pool()
    answer = await send(pool, peer, b"x" * 32 * 1024**2)
    assert (answer.status, await read(answer)) == (413, b"no")
    await asyncio.wait_for(asyncio.wait(peer.tasks), 5)


async def test_a_connection_that_breaks_stops_the_upload(serve: Serve, make_pool: MakePool):
    async def script(conversation: Conversation) -> None:
        await conversation.head()
        await conversation.reader.readexactly(1)
        conversation.reset()

    upload = Upload(once_then_never)
    with pytest.raises(NotAnswered) as caught:
        await asyncio.wait_for(send(make_pool(), await serve(script), upload), 5)
    assert (caught.value.fault, upload.closed) == (Fault.BROKEN, 1)


class ClientGone(Exception):
    pass


@pytest.mark.beyond_aiohttp("hides the body's own error")
async def test_what_breaks_the_body_comes_out_as_it_is(serve: Serve, make_pool: MakePool):
    gone = asyncio.Event()

    async def script(conversation: Conversation) -> None:
        await conversation.gone()
        gone.set()

    async def broken():
        yield b"x"
        raise ClientGone

    with pytest.raises(ClientGone):
        await send(make_pool(), await serve(script), Upload(broken))
    await asyncio.wait_for(gone.wait(), 5)


async def test_a_body_that_is_cancelled_from_within_ends_the_call(serve: Serve, make_pool: MakePool):
    async def cancelled():
        yield b"x"
        raise asyncio.CancelledError

    with pytest.raises(NotAnswered):
        await asyncio.wait_for(send(make_pool(), await serve(Conversation.gone), Upload(cancelled)), 5)


async def test_cancelling_stops_the_upload_and_aborts(serve: Serve, make_pool: MakePool):
    begun, gone = asyncio.Event(), asyncio.Event()

    async def script(conversation: Conversation) -> None:
        await conversation.head()
        begun.set()
        await conversation.gone()
        gone.set()

    upload = Upload(once_then_never)
    task = asyncio.create_task(send(make_pool(), await serve(script), upload))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert upload.closed == 1
    await asyncio.wait_for(gone.wait(), 5)
