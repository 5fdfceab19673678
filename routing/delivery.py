"""Delivery: an answer on its way to the client, settled exactly once, however its way ends.

    opened at the commit point --> ended     the last byte is here, and about to be passed on
                               --> broken    the orchestrator broke off; nobody else is asked
                               --> cancelled the client hung up, or was too slow

Settling tells health and journal and frees the seat; the journal's line is written before the last byte.

A client that takes its answer slowly keeps the orchestrator waiting, once what lies between them is full
(some 300 KiB, and what the kernel holds). It may do so for the profile's attempt timeout; of what it has used
up it gets a second back with each 64 KiB that it takes. Then both sides are given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Literal

import msgspec

from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import Reply, Sink, UpstreamError

SLOWEST = 64 * 1024  # bytes a second; a client that takes them as fast is never too slow


Ending = Literal["ended", "broken", "cancelled"]


class Opening(msgspec.Struct, eq=False):
    """A reply read as far as the commit point: `head` are its first bytes, `whole` if there are no more.
    `rest`: what follows them. `is_event_stream`: by its content type."""

    reply: Reply
    rest: AsyncIterator[bytes] | None = None
    head: bytes = b""
    whole: bool = False
    is_event_stream: bool = False


class BrokenOff(Exception):
    """The answer broke after the commit point and its framing cannot say so: cut the connection."""


class Patience:
    """`expired` is called once the client was waited for too long: `seconds`, and what it earned again.

    One timer, set for the soonest that this can be; a piece costs two looks at the clock.
    """

    def __init__(self, seconds: float, expired: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = self._left = seconds  # while nobody is waited for
        self._since: float | None = None
        self._expired = expired
        self._timer = self._loop.call_later(seconds, self._ring)

    def wait(self) -> None:
        self._since = self._loop.time()

    def took(self, size: int) -> None:
        if self._since is not None:
            self._left -= self._loop.time() - self._since
            self._since = None
        if self._left < self._seconds:
            self._left = min(self._seconds, self._left + size / SLOWEST)

    def stop(self) -> None:
        self._timer.cancel()

    def _ring(self) -> None:
        left = self._left - (self._loop.time() - self._since if self._since is not None else 0.0)
        if left <= 0:
            self._expired()
        else:
            self._timer = self._loop.call_later(left, self._ring)


Settle = Callable[[Ending, int, Fault | None], None]


class Delivery(msgspec.Struct, eq=False):
    """`settle(ending, bytes passed on, fault)` is called once; None: an answer that is whole, whose account is
    closed. `headers`: for the client, ready to send.

    `patience`: seconds that the orchestrator may be kept waiting for the client. `sent`: bytes passed on.
    `sink`: the client itself, where our server offers that; what it is given is never the last.
    """

    opening: Opening
    status: int
    headers: dict[str, str]
    settle: Settle | None
    patience: float
    sent: int = 0
    sink: Sink | None = None
    closing: asyncio.Task[None] | None = None

    @property
    def whole(self) -> bytes | None:
        """The body, when all of it is here: it needs no streaming."""
        return self.opening.head if self.opening.whole else None

    @property
    def length(self) -> int | None:
        return self.opening.reply.length

    @property
    def balance(self) -> str:
        """Livepeer-Balance as the orchestrator said it; on an event stream it has another name (2.5)."""
        headers = self.opening.reply.headers
        return headers.get("livepeer-balance") or headers.get("livepeer-payment-balance", "")

    @property
    def metadata(self) -> str:
        return self.opening.reply.headers.get("x-metadata", "")

    def conclude(self, ending: Ending, fault: Fault | None = None) -> None:
        settle, self.settle = self.settle, None
        if settle is not None:
            settle(ending, self.sent, fault)

    async def aclose(self) -> None:
        """The client is gone, or the gateway stops; after the end it does nothing."""
        self.conclude("cancelled")
        await self.opening.reply.aclose()

    async def chunks(self, broken_event: bytes = b"") -> AsyncIterator[bytes]:
        """The body. `broken_event` ends an event stream that breaks; any other answer, and one whose length the
        client was told, raises BrokenOff."""
        patience = Patience(self.patience, self._client_is_too_slow)

        def past_us(piece: bytes) -> bool:
            if self.sink is None or not self.sink(piece):
                return False
            self.sent += len(piece)
            patience.took(len(piece))
            return True

        try:
            async for piece in self._pieces():
                self.sent += len(piece)
                if self._is_last():
                    self.conclude("ended")
                patience.wait()
                yield piece
                patience.took(len(piece))
                if self.sink is not None:
                    self.opening.reply.divert(past_us)
            self.conclude("ended")
        except UpstreamError as exc:
            self.conclude("broken", exc.fault)
            if self.closing or not self.opening.is_event_stream or self.length is not None:
                raise BrokenOff from exc
            yield broken_event
        finally:
            patience.stop()
            await self.aclose()

    async def _pieces(self) -> AsyncIterator[bytes]:
        if self.opening.head:
            yield self.opening.head
        if self.opening.rest is not None and not self.opening.whole:
            async for piece in self.opening.rest:
                yield piece

    def _is_last(self) -> bool:
        """All has been received, and the client is about to get the rest of it."""
        reply = self.opening.reply
        return reply.complete or (reply.length is not None and self.sent >= reply.length)

    def _client_is_too_slow(self) -> None:
        if self.settle is not None:
            self.closing = asyncio.get_running_loop().create_task(self.aclose())
