"""One response between the connection that receives it and the one who reads it.

The connection fills it in, then calls `wake`, `end` or `fail`; the reader `more`, until there is a
`status`, then `chunks`, `read` and `aclose`. What has arrived is always handed over before the error that
cut it short.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec


class Source(Protocol):
    """What an answer asks of its connection."""

    loop: AbstractEventLoop

    def drained(self) -> None: ...

    def abandon(self, answer: Answer) -> None: ...


class Answer(msgspec.Struct, eq=False):
    """`base.Reply`. `length`: bytes, or None where it was not announced.

    `fingerprint`: SHA-256 of the certificate the connection showed, "" without TLS.
    `pieces`, `size`: of the body, what waits to be read. `received`: bytes of one without `length`.
    """

    source: Source
    fingerprint: str
    status: int = 0  # until the head is here
    headers: dict[str, str] = {}
    length: int | None = None
    pieces: list[bytes] = []
    size: int = 0
    received: int = 0
    ended: bool = False
    error: Exception | None = None
    waiter: Future[None] | None = None

    def __repr__(self) -> str:
        state = "ended" if self.ended else "failed" if self.error else "open"
        return f"<Answer {self.status or 'no head'} {state} buffered {self.size}>"

    @property
    def complete(self) -> bool:
        return self.ended and not self.pieces

    def wake(self) -> None:
        """Something has come."""
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def end(self) -> None:
        self.ended = True
        self.wake()

    def fail(self, error: Exception) -> None:
        if not self.ended and self.error is None:
            self.error = error
            self.wake()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body from where it was last read. PartlyAnswered when it breaks."""
        while True:
            if self.pieces:
                yield self._taken()
            elif self.ended:
                return
            else:
                self.source.drained()
                await self.more()

    async def read(self) -> bytes:
        """All of the body that was not read yet. PartlyAnswered when it breaks. For one that is known to be
        short: without the generator of `chunks`, which takes 5 us."""
        while not self.ended:
            self.source.drained()
            await self.more()
        return self._taken()

    async def aclose(self) -> None:
        """Aborts the connection if the end has not come; a second time, and after the end, nothing."""
        if not self.ended:
            self.source.abandon(self)

    def _taken(self) -> bytes:
        pieces, self.pieces, self.size = self.pieces, [], 0
        return b"".join(pieces)  # which of one piece makes no copy

    def more(self) -> Future[None]:
        """To be awaited for what comes next. Raises what ended it instead: UpstreamError, or what made the
        request's body fail."""
        if self.error is not None:
            raise self.error
        self.waiter = self.source.loop.create_future()
        return self.waiter
