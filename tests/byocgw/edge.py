"""A uvicorn server that speaks BoundedProtocol in the test's own loop, and a client that sends raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.server import Server

from byocgw.protocol import BoundedProtocol
from routing.api.extensions import EXCHANGE

ODD = {
    "/at-once/odd": ("x-odd", "a\r\nb: c"),
    "/at-once/odd-name": ("x-odd: a\r\nb", "c"),
    "/at-once/nul": ("x-odd", "a\0"),
    "/at-once/nul-name": ("x-odd\0", "c"),
}


class App:
    """Answers with its view of the request. `/hold` waits for `go`, `/early` answers without the body,
    `/endless` until the client is gone, `/at-once` in one write (or what is in ODD: with a field that no
    head may hold), right after `meanwhile` was called."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.at_once: list[bool] = []
        self.meanwhile: Callable[[], object] = bool
        self.go = asyncio.Event()
        self.hung_up = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.served.append(scope["path"])
        if scope["path"] == "/hold":
            await self.go.wait()
        if scope["path"] == "/endless":
            return await self.endless(receive, send)
        body = b"" if scope["path"] == "/early" else await self.read(receive)
        fields = {name.decode(): len(value) for name, value in scope["headers"]}
        answer = json.dumps({"path": scope["path"], "fields": fields, "body": len(body)}).encode()
        if scope["path"].startswith("/at-once"):
            name, value = ODD.get(scope["path"], ("x-even", "a\t1"))
            exchange = scope[EXCHANGE]
            self.meanwhile()
            self.at_once.append(exchange.answer_whole(200, {name: value}, answer))
            if self.at_once[-1]:
                return
        length = (b"content-length", str(len(answer)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": answer})

    async def endless(self, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        sending = asyncio.create_task(self.send_on(send))
        while (await receive())["type"] != "http.disconnect":
            pass
        sending.cancel()
        self.hung_up.set()

    async def send_on(self, send: Any) -> None:
        while True:
            await send({"type": "http.response.body", "body": bytes(65_536), "more_body": True})

    async def read(self, receive: Any) -> bytes:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        return body


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.fileno: int = writer.get_extra_info("socket").fileno()

    def end(self) -> None:
        """Its own stream, now."""
        with socket.socket(fileno=os.dup(self.fileno)) as sock:
            sock.shutdown(socket.SHUT_WR)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def drip(self, data: bytes, *, every: float) -> bytes | None:
        """Send byte by byte; what the other side said when it hung up before the end, or None."""
        for index in range(len(data)):
            self.writer.write(data[index : index + 1])
            try:
                async with asyncio.timeout(every):
                    return await self.reader.read(65_536) + await self.rest()
            except TimeoutError:
                continue
            except ConnectionError:
                return b""
        return None

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.strip().split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in lines[1:])
            body = await self.reader.readexactly(int(fields["content-length"]))
        return int(lines[0].split()[1]), fields, body

    async def rest(self) -> bytes:
        """Everything until the other side hangs up; a reset counts as hanging up."""
        got = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                while data := await self.reader.read(65_536):
                    got += data
        return got


class Edge:
    """A uvicorn server with our protocol on a free port of this loop."""

    def __init__(self, protocol: type[BoundedProtocol]) -> None:
        self.app = App()
        config = Config(self.app, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False)
        self.server = Server(config)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.clients: list[Client] = []

    async def start(self) -> None:
        self.server.config.load()
        self.server.lifespan = self.server.config.lifespan_class(self.server.config)
        await self.server.startup(sockets=[self.socket])

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection(*self.socket.getsockname()))
        self.clients.append(client)
        return client

    async def stop(self) -> None:
        for client in self.clients:
            client.writer.close()
        self.app.go.set()
        await self.server.shutdown(sockets=[self.socket])


@contextlib.asynccontextmanager
async def running(protocol: type[BoundedProtocol]) -> AsyncIterator[Edge]:
    edge = Edge(protocol)
    await edge.start()
    try:
        yield edge
    finally:
        await edge.stop()
