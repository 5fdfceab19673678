"""A request body that streams to the first orchestrator and can be sent again to the next.

Small bodies arrive whole with the head of the request; larger ones are passed on as they come and kept,
up to the gateway's cap, so that a retry sends identical bytes (R48).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]


class ClientGone(Exception):
    """The client hung up while its request was still arriving."""


class BodyTooLarge(Exception):
    """More than the gateway takes; raised while reading."""


class BodyTooSlow(Exception):
    """An attempt's time ran out while the client was still sending: no orchestrator is to blame."""


class ReplayBody:
    """One reader at a time; each `chunks()` starts from the first byte.

    `length`: of the Content-Length header, None without one. `limit`: bytes.
    """

    def __init__(self, receive: Receive, *, length: int | None, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._kept: list[bytes] = []
        self._size = 0
        self.length = length
        self.repeatable = True
        self.complete = False

    @property
    def size(self) -> int:
        """Bytes that have arrived so far."""
        return self._size

    async def chunks(self) -> AsyncIterator[bytes]:
        position = 0
        while True:
            while position < len(self._kept):
                yield self._kept[position]
                position += 1
            if self.complete:
                return
            await self._more()

    async def first(self) -> None:
        """Wait for the first piece: of most requests that is all there is."""
        if not (self.complete or self._kept):
            await self._more()

    def whole(self) -> bytes | None:
        """The body, if all of it is here."""
        return b"".join(self._kept) if self.complete else None

    async def _more(self) -> None:
        event = await self._receive()
        if event["type"] != "http.request":
            raise ClientGone
        piece = event.get("body", b"")
        if piece:
            self._size += len(piece)
            if self._size > self._limit:
                raise BodyTooLarge
            self._kept.append(piece)
        self.complete = not event.get("more_body", False)
