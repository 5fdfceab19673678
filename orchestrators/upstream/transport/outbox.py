"""What one turn of the event loop has to send, sent together at the start of the next.

A write wakes its reader, and where cores are shared the reader runs at once: of the caches little is left for
what comes after. So the writes of many calls are better done in a row than each between two calls' work: a
sixth of a gateway's CPU with 32 clients on two cores.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary


class Outbox:
    """Of one event loop. `add` only for a transport that is neither closed nor written to before it is `sent`
    on: at the latest before the next callback that this turn schedules."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[asyncio.WriteTransport, bytes] = {}

    def holds(self, transport: asyncio.WriteTransport) -> bool:
        """Has nothing of its last message been sent yet?"""
        return transport in self._waiting

    def add(self, transport: asyncio.WriteTransport, message: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self._send_all)
        self._waiting[transport] = message

    def send(self, transport: asyncio.WriteTransport) -> None:
        """Now, if anything waits: before it is closed, or something else is written to it."""
        message = self._waiting.pop(transport, None)
        if message is not None:
            transport.write(message)

    def _send_all(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for transport, message in waiting.items():
            if not transport.is_closing():
                transport.write(message)


_outboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Outbox] = WeakKeyDictionary()


def outbox_of(loop: asyncio.AbstractEventLoop) -> Outbox:
    return _outboxes.setdefault(loop, Outbox(loop))
