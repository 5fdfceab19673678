"""A bounded HTTP/1.1 server protocol on httptools, cheap enough to stand behind a benchmark.

A handler gets an `Exchange`. It either answers at once and returns None, or returns a coroutine that
answers later: an instant answer then costs no task. One request of a connection is served at a time;
the next ones wait in a short queue, and reading goes on meanwhile, because a caller that hangs up
must be noticed: its coroutine is cancelled.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Any, cast

import httptools

HEAD_LIMIT = 1_200_000  # bytes; a Livepeer header may carry a whole request
FIELD_LIMIT = 200
BODY_LIMIT = 64 * 1024 * 1024  # bytes
QUEUE_LIMIT = 16  # pipelined requests

Running = Coroutine[Any, Any, None] | None  # the rest of an answer, or None when it has been given
Handler = Callable[["Exchange"], Running]
Field = tuple[str, str]

PLAIN = "text/plain; charset=utf-8"
NO_SNIFF = ("X-Content-Type-Options", "nosniff")

_STATUS_LINE = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n" for status in HTTPStatus}
_ABORTIVE_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close sends RST


class Exchange:
    """One request, whole, and the way to answer it.

    `path` and `query` are the raw bytes of the request line; `headers` has lower-case names, the last
    value of a repeated field. `begun`: the head of the answer is on its way.
    """

    __slots__ = ("begun", "body", "headers", "keep_alive", "method", "path", "query", "_connection")

    def __init__(self, connection: Connection, method: str, target: bytes) -> None:
        self._connection = connection
        self.method = method
        self.path, _, self.query = target.partition(b"?")
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.keep_alive = True
        self.begun = False

    def __repr__(self) -> str:
        return f"<Exchange {self.method} {self.path.decode('latin-1')}>"

    def answer(
        self, status: int, content_type: str, body: bytes = b"", *, fields: Sequence[Field] = ()
    ) -> Running:
        """The whole answer in one write. Returns what a handler returns that has answered."""
        self._connection.write(self._head(status, content_type, len(body), fields) + body)
        self._ended()
        return None

    def begin(
        self, status: int, content_type: str, *, length: int | None = None, fields: Sequence[Field] = ()
    ) -> None:
        """The head alone; `length` None means chunks follow, through `send`."""
        self._connection.write(self._head(status, content_type, length, fields))

    async def send(self, data: bytes) -> None:
        """One chunk; waits while the caller reads slower than we write."""
        await self._connection.drain()
        self._connection.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def send_raw(self, data: bytes) -> None:
        """Bytes of a body whose length was announced."""
        await self._connection.drain()
        self._connection.write(data)

    def end(self) -> None:
        """The last chunk."""
        self._connection.write(b"0\r\n\r\n")
        self._ended()

    def cut(self) -> None:
        """Close before the answer is complete; what was written still arrives."""
        self._connection.close()

    def reset(self) -> Running:
        """Break the connection as a dying process does: RST, nothing flushed."""
        self._connection.reset()
        return None

    def _ended(self) -> None:
        if not self.keep_alive:
            self._connection.close()

    def _head(self, status: int, content_type: str, length: int | None, fields: Sequence[Field]) -> bytes:
        self.begun = True
        head = _STATUS_LINE.get(status) or f"HTTP/1.1 {status} Unknown\r\n"
        if content_type:
            head += f"Content-Type: {content_type}\r\n"
        for name, value in fields:
            head += f"{name}: {value}\r\n"
        head += "Transfer-Encoding: chunked\r\n" if length is None else f"Content-Length: {length}\r\n"
        if not self.keep_alive:
            head += "Connection: close\r\n"
        return (head + "\r\n").encode("latin-1")


def go_error(exchange: Exchange, status: int, text: str, *, fields: Sequence[Field] = ()) -> Running:
    """What Go's http.Error writes."""
    return exchange.answer(status, PLAIN, text.encode("utf-8", "replace") + b"\n", fields=(*fields, NO_SNIFF))


class Connection(asyncio.Protocol):
    """One accepted connection: parses, queues, serves, and tells the handler when the caller is gone."""

    def __init__(self, handler: Handler, connections: set[Connection]) -> None:
        self.handler = handler
        self.connections = connections
        self.loop = asyncio.get_running_loop()
        self.task: asyncio.Task[None] | None = None
        self.waiting: deque[Exchange] = deque()
        self.room: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Connection {'busy' if self.task else 'idle'}, {len(self.waiting)} waiting>"

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.parser = httptools.HttpRequestParser(self)
        self.connections.add(self)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        if self.in_head:
            self.head += len(data)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return self._refuse(self.refusal)
        # A read may bring the end of a head and much of a body: only a head that is not over counts.
        if self.in_head and self.head > HEAD_LIMIT:
            return self._refuse(431)
        self._serve()

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self)
        self.waiting.clear()
        if self.task is not None:
            self.task.cancel()
        self.resume_writing()

    def pause_writing(self) -> None:
        self.room = self.loop.create_future()

    def resume_writing(self) -> None:
        room, self.room = self.room, None
        if room is not None and not room.done():
            room.set_result(None)

    # What httptools calls.

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields[name.lower()] = value
        if len(self.fields) > FIELD_LIMIT:
            self.refusal = 431
            raise ValueError("too many fields")

    def on_headers_complete(self) -> None:
        self.in_head = False
        if self.fields.get(b"expect", b"").lower() == b"100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self.body.append(body)
        self.size += len(body)
        if self.size > BODY_LIMIT:
            self.refusal = 413
            raise ValueError("body too large")

    def on_message_complete(self) -> None:
        exchange = Exchange(self, self.parser.get_method().decode("ascii"), self.target)
        exchange.headers = self.fields
        exchange.body = self.body[0] if len(self.body) == 1 else b"".join(self.body)
        exchange.keep_alive = self.parser.should_keep_alive()
        self.waiting.append(exchange)
        self._expect_head()
        if len(self.waiting) > QUEUE_LIMIT:
            raise ValueError("too many requests at once")

    # Ours.

    def _expect_head(self) -> None:
        self.in_head, self.head, self.size, self.refusal = True, 0, 0, 400
        self.target = b""
        self.fields: dict[bytes, bytes] = {}
        self.body: list[bytes] = []

    def _serve(self) -> None:
        while self.task is None and self.waiting:
            coroutine = self.handler(self.waiting.popleft())
            if coroutine is not None:
                self.task = self.loop.create_task(coroutine)
                self.task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self.task = None
        failure = None if task.cancelled() else task.exception()
        if failure is not None and not isinstance(failure, ConnectionError):
            self.loop.call_exception_handler({"message": "a handler failed", "exception": failure})
        if failure is not None or task.cancelled():
            self.transport.abort()
        else:
            self._serve()

    def _refuse(self, status: int) -> None:
        head = _STATUS_LINE[status] + "Content-Length: 0\r\nConnection: close\r\n\r\n"
        self.transport.write(head.encode())
        self.transport.close()

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    async def drain(self) -> None:
        if self.room is not None:
            await self.room
        if self.transport.is_closing():
            raise ConnectionResetError("the caller hung up")

    def close(self) -> None:
        self.waiting.clear()
        self.transport.close()

    def reset(self) -> None:
        self.waiting.clear()
        connected = self.transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORTIVE_CLOSE)
        self.transport.abort()
