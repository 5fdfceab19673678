"""Who takes a connection: workers on one listening socket, here two in one event loop."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from byocgw import listening
from byocgw.listening import Listener


class Worker:
    """What a worker holds, by what its listener made. `place`: its place in the shared memory."""

    def __init__(self, sock: Any, place: int) -> None:
        self.held = set[asyncio.BaseTransport]()
        self.listener = Listener(sock, place, lambda: Held(self.held), self.held)

    async def end(self) -> None:
        if self.listener.sock.fileno() >= 0:
            await self.listener.close()
        for transport in list(self.held):
            transport.close()
        while self.held:
            await asyncio.sleep(0)


class Held(asyncio.Protocol):
    def __init__(self, held: set[asyncio.BaseTransport]) -> None:
        self.held = held

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.held.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.held.discard(self.transport)


class Clients:
    """Those who connect to `sock`."""

    def __init__(self, sock: socket.socket) -> None:
        self.address = sock.getsockname()
        self.opened: list[socket.socket] = []

    def connect(self) -> None:
        self.opened.append(socket.create_connection(self.address))

    def close(self) -> None:
        while self.opened:
            self.opened.pop().close()


@pytest.fixture
def sock() -> Any:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening_socket:
        listening_socket.setblocking(False)
        yield listening_socket


@pytest.fixture
def clients(sock: socket.socket) -> Any:
    clients = Clients(sock)
    yield clients
    clients.close()


@pytest.fixture
async def workers(sock: socket.socket) -> AsyncIterator[list[Worker]]:
    made = [Worker(sock.dup(), place) for place in (0, 1)]
    for worker in made:
        worker.listener.open()
    yield made
    for worker in made:
        await worker.end()


async def settled(workers: list[Worker], number: int) -> list[int]:
    """How many each holds, once they are `number` together."""
    async with asyncio.timeout(20):
        while sum(len(worker.held) for worker in workers) != number:
            await asyncio.sleep(0.001)
    return [len(worker.held) for worker in workers]


async def test_connections_opened_one_after_the_other_are_shared_out(
    workers: list[Worker], clients: Clients
) -> None:
    for number in range(1, 11):
        clients.connect()
        await settled(workers, number)
    assert await settled(workers, 10) == [5, 5]


async def test_who_lost_its_connections_gets_the_next(workers: list[Worker], clients: Clients) -> None:
    for number in range(1, 9):
        clients.connect()
        await settled(workers, number)
    for transport in list(workers[0].held):
        transport.close()
    await settled(workers, 4)
    for number in range(5, 9):
        clients.connect()
        await settled(workers, number)
    assert (await settled(workers, 8))[0] >= 3  # the other may take one before it hears


async def test_nobody_waits_for_a_worker_that_hangs(workers: list[Worker], clients: Clients) -> None:
    hanging, awake = workers
    hanging.listener.loop.remove_reader(hanging.listener.sock.fileno())
    for _ in range(20):
        clients.connect()
    assert await settled(workers, 20) == [0, 20]
    assert listening.held[hanging.listener.place] < listening.held[awake.listener.place]


async def test_the_last_worker_takes_what_has_come(workers: list[Worker], clients: Clients) -> None:
    """Who ends before it leaves that to the others."""
    first, last = workers
    for _ in range(3):
        clients.connect()
    await first.listener.close()
    await last.listener.close()
    assert [len(worker.held) for worker in workers] == [0, 3]


class Full:
    """A listening socket of a process that has no descriptors left, `times` times."""

    def __init__(self, sock: socket.socket, times: int) -> None:
        self.sock, self.times = sock, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)

    def accept(self) -> Any:
        self.times -= 1
        if self.times >= 0:
            raise OSError(errno.EMFILE, "Too many open files")
        return self.sock.accept()


async def test_without_descriptors_it_tries_again_later(
    sock: socket.socket, clients: Clients, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "RETRY", 0.01)
    worker = Worker(Full(sock.dup(), 3), 0)
    worker.listener.open()
    clients.connect()
    assert await settled([worker], 1) == [1]
    assert [record.getMessage() for record in caplog.records] == [
        "No connection can be taken: [Errno 24] Too many open files. Next attempt in 0.01 s."
    ] * 3
    await worker.end()


def test_each_worker_has_its_own_place() -> None:
    taken = set[int]()
    for expected in range(3):
        place = listening.free_place(taken)
        assert place == expected
        taken.add(place)
    assert listening.free_place({0, 2}) == 1
    assert listening.free_place(set(range(listening.PLACES))) == listening.PLACES - 1


def test_who_is_coming_is_known_until_it_arrives_or_ends() -> None:
    for place in (0, 1, 2):
        listening.expect(place)
    assert listening.is_expected(1) and not listening.anyone_serves()
    listening.leave(1)
    assert not listening.is_expected(1)
    listening.leave(0)
    assert listening.anyone_is_coming()
    listening.expect_nobody()
    assert not listening.anyone_is_coming()
