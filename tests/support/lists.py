"""A server of lists: what a discovery source says, and every way in which one can misbehave."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Say = Callable[[bytes], None]


@dataclass
class ListServer:
    """`say[path]`: a document, bytes, or a function that writes to the socket. `asked`: request lines."""

    url: str = ""
    say: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[bytes] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def drip(self, write: Say) -> None:
        """A byte now and then, and never an end."""
        write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n[")
        while not self.over.wait(0.02):
            write(b" ")

    def silence(self, write: Say) -> None:
        self.over.wait(30)

    def endless(self, write: Say) -> None:
        """As many bytes as are taken, of no announced length."""
        write(b"HTTP/1.1 200 OK\r\n\r\n[")
        while not self.over.is_set():
            write(b" " * 65536)


def raw(status: str, body: bytes, *headers: str) -> Callable[[Say], None]:
    """An answer that says what its server does: each connection is for one request."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers, "", ""]
    return lambda write: write("\r\n".join(lines).encode() + body)


@contextmanager
def listing() -> Iterator[ListServer]:
    server = ListServer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline().decode().strip()
            length = 0
            while (plain := self.rfile.readline().strip()) != b"":
                server.headers.append(plain)
                header = plain.lower()
                if header.startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            server.asked.append(line)
            server.bodies.append(self.rfile.read(length))
            said = server.say[line.split(" ")[1]]
            if not callable(said):
                body = said if isinstance(said, bytes) else json.dumps(said).encode()
                said = raw("200 OK", body)
            with suppress(OSError):
                said(self.wfile.write)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as tcp:
        tcp.daemon_threads = True
        thread = threading.Thread(target=tcp.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.url = f"http://127.0.0.1:{tcp.server_address[1]}"
        try:
            yield server
        finally:
            server.over.set()
            tcp.shutdown()
            thread.join()
