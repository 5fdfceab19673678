"""An answer that is kept as it comes, and that a client may read along.

While it is small enough it is read as fast as it comes, whether anybody waits for it or not. One that has grown
too large to keep goes on at the pace of the client that reads along; without one it is not worth reading on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import PartlyAnswered, Sink, is_event_stream
from routing.delivery import Delivery, Ending, Opening
from routing.opening import JUDGED
from routing.replay import ReplayMemory

# Of the fields that go to the client, those that go with a repetition too.
_LASTING = ("content-type", "content-encoding", "content-disposition", "x-byocgw-attempts")


def _nobody() -> None:
    """To be told that the client has left."""


class TooLarge(Exception):
    """To be kept; and nobody reads along."""


class Collected:
    """The pieces of one answer, and a `Reply` made of them.

    `told`: the fields for the client; `headers`: those of a reply. `limit`: bytes of an answer that are kept;
    `memory`: of all that this worker keeps, from JUDGED on. `is_read`: a client reads along, or is about to;
    `left` is called when it does not any more.
    """

    def __init__(
        self,
        status: int,
        told: Mapping[str, str],
        headers: Mapping[str, str],
        *,
        length: int | None = None,
        limit: int,
        memory: ReplayMemory,
        is_read: bool,
        left: Callable[[], None] = _nobody,
    ) -> None:
        self.status = status
        self.told = told
        self.headers = headers
        self.length = length
        self.is_read = is_read
        self._left = left
        self.size = 0
        self._limit, self._memory, self._taken = limit, memory, 0
        self._pieces: list[bytes] = []
        self._kept = True
        self._done = self._broken = False
        self._moved = asyncio.Event()  # whatever the one side does, the other looks again

    def __repr__(self) -> str:
        return f"<Collected {self.size} bytes, {'kept' if self._kept else 'not kept'}>"

    @classmethod
    def of(cls, delivery: Delivery, **settings: Any) -> Collected:
        """What is about to be delivered."""
        headers = {name: delivery.headers[name] for name in _LASTING if name in delivery.headers}
        headers |= {"livepeer-balance": delivery.balance, "x-metadata": delivery.metadata}
        return cls(delivery.status, delivery.headers, headers, length=delivery.length, **settings)

    @classmethod
    def stored(cls, status: int, headers: Mapping[str, str], body: bytes) -> Collected:
        """An answer that was kept, to be told again. `headers`: as they were of the first one."""
        told = {name: value for name, value in headers.items() if name in _LASTING}
        answer = cls(status, told, headers, limit=len(body), memory=ReplayMemory(0), is_read=True)
        answer._pieces, answer._done = [body], True
        return answer

    # --- as it comes -----------------------------------------------------------------------------

    async def add(self, piece: bytes) -> None:
        """Raises TooLarge when it can neither be kept nor passed on."""
        self._pieces.append(piece)
        self.size += len(piece)
        if self._kept and not self._has_room(len(piece)):
            self._kept = False
            self.let_go()
        self._tell()
        while not self._kept and self._pieces:
            if not self.is_read:
                raise TooLarge
            await self._moved.wait()

    def end(self, *, broken: bool = False) -> None:
        self._done, self._broken = True, broken
        self._left = _nobody  # who is told knows of us in turn
        self._tell()

    def let_go(self) -> None:
        """Of the memory that others may use: its row has it, or it is not kept."""
        self._memory.give(self._taken)
        self._taken = 0

    @property
    def body(self) -> bytes | None:
        """All that came, where it was kept."""
        return b"".join(self._pieces) if self._kept else None

    # --- a Reply, for the client's own delivery --------------------------------------------------

    @property
    def complete(self) -> bool:
        return False

    async def chunks(self) -> AsyncIterator[bytes]:
        at = 0
        while True:
            while at < len(self._pieces):
                at += 1
                yield self._pieces[at - 1]
                if not self._kept:
                    del self._pieces[:at]
                    at = 0
                    self._tell()
            if self._broken:
                raise PartlyAnswered(Fault.CUT_OFF)
            if self._done:
                return
            await self._moved.wait()

    def divert(self, sink: Sink) -> None:
        """The row comes first."""

    def at_hand(self) -> None:
        """See `delivery`."""

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.chunks()])

    async def aclose(self) -> None:
        self._left()
        self.leave()

    def leave(self) -> None:
        """Nobody reads along any more."""
        self.is_read = False
        self._tell()

    def delivery(self, patience: float) -> Delivery:
        """To a client that is waited for `patience` seconds: all at once if all is here, else as it comes."""
        opening = Opening(self, self.chunks(), is_event_stream=is_event_stream(self.headers))
        if self._done and not self._broken and self._kept:
            opening.head, opening.whole = b"".join(self._pieces), True
        return Delivery(
            opening, status=self.status, headers=dict(self.told), settle=_nothing, patience=patience
        )

    def _has_room(self, size: int) -> bool:
        if self.size > self._limit:
            return False
        if self.size <= JUDGED:
            return True
        taken = self._memory.take(size)
        self._taken += size if taken else 0
        return taken

    def _tell(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


def _nothing(ending: Ending, sent: int, fault: Fault | None) -> None:
    """The books were closed with the collecting."""
