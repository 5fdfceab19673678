"""Load: wrk for closed loops, clients of our own for everything that wrk cannot."""

from __future__ import annotations

import asyncio
import json
import select
import shutil
import socket
import subprocess
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httptools

from tests.benchmarks.bench.stage import Peer

REQUEST = json.dumps({"prompt": "all work and no play " * 46}).encode()  # some 1 KB

SCRIPT = """
wrk.method = "POST"
wrk.body = {body}
{headers}
done = function(summary, latency, requests)
  io.write(string.format('{{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "bad": %d}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What a load saw. Times in seconds. `bad`: not answered, or not with 200."""

    requests: int
    seconds: float
    p50: float
    p99: float
    bad: int

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def closed_by() -> str:
    """What makes closed loops here. wrk leaves more of the cores to those it measures."""
    return "wrk" if shutil.which("wrk") else "a client of our own, since wrk is not installed"


def closed(
    peer: Peer,
    folder: Path,
    *,
    connections: int,
    seconds: float,
    behaviour: str = "now",
    body: bytes | Path = REQUEST,
) -> Load:
    """So many connections, each asking again as soon as it was answered. A `Path`: a large body."""
    if not shutil.which("wrk"):
        return asyncio.run(_closed(peer.url(behaviour), peer.headers, body, connections, seconds))
    lua = f'io.open("{body}", "rb"):read("*a")' if isinstance(body, Path) else f"[==[{body.decode()}]==]"
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in peer.headers.items())
    script = folder / "load.lua"
    script.write_text(SCRIPT.format(body=lua, headers=headers))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s", "-s", str(script)]
    done = subprocess.run([*command, peer.url(behaviour)], capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode:
        raise RuntimeError(f"wrk: {done.stdout}{done.stderr}")
    return Load(**json.loads(done.stdout.strip().splitlines()[-1]))


class Asking(asyncio.Protocol):
    """One kept connection; `ask` returns the status at the end of the answer."""

    def __init__(self) -> None:
        self.first: float | None = None
        self._done: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.parser = httptools.HttpResponseParser(self)

    async def ask(self, request: bytes) -> int:
        self.first = None
        self._done = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._done

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.first = self.first or time.monotonic()

    def on_message_complete(self) -> None:
        status = self.parser.get_status_code()
        self.parser = httptools.HttpResponseParser(self)
        if self._done is not None and not self._done.done():
            self._done.set_result(status)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(0)


async def connect(url: str) -> Asking:
    parts = urlsplit(url)
    assert parts.hostname and parts.port
    _, asking = await asyncio.get_running_loop().create_connection(Asking, parts.hostname, parts.port)
    return asking


def request(url: str, headers: dict[str, str], body: bytes) -> bytes:
    parts = urlsplit(url)
    fields = {"host": parts.netloc, **headers, "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {parts.path} HTTP/1.1\r\n{head}\r\n".encode() + body


async def _closed(
    url: str, headers: dict[str, str], body: bytes | Path, connections: int, seconds: float
) -> Load:
    data = request(url, headers, body.read_bytes() if isinstance(body, Path) else body)
    until = time.monotonic() + seconds
    took: list[float] = []
    bad = 0

    async def one() -> None:
        nonlocal bad
        asking = await connect(url)
        while (began := time.monotonic()) < until:
            status = await asking.ask(data)
            took.append(time.monotonic() - began)
            bad += status != 200
            if not status:
                asking = await connect(url)
        asking.transport.close()

    began = time.monotonic()
    await asyncio.gather(*(one() for _ in range(connections)))
    return _summed_up(took, bad, time.monotonic() - began)


class Line:
    """One kept connection of the open loop."""

    def __init__(self, address: tuple[str | None, int | None]) -> None:
        self.address = address
        self.due = 0.0
        self._open()

    def fileno(self) -> int:
        return self.socket.fileno()

    def _open(self) -> None:
        self.socket = socket.create_connection(self.address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parser = httptools.HttpResponseParser(self)
        self.status: int | None = None

    def ask(self, request: bytes, due: float) -> None:
        self.due, self.status = due, None
        self.socket.sendall(request)

    def hear(self) -> int | None:
        """The status once the answer is all here, 0 when there will be none; else None."""
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.socket.close()
            self._open()
            return 0
        self.parser.feed_data(data)
        return self.status

    def on_message_complete(self) -> None:
        self.status = self.parser.get_status_code()
        self.parser = httptools.HttpResponseParser(self)


def open_loop(peer: Peer, *, rate: float, connections: int, seconds: float) -> Load:
    """So many requests a second, whatever becomes of them; each timed from when it was due.

    The connections take turns, as clients that know nothing of each other: of a stack few would be in use, and
    all of them might be one worker's. It sleeps until something is due or heard: a load that waits busily takes
    one of two cores from those it measures, and what it then sees is the scheduler.
    """
    parts = urlsplit(peer.url())
    data = request(peer.url(), peer.headers, REQUEST)
    free = deque(Line((parts.hostname, parts.port)) for _ in range(connections))
    busy: set[Line] = set()
    took: list[float] = []
    bad = 0
    began = time.monotonic()
    dues = deque(began + number / rate for number in range(int(rate * seconds)))
    while dues or busy:
        left = max(0.0, dues[0] - time.monotonic()) if dues and free else 30.0
        heard, _, _ = select.select(busy, (), (), left)
        now = time.monotonic()
        for line in heard:
            status = line.hear()
            if status is not None:
                took.append(now - line.due)
                bad += status != 200
                busy.remove(line)
                free.append(line)
        while dues and free and dues[0] <= now:
            line = free.popleft()
            line.ask(data, dues.popleft())
            busy.add(line)
    spent = time.monotonic() - began
    for line in free:
        line.socket.close()
    return _summed_up(took, bad, spent)


def _summed_up(took: list[float], bad: int, seconds: float) -> Load:
    ordered = sorted(took)
    p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return Load(len(took), seconds, p50, p99, bad)
