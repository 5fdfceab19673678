"""How long an origin is given, and what stops while we are the slow ones."""

from __future__ import annotations

import asyncio

import pytest

from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import NotAnswered, NotConnected, PartlyAnswered, Target

from .conftest import OK, Conversation, MakePool, Serve, Upload, read

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"


def dripping(before: bytes, drop: bytes):
    """Something every 20 ms, for ever."""

    async def script(conversation: Conversation) -> None:
        await conversation.head()
        await conversation.say(before)
        while drop:
            await conversation.say(drop)
            await asyncio.sleep(0.02)
        await conversation.gone()

    return script


async def send(pool, peer, body=b"{}", **options):
    return await pool.origin(peer.target()).send(b"POST", b"/", [], body, **options)


@pytest.mark.parametrize("script", [dripping(b"", b""), dripping(b"HTTP/1.1 200 OK\r\nx: ", b"a")])
async def test_it_waits_for_a_head_no_longer_than_the_call_says(serve: Serve, make_pool: MakePool, script):
    with pytest.raises(NotAnswered) as caught:
        await send(make_pool(), await serve(script), timeout=0.1)
    assert caught.value.fault is Fault.NO_ANSWER


async def test_silence_within_a_body_is_a_stall(serve: Serve, make_pool: MakePool):
    """Also when the deadline for the head was much later."""
    answer = await send(make_pool(idle=0.1), await serve(dripping(HEAD, b"")), timeout=60)
    with pytest.raises(PartlyAnswered) as caught:
        await asyncio.wait_for(read(answer), 5)
    assert caught.value.fault is Fault.STALLED


async def test_a_body_that_drips_has_an_end(serve: Serve, make_pool: MakePool):
    answer = await send(make_pool(total=0.3), await serve(dripping(HEAD, b"x")), timeout=60)
    with pytest.raises(PartlyAnswered) as caught:
        await asyncio.wait_for(read(answer), 5)
    assert caught.value.fault is Fault.STALLED


async def test_a_total_of_the_call_counts_before_the_pools(serve: Serve, make_pool: MakePool):
    with pytest.raises(NotAnswered) as caught:
        await send(make_pool(), await serve(dripping(b"", b"")), timeout=60, total=0.1)
    assert caught.value.fault is Fault.NO_ANSWER


async def test_a_slow_body_is_no_fault_while_bytes_come(serve: Serve, make_pool: MakePool):
    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n")
        for _ in range(20):
            await asyncio.sleep(0.02)
            await conversation.say(b"x")

    answer = await send(make_pool(idle=0.25), await serve(script), timeout=0.25)
    assert await read(answer) == b"x" * 20


async def test_our_own_slow_client_is_not_the_orchestrators_time(serve: Serve, make_pool: MakePool):
    async def slowly():
        for _ in range(2):
            await asyncio.sleep(0.4)
            yield b"x"

    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(OK)

    answer = await send(make_pool(), await serve(script), Upload(slowly), timeout=0.3)
    assert await read(answer) == b"hi"


@pytest.mark.beyond_aiohttp("starts its timeout when the upload has ended")
async def test_an_upload_nobody_reads_is_the_orchestrators_time(serve: Serve, make_pool: MakePool):
    sent = 0

    async def much():
        nonlocal sent
        while True:
            sent += 65536
            yield b"x" * 65536

    async def script(conversation: Conversation) -> None:
        conversation.writer.transport.pause_reading()
        await asyncio.Event().wait()

    upload = Upload(much)
    with pytest.raises(NotAnswered) as caught:
        await send(make_pool(), await serve(script), upload, timeout=0.2)
    assert caught.value.fault is Fault.NO_ANSWER
    assert sent < 64 * 1024**2
    assert upload.closed == 1


@pytest.mark.beyond_aiohttp("tells no missing seat from a connection that takes long")
async def test_it_waits_for_a_seat_and_no_longer(serve: Serve, make_pool: MakePool):
    free = asyncio.Event()

    async def script(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            await free.wait()
            await conversation.say(OK)

    peer, pool = await serve(script), make_pool(connections=2, wait=0.5)
    busy = [asyncio.create_task(send(pool, peer, timeout=5)) for _ in range(2)]
    while len(peer.received) < 2:
        await asyncio.sleep(0.005)
    with pytest.raises(NotConnected) as caught:
        await send(pool, peer, timeout=5)
    assert caught.value.fault is Fault.SATURATED
    patient = asyncio.create_task(send(pool, peer, timeout=5))
    await asyncio.sleep(0)
    free.set()
    for answer in await asyncio.gather(*busy, patient):
        assert await read(answer) == b"hi"
    assert peer.connections == 2


async def test_every_failure_gives_its_seat_back(serve: Serve, make_pool: MakePool):
    async def script(conversation: Conversation) -> None:
        while (await conversation.request()).path == b"/ok":
            await conversation.say(OK)
        await conversation.say({b"/bad": b"what", b"/cut": OK[:-1]}.get(peer.received[-1].path, b""))

    peer, pool = await serve(script), make_pool(connections=1, wait=5.0)
    origin = pool.origin(peer.target())
    for path in (b"/bad", b"/cut", b"/close", b"/ok") * 2:
        try:
            answer = await origin.send(b"POST", path, [], b"", timeout=5)
            await read(answer)
        except (NotAnswered, PartlyAnswered):
            assert path != b"/ok"
    with pytest.raises(ValueError, match="target"):
        await origin.send(b"POST", b"no slash", [], b"", timeout=5)
    assert await read(await origin.send(b"POST", b"/ok", [], b"", timeout=5)) == b"hi"


async def test_a_refused_connection_gives_its_seat_back(make_pool: MakePool, free_port: int):
    origin = make_pool(connections=1, wait=5.0).origin(Target(f"http://127.0.0.1:{free_port}", "direct", "x"))
    for _ in range(3):
        with pytest.raises(NotConnected) as caught:
            await origin.send(b"POST", b"/", [], b"", timeout=1)
        assert caught.value.fault is Fault.REFUSED


async def test_who_hangs_takes_nobody_elses_connections(serve: Serve, make_pool: MakePool):
    """An origin is a bulkhead: others are asked as if it were not there."""

    async def answering(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            await conversation.say(OK)

    hanging, other = await serve(Conversation.gone), await serve(answering)
    pool = make_pool(connections=2, wait=0.05)
    stuck = [asyncio.create_task(send(pool, hanging, timeout=5)) for _ in range(5)]
    async with asyncio.timeout(5):
        while hanging.connections < 2:
            await asyncio.sleep(0.005)
    for _ in range(10):
        assert await read(await send(pool, other, timeout=5)) == b"hi"
    assert (hanging.connections, other.connections) == (2, 1)
    for task in stuck:
        task.cancel()
    ends = await asyncio.gather(*stuck, return_exceptions=True)
    assert sum(isinstance(end, asyncio.CancelledError | NotConnected) for end in ends) == 5
