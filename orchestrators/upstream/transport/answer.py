"""One response between the connection that receives it and the one who reads it.

The connection calls `begin`, `put`, `end` and `fail`; the reader `chunks` and `aclose`. What has
arrived is always handed over before the error that cut it short.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol


class Source(Protocol):
    """What an answer asks of its connection."""

    def drained(self) -> None: ...

    def abandon(self, answer: Answer) -> None: ...


class Answer:
    """`base.Reply`. `length`: bytes, or None where it was not announced.

    `fingerprint`: SHA-256 of the certificate the connection showed, "" without TLS.
    """

    __slots__ = (
        "_buffer",
        "_ended",
        "_error",
        "_size",
        "_source",
        "_waiter",
        "fingerprint",
        "headed",
        "headers",
        "length",
        "status",
    )

    balance = ""  # HTTP has no word for it; a protocol that has one says it in its own reply

    def __init__(self, source: Source, fingerprint: str) -> None:
        self._source = source
        self.fingerprint = fingerprint
        self.headed = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.length: int | None = None
        self._buffer: list[bytes] = []
        self._size = 0
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        state = "ended" if self._ended else "failed" if self._error else "open"
        return f"<Answer {self.status or 'no head'} {state} buffered {self._size}>"

    @property
    def complete(self) -> bool:
        return self._ended and not self._buffer

    def begin(self, status: int, headers: dict[str, str], length: int | None) -> None:
        self.status, self.headers, self.length = status, headers, length
        self.headed = True
        self._wake()

    def put(self, data: bytes) -> int:
        """Bytes now waiting to be read."""
        self._buffer.append(data)
        self._size += len(data)
        self._wake()
        return self._size

    def end(self) -> None:
        self._ended = True
        self._wake()

    def fail(self, error: Exception) -> None:
        if not self._ended and self._error is None:
            self._error = error
            self._wake()

    async def head(self) -> None:
        """Returns when the head is here. UpstreamError, or what made the request's body fail."""
        while not self.headed:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body from where it was last read. PartlyAnswered when it breaks."""
        while True:
            if self._buffer:
                data = self._buffer[0] if len(self._buffer) == 1 else b"".join(self._buffer)
                self._buffer, self._size = [], 0
                yield data
            elif self._ended:
                return
            elif self._error is not None:
                raise self._error
            else:
                self._source.drained()
                await self._wait()

    async def read(self) -> bytes:
        """All of the body that was not read yet. PartlyAnswered when it breaks. For one that is known to be
        short: without the generator of `chunks`, which takes 5 us."""
        while not self._ended:
            if self._error is not None:
                raise self._error
            self._source.drained()
            await self._wait()
        data = b"".join(self._buffer)
        self._buffer, self._size = [], 0
        return data

    async def aclose(self) -> None:
        """Aborts the connection if the end has not come; a second time, and after the end, nothing."""
        if not self._ended:
            self._source.abandon(self)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
