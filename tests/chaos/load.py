"""Steady load on a gateway, by an open loop, and an account of every single call.

Raw sockets, because it matters what became of a call: whether its connection was a kept one, and whether
any byte of the answer had come when it broke.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.support.served import Served

PATIENCE = 40.0  # seconds for one answer
AT_ONCE = 200  # calls without an answer: fewer than seats, whoever of the five is ill
KEPT = 3  # of four calls so many use a connection that is kept, if there is one
# In one statement: calls that no client has the answer of may be drained between two.
BOOKED = "SELECT request_id, (SELECT SUM(requests) FROM routing_usagehour) FROM routing_job"
IDLE, IDLE_FOR = 32, 30.0  # connections kept at most, and seconds for each: well below the server's own 75


@dataclass(slots=True)
class Call:
    """`fresh`: on a connection made for it. `sent`: it was, in full. `got`: bytes of the answer.
    `error`: why there is no whole answer. `at`, `seconds`: when it began, how long it took."""

    fresh: bool
    at: float
    again: bool = False  # the one repetition of a call that broke without a byte
    sent: bool = False
    got: int = 0
    status: int = 0
    request_id: str = ""
    error: str = ""
    seconds: float = 0.0

    @property
    def served(self) -> bool:
        return self.status == 200 and not self.error


class Line:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.used_at = time.monotonic()

    @classmethod
    async def open(cls, gateway: Served) -> Line:
        return cls(*await asyncio.open_connection(gateway.host, gateway.port))

    async def ask(self, request: bytes, call: Call) -> bool:
        """Fills in what became of it; False when the connection cannot be used again."""
        self.writer.write(request)
        call.sent = True
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as exc:
            call.got = len(exc.partial)
            raise
        call.got = len(head)
        lines = head.decode("latin-1").lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:] if line)
        if "content-length" in fields:
            await self.reader.readexactly(int(fields["content-length"]))
        else:
            await self._chunks()
        call.status, call.request_id = int(lines[0].split()[1]), fields.get("x-request-id", "")
        return fields.get("connection") != "close"

    async def _chunks(self) -> None:
        while size := int(await self.reader.readline(), 16):
            await self.reader.readexactly(size + 2)
        await self.reader.readline()

    def close(self) -> None:
        self.writer.transport.abort()


def request(gateway: Served, path: str = "depth", body: bytes = b'{"image": "a picture"}') -> bytes:
    head = (
        f"POST /v1/capabilities/{path} HTTP/1.1\r\nhost: gateway\r\n"
        f"authorization: Bearer {gateway.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Load:
    """`async with Load(gateway, rate=100) as load: <hurt it>`: so many calls a second all the while.

    `wanted`: a request as bytes, else one of `depth`."""

    def __init__(self, gateway: Served, *, rate: float, wanted: bytes | None = None) -> None:
        self.calls: list[Call] = []
        self._gateway = gateway
        self._every = 1 / rate
        self._request = wanted or request(gateway)
        self._idle: deque[Line] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._dice = random.Random(1)

    def __repr__(self) -> str:
        return f"<Load {len(self.calls)} calls, {self.outcomes()}>"

    async def __aenter__(self) -> Self:
        self._ticking = asyncio.create_task(self._tick())
        await asyncio.sleep(0.5)  # under way before anything is hurt
        return self

    async def __aexit__(
        self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await asyncio.sleep(0.5)  # and still afterwards
        self._ticking.cancel()
        await asyncio.gather(*self._tasks)
        while self._idle:
            self._idle.pop().close()

    def outcomes(self) -> Counter[str]:
        return Counter(call.error or str(call.status) for call in self.calls)

    @property
    def failures(self) -> list[Call]:
        return [call for call in self.calls if not call.served]

    def latency(self, share: float, calls: Iterable[Call] | None = None) -> float:
        """Seconds below which this share of the served calls stayed."""
        taken = sorted(call.seconds for call in calls or self.calls if call.served)
        return taken[min(len(taken) - 1, int(share * len(taken)))]

    async def _tick(self) -> None:
        began, count = time.monotonic(), 0
        while True:
            if len(self._tasks) < AT_ONCE:  # beyond that it would measure itself
                task = asyncio.create_task(self._call())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            count += 1
            await asyncio.sleep(max(0.0, began + count * self._every - time.monotonic()))

    async def _call(self) -> None:
        call = await self._ask(self._kept() if self._dice.randrange(4) < KEPT else None)
        if call.error and call.sent and not call.got and not call.fresh:
            await self._ask(None, again=True)

    def _kept(self) -> Line | None:
        """The one used last; those that have been idle for too long are closed."""
        while self._idle and time.monotonic() - self._idle[0].used_at > IDLE_FOR:
            self._idle.popleft().close()
        return self._idle.pop() if self._idle else None

    async def _ask(self, line: Line | None, *, again: bool = False) -> Call:
        call = Call(fresh=line is None, at=time.monotonic(), again=again)
        self.calls.append(call)
        keep = False
        try:
            async with asyncio.timeout(PATIENCE):
                line = line or await Line.open(self._gateway)
                keep = await line.ask(self._request, call)
        except (OSError, EOFError, ValueError, TimeoutError) as exc:
            call.error = type(exc).__name__
        call.seconds = time.monotonic() - call.at
        if keep and line is not None and len(self._idle) < IDLE:
            line.used_at = time.monotonic()
            self._idle.append(line)
        elif line is not None:
            line.close()
        return call


class Books:
    """What the gateway says it did, to be compared with what clients saw."""

    def __init__(self, ids: list[str], requests: int) -> None:
        self.ids = ids
        self.requests = requests

    @classmethod
    async def of(cls, gateway: Served, *loads: Load, within: float = 30.0) -> Books:
        """Once every answered call is in the database, or `within` seconds have passed."""
        answered = {call.request_id for load in loads for call in load.calls if call.status}
        until = time.monotonic() + within
        while True:
            books = await asyncio.to_thread(cls._read, gateway)
            if answered <= set(books.ids) or time.monotonic() > until:
                return books
            await asyncio.sleep(0.2)

    @classmethod
    def _read(cls, gateway: Served) -> Books:
        rows = gateway.rows(BOOKED)
        return cls([row[0] for row in rows], int(rows[0][1]) if rows else 0)

    def lost(self, *loads: Load) -> set[str]:
        """Ids of answers that a client has had in full and the books do not know."""
        return {call.request_id for load in loads for call in load.calls if call.status} - set(self.ids)

    @property
    def balanced(self) -> bool:
        """Every call once, and the sums are the sums of the rows."""
        return self.requests == len(self.ids) == len(set(self.ids))
