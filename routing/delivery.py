"""Delivery: an answer on its way to the client, settled exactly once, however its way ends.

    opened at the commit point --> ended    the last byte was passed on
                               --> broken   the orchestrator broke off; nobody else is asked
                               --> cancelled the client hung up

Settling tells health and journal and frees the seat; the journal's line is written before the last byte.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import Reply, UpstreamError

EVENT_STREAM = "text/event-stream"


class Ending(Enum):
    ENDED = "ended"
    BROKEN = "broken"
    CANCELLED = "cancelled"


@dataclass(slots=True)
class Opening:
    """A reply read as far as the commit point: `pieces` are its first bytes, `whole` if there are no more."""

    reply: Reply
    rest: AsyncIterator[bytes]
    pieces: list[bytes] = field(default_factory=list)
    whole: bool = False

    @property
    def head(self) -> bytes:
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)

    @property
    def is_event_stream(self) -> bool:
        return self.reply.headers.get("content-type", "").lower().startswith(EVENT_STREAM)


class BrokenOff(Exception):
    """The answer broke after the commit point and its framing cannot say so: cut the connection."""


Settle = Callable[[Ending, int, Fault | None], None]


class Delivery:
    """`settle(ending, bytes passed on, fault)` is called once. `headers`: for the client, ready to send."""

    def __init__(self, opening: Opening, *, status: int, headers: Mapping[str, str], settle: Settle) -> None:
        self._opening = opening
        self._settle: Settle | None = settle
        self.status = status
        self.headers = dict(headers)
        self.sent = 0

    @property
    def whole(self) -> bytes | None:
        """The body, when all of it is here: it needs no streaming."""
        return self._opening.head if self._opening.whole else None

    @property
    def length(self) -> int | None:
        return self._opening.reply.length

    @property
    def balance(self) -> str:
        """Livepeer-Balance as the orchestrator said it; on an event stream it has another name (2.5)."""
        headers = self._opening.reply.headers
        return headers.get("livepeer-balance") or headers.get("livepeer-payment-balance", "")

    @property
    def metadata(self) -> str:
        return self._opening.reply.headers.get("x-metadata", "")

    def finish(self) -> None:
        """All of a whole answer is about to be passed on."""
        self.sent = len(self._opening.head)
        self.conclude(Ending.ENDED)

    def conclude(self, ending: Ending, fault: Fault | None = None) -> None:
        settle, self._settle = self._settle, None
        if settle is not None:
            settle(ending, self.sent, fault)

    async def aclose(self) -> None:
        """The client is gone, or the gateway stops; after the end it does nothing."""
        self.conclude(Ending.CANCELLED)
        await self._opening.reply.aclose()

    async def chunks(self, broken_event: bytes = b"") -> AsyncIterator[bytes]:
        """The body. `broken_event` ends an event stream that breaks; any other answer raises BrokenOff."""
        length = self._opening.reply.length
        try:
            async for piece in self._pieces():
                self.sent += len(piece)
                if length is not None and self.sent >= length:
                    self.conclude(Ending.ENDED)  # before the client has it all
                yield piece
            self.conclude(Ending.ENDED)
        except UpstreamError as exc:
            self.conclude(Ending.BROKEN, exc.fault)
            if not self._opening.is_event_stream:
                raise BrokenOff from exc
            yield broken_event
        finally:
            await self.aclose()

    async def _pieces(self) -> AsyncIterator[bytes]:
        for piece in self._opening.pieces:
            yield piece
        if not self._opening.whole:
            async for piece in self._opening.rest:
                yield piece
