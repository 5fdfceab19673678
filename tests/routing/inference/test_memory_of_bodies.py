"""What bodies cost: both ways they flow at the pace of the slower side, and little of them is kept."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from orchestrators.simulator import Container, Simulator
from routing.models import Attempt, Job
from tests.byocgw.edge import Client
from tests.routing.inference.scenes import only_cheapest_first, orchestrator
from tests.routing.inference.scripted import OK, Conversation, Scripted
from tests.support.gateway import Gateway, in_thread

ECHO = {"slug": "echo", "profile": "warm", "price_ceiling": "none"}
URL = "/v1/capabilities/echo"
MIB = 1024**2
BLOCK = bytes(64 * 1024)
HEAD = b"POST %b HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n"
MOST = 24 * MIB  # of memory, for a body many times as large


def resident() -> int:
    """Bytes of this process in memory: gateway, client and orchestrator together."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def echoed_by(gateway: Gateway, *simulators: Simulator | Scripted, **policy: object) -> None:
    offers = [
        orchestrator(each, each.offer("echo") if isinstance(each, Scripted) else "echo")  # type: ignore[arg-type]
        for each in simulators
    ]
    await gateway.apply({"capabilities": [ECHO | policy], "orchestrators": offers})
    await gateway.probe()
    only_cheapest_first(gateway)


def cedar() -> Simulator:
    """Cheapest, and broken."""
    return Simulator("cedar", capabilities=[Container("echo", price=1, fault="gpu_oom")])


def alder() -> Simulator:
    return Simulator("alder", capabilities=[Container("echo", price=100)])


async def connect_to(gateway: Gateway) -> Client:
    host, port = gateway.url.removeprefix("http://").split(":")
    return Client(*await asyncio.open_connection(host, int(port), limit=2**16))


async def asked_and_left_unread(gateway: Gateway, birch: Scripted) -> tuple[Client, bool]:
    """A client that has the head of an answer and takes no more for half a second; is its orchestrator still
    at it then?"""
    await echoed_by(gateway, birch)
    client = await connect_to(gateway)
    await client.send(HEAD % (URL.encode(), gateway.key.encode(), 0))
    await client.reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(0.5)
    return client, not birch.ended.is_set()


@contextlib.asynccontextmanager
async def peak_of_memory() -> AsyncIterator[list[int]]:
    """[0] is the most that was added, when it is over."""
    before, grown = resident(), [0]

    async def watch() -> None:
        while True:
            grown[0] = max(grown[0], resident() - before)
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    try:
        yield grown
    finally:
        watching.cancel()


async def test_a_large_stream_waits_for_a_slow_client(gateway: Gateway) -> None:
    """R3: 50 MB of events, which are written at once while the client takes them, never many here."""
    event = b"data: %b\n\n" % (b"x" * 60_000)

    async def much(conversation: Conversation) -> None:
        await conversation.whole()
        await conversation.say(OK + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(800):
            await conversation.chunk(event)
        await conversation.say(b"0\r\n\r\n")

    async with Scripted("birch", much) as birch, peak_of_memory() as grown:
        client, paused = await asked_and_left_unread(gateway, birch)
        received = b""
        while size := int(await client.reader.readuntil(b"\r\n"), 16):
            piece = (await client.reader.readexactly(size + 2))[:-2]
            received = (received + piece)[-len(event) :]
        client.writer.transport.abort()

    assert paused
    assert received == event
    assert grown[0] < MOST


async def test_a_large_answer_waits_for_a_slow_client(gateway: Gateway) -> None:
    """200 MB, and never more than a few of them here."""
    blocks = 200 * 16

    async def much(conversation: Conversation) -> None:
        await conversation.whole()
        await conversation.say(OK + b"content-length: %d\r\n\r\n" % (blocks * len(BLOCK)))
        for _ in range(blocks):
            await conversation.say(BLOCK)

    async with Scripted("birch", much) as birch, peak_of_memory() as grown:
        client, paused = await asked_and_left_unread(gateway, birch)
        received = 0
        while received < blocks * len(BLOCK):
            received += len(await client.reader.read(MIB))
            if received % MIB < 1000:
                await asyncio.sleep(0.001)
        client.writer.transport.abort()

    assert paused
    assert grown[0] < MOST


async def test_a_large_upload_waits_for_a_slow_orchestrator(gateway: Gateway) -> None:
    """64 MB, of which nothing may be kept: the client is stopped while the orchestrator does not read."""
    gateway.runtime.replay_memory.limit = 0
    size, sent = 64 * MIB, 0
    read_on = asyncio.Event()

    async def slowly(conversation: Conversation) -> None:
        await read_on.wait()
        await conversation.skip(size)
        await conversation.say(OK + b"content-length: 2\r\n\r\nok")

    async with Scripted("birch", slowly) as birch, peak_of_memory() as grown:
        await echoed_by(gateway, birch)
        client = await connect_to(gateway)
        await client.send(HEAD % (URL.encode(), gateway.key.encode(), size))

        async def upload() -> None:
            nonlocal sent
            while sent < size:
                await client.send(BLOCK)
                sent += len(BLOCK)

        uploading = asyncio.create_task(upload())
        await asyncio.sleep(0.5)
        sent_before = sent
        read_on.set()
        status, _, body = await client.answer()
        await uploading
        client.writer.transport.abort()

    assert sent_before < size
    assert (status, body) == (200, b"ok")
    assert grown[0] < MOST


async def pieces(number: int) -> AsyncIterator[bytes]:
    for _ in range(number):
        yield BLOCK
        await asyncio.sleep(0)


async def told(gateway: Gateway) -> tuple[Job, list[str]]:
    """The one job there is, and what is said of its attempts."""
    await gateway.drained()
    said = await in_thread(lambda: list(Attempt.objects.order_by("pk").values_list("detail", flat=True)))
    return await in_thread(Job.objects.get), said


async def test_a_body_that_cannot_be_kept_gets_one_attempt(gateway: Gateway) -> None:
    """It streams all the same; that nobody else was asked is said to the client and in the books."""
    gateway.runtime.replay_memory.limit = MIB
    async with cedar() as broken, alder() as good:
        await echoed_by(gateway, broken, good)
        answer = await gateway.post(URL, content=pieces(64))
        job, details = await told(gateway)

    assert (answer.status_code, answer.json()["code"]) == (502, "exhausted")
    assert "not kept for another attempt" in answer.json()["detail"]
    assert len(broken.jobs[-1].body) == 64 * len(BLOCK)
    assert not good.calls
    assert (job.attempts_made, job.code) == (1, "exhausted")
    assert "not kept for another attempt" in details[0]
    assert gateway.runtime.replay_memory.used == 0


async def test_a_body_that_cannot_be_kept_is_served(gateway: Gateway) -> None:
    gateway.runtime.replay_memory.limit = MIB
    async with alder() as good:
        await echoed_by(gateway, good)
        answer = await gateway.post(URL, content=pieces(64))

    assert (answer.status_code, len(answer.content)) == (200, 64 * len(BLOCK))
    assert gateway.runtime.replay_memory.used == 0


async def test_small_bodies_need_no_room(gateway: Gateway) -> None:
    gateway.runtime.replay_memory.limit = 0
    async with cedar() as broken, alder() as good:
        await echoed_by(gateway, broken, good)
        answer = await gateway.post(URL, content=b"small")

    assert (answer.status_code, answer.headers["x-byocgw-attempts"]) == (200, "2")


async def test_requests_share_the_room_and_give_it_back(gateway: Gateway) -> None:
    """While one upload holds all of it another gets one attempt; afterwards there is room again."""
    gateway.runtime.replay_memory.limit = 2 * MIB
    go_on = asyncio.Event()

    async def held_up() -> AsyncIterator[bytes]:
        for _ in range(33):
            yield BLOCK
        await go_on.wait()

    async with cedar() as broken, alder() as good:
        await echoed_by(gateway, broken, good)
        first = asyncio.create_task(gateway.post(URL, content=held_up()))
        async with asyncio.timeout(10):
            while gateway.runtime.replay_memory.used < 2 * MIB - len(BLOCK):
                await asyncio.sleep(0.01)
        second = await gateway.post(URL, content=pieces(16))
        go_on.set()
        assert (second.status_code, (await first).status_code) == (502, 200)
        third = await gateway.post(URL, content=pieces(16))

    assert third.status_code == 200
    assert gateway.runtime.replay_memory.used == 0


async def test_a_client_that_does_not_read_keeps_no_seat(gateway: Gateway) -> None:
    """Its time is the profile's attempt timeout; nothing is held against the orchestrator."""

    async def endless(conversation: Conversation) -> None:
        await conversation.whole()
        await conversation.say(OK + b"content-length: %d\r\n\r\n" % 2**30)
        while True:
            await conversation.say(BLOCK)

    async with Scripted("birch", endless) as birch:
        await echoed_by(gateway, birch, attempt_timeout=0.5, cold_grace=0.0)
        client = await connect_to(gateway)
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await client.send(HEAD % (URL.encode(), gateway.key.encode(), 0))
        await client.reader.readuntil(b"\r\n\r\n")
        client.writer.transport.pause_reading()
        await asyncio.wait_for(birch.ended.wait(), 10)
        assert gateway.runtime.board.in_flight == 0
        job, _ = await told(gateway)
        client.writer.transport.abort()
        await asyncio.sleep(0.01)

    assert (job.code, job.status) == ("cancelled", 200)
    assert all(not live.health.streak for live in gateway.runtime.board.offers.values())
