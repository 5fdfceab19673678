"""One response between the connection that receives it and the one who reads it.

A `Whole` is here with its last byte, as nearly every one is, and no stream of events. Any other is an `Answer`,
made with its head. The connection fills in what comes of the body, then calls `wake`, `end` or `fail`; the
reader `chunks` or `read`, and `aclose`. What has arrived is always handed over before the error that cut it
short.

To wake a reader, and to go through all that lies between it and a client, takes two thirds of what a piece
costs. So while it waits, and so has passed on all before, what comes may go past it (`divert`, `past`).
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Protocol

import msgspec

from orchestrators.upstream.base import Sink


class Whole(msgspec.Struct, eq=False):
    """`base.Reply`. `length`: bytes. `body`: what was not read yet. `fingerprint`: see `Answer`."""

    fingerprint: str
    status: int
    headers: dict[str, str]
    length: int
    body: bytes

    def __repr__(self) -> str:
        return f"<Whole {self.status} buffered {len(self.body)}>"

    @property
    def complete(self) -> bool:
        return not self.body

    def divert(self, sink: Sink) -> None:
        """Nothing more comes."""

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        if self.body:
            yield self.at_hand()

    def at_hand(self) -> bytes:
        body, self.body = self.body, b""
        return body

    async def read(self) -> bytes:
        return self.at_hand()

    async def aclose(self) -> None:
        """There is nothing to close."""


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
    status: int
    headers: dict[str, str]
    length: int | None = None
    pieces: list[bytes] = []
    size: int = 0
    received: int = 0
    ended: bool = False
    error: Exception | None = None
    waiter: Future[None] | None = None
    past: Callable[[], bool] | None = None  # True: the reader need not wake

    def __repr__(self) -> str:
        state = "ended" if self.ended else "failed" if self.error else "open"
        return f"<Answer {self.status} {state} buffered {self.size}>"

    @property
    def complete(self) -> bool:
        return self.ended and not self.pieces

    def wake(self) -> None:
        """Something has come."""
        waiter = self.waiter
        if waiter is None:
            return
        if self.past is not None and self.pieces and not waiter.done():
            if self.past():
                self.source.drained()
                return
            self.past = None
        self.waiter = None
        if not waiter.done():
            waiter.set_result(None)

    def end(self) -> None:
        self.ended = True
        self.past = None  # which knows who knows us
        self.wake()

    def fail(self, error: Exception) -> None:
        if not self.ended and self.error is None:
            self.error = error
            self.past = None
            self.wake()

    def divert(self, sink: Sink) -> None:
        self.go_past(partial(self._pass_to, sink))

    def go_past(self, past: Callable[[], bool]) -> None:
        if not (self.ended or self.error):
            self.past = past

    def _pass_to(self, sink: Sink) -> bool:
        if not sink(b"".join(self.pieces)):
            return False
        self.pieces, self.size = [], 0
        return True

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body from where it was last read. PartlyAnswered when it breaks."""
        while True:
            if self.pieces:
                yield self.take()
            elif self.ended:
                return
            else:
                await self.more()

    def at_hand(self) -> bytes | None:
        return self.take() if self.ended else None

    async def read(self) -> bytes:
        """All of the body that was not read yet. PartlyAnswered when it breaks. For one that is known to be
        short: without the generator of `chunks`, which takes 5 us."""
        while not self.ended:
            await self.more()
        return self.take()

    async def aclose(self) -> None:
        """Aborts the connection if the end has not come; a second time, and after the end, nothing."""
        if not self.ended:
            self.source.abandon(self)

    def take(self) -> bytes:
        """What has come of the body and was not read yet."""
        pieces, self.pieces, self.size = self.pieces, [], 0
        return b"".join(pieces)  # which of one piece makes no copy

    def more(self) -> Future[None]:
        """To be awaited for what comes next. PartlyAnswered: what ended it instead."""
        if self.error is not None:
            raise self.error
        self.source.drained()
        self.waiter = self.source.loop.create_future()
        return self.waiter
