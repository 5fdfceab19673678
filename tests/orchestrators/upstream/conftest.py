"""The other side of a connection, scripted byte by byte; every test here runs on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
import uvloop

from orchestrators.upstream.base import Call, Target, UpstreamError
from orchestrators.upstream.transport import Answer, Limits, Pool

from .twin import TwinPool

LINE = b"HTTP/1.1 200 OK\r\n"
OK = LINE + b"content-length: 2\r\n\r\nhi"


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass(frozen=True, slots=True)
class Received:
    line: bytes
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def path(self) -> bytes:
        return self.line.split(b" ")[1]


class Conversation:
    """One connection as the other side sees it."""

    def __init__(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peer, self.reader, self.writer = peer, reader, writer

    async def head(self) -> tuple[bytes, dict[bytes, bytes]]:
        line, *fields = (await self.reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
        pairs = [item.split(b": ", 1) for item in fields]
        named = {name.lower(): value for name, value in pairs}
        assert len(named) == len(pairs), "a field came twice"
        return line, named

    async def request(self) -> Received:
        line, headers = await self.head()
        if headers.get(b"transfer-encoding") == b"chunked":
            body = b"".join([chunk async for chunk in self.chunked()])
        else:
            body = await self.reader.readexactly(int(headers[b"content-length"]))
        self.peer.received.append(received := Received(line, headers, body))
        return received

    async def chunked(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        assert await self.reader.readexactly(2) == b"\r\n"

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Waits until the other end has closed."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def hang_up(self) -> None:
        """Ends both streams now: the kernel says so before this returns, the loop hears of it later."""
        with socket.socket(fileno=os.dup(self.writer.get_extra_info("socket").fileno())) as sock:
            sock.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Conversation], Awaitable[None]]


@dataclass
class Peer:
    """`connections`: how many came. `received`: every request read by `Conversation.request`."""

    uri: str = ""
    connections: int = 0
    received: list[Received] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def target(self, protocol: str = "direct", **changes: str) -> Target:
        return Target(self.uri, protocol, changes.pop("wire_name", "depth"), **changes)


Serve = Callable[..., Awaitable[Peer]]


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Serve]:
    """`await serve(script)`: the script is run once for each connection, which is then closed."""
    running: list[tuple[asyncio.Server, Peer]] = []

    async def start(script: Script, *, tls: ssl.SSLContext | None = None) -> Peer:
        peer = Peer()

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await script(Conversation(peer, reader, writer))
            writer.close()

        def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer.connections += 1
            peer.writers.append(writer)
            peer.tasks.append(asyncio.get_running_loop().create_task(converse(reader, writer)))

        server = await asyncio.start_server(visited, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        peer.uri = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        running.append((server, peer))
        return peer

    yield start
    for server, peer in running:
        server.close()
        for task in peer.tasks:
            task.cancel()
        results = await asyncio.gather(*peer.tasks, return_exceptions=True)
        for writer in peer.writers:
            with contextlib.suppress(
                AttributeError
            ):  # asyncio's, closed after its buffer was sent, has no loop
                writer.transport.abort()
        await asyncio.sleep(0.001)  # the loop closes what was aborted in its next round
        for result in results:
            if isinstance(result, Exception):
                raise result


MakePool = Callable[..., Pool]
KINDS = {"own": Pool, "aiohttp": TwinPool}
CONTRACT = ("answers", "deadlines", "reuse", "uploads")  # test_transport_*, which aiohttp is held to as well


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "make_pool" in metafunc.fixturenames:
        shared = metafunc.module.__name__.rpartition("_")[2] in CONTRACT
        metafunc.parametrize("make_pool", KINDS if shared else ["own"], indirect=True)


@pytest_asyncio.fixture
async def make_pool(request: pytest.FixtureRequest) -> AsyncIterator[MakePool]:
    """A pool of ours, or of its twin. `beyond_aiohttp(reason)`: the twin cannot do what the test wants."""
    beyond = request.node.get_closest_marker("beyond_aiohttp")
    if beyond and request.param == "aiohttp":
        pytest.skip(f"aiohttp {beyond.args[0]}")
    pools: list[Pool] = []

    def make(**limits: float) -> Pool:
        pools.append(KINDS[request.param](Limits(**limits)))  # type: ignore[arg-type]
        return pools[-1]

    yield make
    for pool in pools:
        await pool.aclose()


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port nobody listens on: bound, never listened to."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def call(body: object = b"{}", **changes: object) -> Call:
    facts: dict[str, object] = {
        "request_id": "job-0",
        "worker_path": b"",
        "content_type": "application/json",
        "body": body,
        "timeout": 5.0,
    }
    return Call(**(facts | changes))  # type: ignore[arg-type]


@dataclass
class Upload:
    """A `base.Body` from what a test yields; `closed` counts the readings that ended."""

    source: Callable[[], AsyncIterator[bytes]]
    length: int | None = None
    closed: int = 0
    repeatable: bool = True

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self.source():
                yield chunk
        finally:
            self.closed += 1


async def read(answer: object) -> bytes:
    return b"".join([chunk async for chunk in answer.chunks()])  # type: ignore[attr-defined]


def saying(*parts: bytes) -> Script:
    """Reads a request and says the parts, for as long as requests come."""

    async def script(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            for part in parts:
                await conversation.say(part)
                await asyncio.sleep(0)

    return script


def saying_once(data: bytes) -> Script:
    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(data)

    return script


async def ask(pool: Pool, peer: Peer, **options: float) -> Answer:
    options.setdefault("timeout", 5.0)
    return await pool.origin(peer.target()).send(b"POST", b"/", [], b"{}", **options)


async def fault_of(pool: Pool, peer: Peer, **options: float) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await read(await ask(pool, peer, **options))
    return caught.value
