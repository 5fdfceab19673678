"""A container that says what a test tells it, byte by byte: for what no simulated one would do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self

OK = b"HTTP/1.1 200 OK\r\n"
TOKEN = json.dumps(
    {"price": {"pricePerUnit": 1, "pixelsPerUnit": 1}, "available_capacity": 64, "balance": 0}
).encode()
NOW = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time at all


class Conversation:
    """One request, its head read. `pieces` and `whole` read its body; `body` is what they have read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self.line, *fields = head.decode("latin-1").strip().split("\r\n")
        self.headers = dict(field.lower().split(": ", 1) for field in fields)
        self.body = b""
        self.pieces = self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        if "content-length" in self.headers:
            while len(self.body) < int(self.headers["content-length"]):
                yield await self._read(65536)
            return
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            piece = await self._read(size, exactly=True)
            await self._reader.readexactly(2)
            yield piece
        await self._reader.readexactly(2)

    async def _read(self, size: int, *, exactly: bool = False) -> bytes:
        piece = await (self._reader.readexactly(size) if exactly else self._reader.read(size))
        if not piece:
            raise asyncio.IncompleteReadError(self.body, None)
        self.body += piece
        return piece

    async def whole(self) -> bytes:
        async for _ in self.pieces:
            pass
        return self.body

    async def skip(self, size: int) -> None:
        """Reads so many bytes of the body and keeps none."""
        while size:
            size -= len(await self._reader.read(min(size, 65536))) or size

    async def say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def chunk(self, data: bytes) -> None:
        await self.say(b"%x\r\n%b\r\n" % (len(data), data))

    async def reset(self) -> None:
        """Break the connection as a process that died does: RST, not FIN."""
        await asyncio.sleep(0.005)  # what was said is read first: a reset takes it back
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOW)
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Returns when the other side has hung up."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(65536):
                pass


Script = Callable[[Conversation], Awaitable[None]]


class Scripted:
    """A direct "orchestrator": `script` is run for every POST, then the connection is closed.

    With `protocol="byoc"` there is an orchestrator in front, of which only the tokens are its own.
    `ended` is set when a script has come to its end. Goes where a simulator goes in `scenes.orchestrator`.
    """

    def __init__(self, name: str, script: Script, *, protocol: str = "direct") -> None:
        self.name = name
        self.protocol = protocol
        self.calls = 0
        self.ended = asyncio.Event()
        self._script = script
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._visited, "127.0.0.1", 0)
        self.service_uri = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Refuse connections from now on, and break those there are."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.001)  # the loop closes the sockets in its next round

    def offer(self, capability: str, price: str = "1 wei/second", **fields: Any) -> dict[str, Any]:
        return {"capability": capability, "price": price, **fields}

    def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(self._converse(reader, writer)))

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET "):
                writer.write(self._looked_at())
                return
            self.calls += 1
            await self._script(Conversation(reader, writer, head))
            self.ended.set()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.ended.set()
        finally:
            writer.close()

    def _looked_at(self) -> bytes:
        if self.protocol == "direct":
            return b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
        length = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(TOKEN)
        return OK + b"content-type: application/json\r\n" + length + TOKEN


def answering(body: bytes, content_type: str = "application/json", *, status: str = "200 OK") -> Script:
    """Reads the request to its end and gives one whole answer."""

    async def script(conversation: Conversation) -> None:
        await conversation.whole()
        head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
        await conversation.say(head.encode() + body)

    return script
