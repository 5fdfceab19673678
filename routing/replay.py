"""A request body that streams to the first orchestrator and can be sent again to the next.

Small bodies arrive whole with the head of the request; larger ones are passed on as they come and kept,
up to the gateway's cap, so that a retry sends identical bytes (R48).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

SHORT = 64 * 1024  # bytes
Receive = Callable[[], Awaitable[dict[str, Any]]]


class ClientGone(Exception):
    """The client hung up while its request was still arriving."""


class BodyTooLarge(Exception):
    """More than the gateway takes; raised while reading."""


class BodyTooSlow(Exception):
    """An attempt's time ran out while the client was still sending: no orchestrator is to blame."""


class ReplayMemory:
    """Bytes that all requests of one worker may keep for another attempt."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def __repr__(self) -> str:
        return f"<ReplayMemory {self.used} of {self.limit} bytes>"

    def take(self, size: int) -> bool:
        if self.used + size > self.limit:
            return False
        self.used += size
        return True

    def give(self, size: int) -> None:
        self.used -= size


class ReplayBody(msgspec.Struct, eq=False):
    """One reader at a time; each `chunks()` starts from the first byte, while the body is `repeatable`.

    It is not any more once there was no memory left for a piece of it: then each piece is forgotten when it
    has been passed on. The first piece is kept in any case; the server has read it unasked.

    `length`: of the Content-Length header, None without one. `limit`: bytes. `size`: bytes that have arrived so
    far. `wanted`: an attempt has begun that sends it. `kept`: its pieces, of which `taken` bytes are counted in
    `memory`. `ahead`: so many bytes from its start are kept in any case.
    """

    receive: Receive
    length: int | None
    limit: int
    memory: ReplayMemory
    repeatable: bool = True
    complete: bool = False
    wanted: bool = False
    size: int = 0
    kept: list[bytes] = []
    taken: int = 0
    ahead: int = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.size} bytes>"

    async def chunks(self) -> AsyncIterator[bytes]:
        position = 0
        while True:
            while position < len(self.kept):
                yield self.kept[position]
                position += 1
            if self.complete:
                return
            await self._more()
            if not self.repeatable:
                position = 0

    @property
    def is_short(self) -> bool:
        """It is said to be; such a body is kept whatever memory there is."""
        return self.length is not None and self.length <= SHORT

    async def short(self, within: float) -> None:
        """Wait for all of a body that is short: while its sender is slow it needs nobody's seat.

        Raises BodyTooSlow after `within` seconds.
        """
        if self.is_short:
            await self.head(SHORT + 1, within)

    async def head(self, size: int, within: float) -> bytes:
        """Its first `size` bytes, or all of it: waited for, and kept whatever memory there is.

        Raises BodyTooSlow after `within` seconds. Not while somebody reads `chunks`.
        """
        self.ahead = size
        try:
            async with asyncio.timeout(within):
                while not self.complete and self.size < size:
                    await self._more()
        except TimeoutError:
            raise BodyTooSlow from None
        return b"".join(self.kept)[:size]

    async def first(self) -> None:
        """Wait for the first piece: of most requests that is all there is."""
        if not self.kept:
            await self._more()

    async def all(self) -> None:
        """Wait for the end, though nobody is sent it yet."""
        while not self.complete:
            await self._more()

    def whole(self) -> bytes | None:
        """The body, if all of it is here."""
        return b"".join(self.kept) if self.complete and self.repeatable else None

    def forget(self) -> None:
        """Nobody will be asked again."""
        self.repeatable = False
        self.kept = []
        if self.taken:
            self.memory.give(self.taken)
            self.taken = 0

    async def _more(self) -> None:
        event = await self.receive()
        if event["type"] != "http.request":
            raise ClientGone
        self._arrived(event.get("body", b""), more=event.get("more_body", False))

    def _arrived(self, piece: bytes, *, more: bool) -> None:
        if not self.repeatable:
            self.kept = []  # whoever reads has had it
        if piece:
            self.size += len(piece)
            if self.size > self.limit:
                raise BodyTooLarge
            self._keep(piece)
        self.complete = not more

    def _keep(self, piece: bytes) -> None:
        in_head = self.size - len(piece) < self.ahead
        if self.kept and self.repeatable and not (self.is_short or in_head):
            if self.memory.take(len(piece)):
                self.taken += len(piece)
            else:
                self.forget()  # whoever reads has had all of that
        self.kept.append(piece)
