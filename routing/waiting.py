"""Requests that wait for a seat: first come, first woken, a bounded number per capability.

Who is woken ranks again; a newcomer may have taken the seat in between, then the woken one waits on.
That small unfairness saves holding seats for somebody who may be gone.
"""

from __future__ import annotations

import asyncio
from collections import deque

LONGEST_QUEUE = 100


class SeatQueue:
    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def __repr__(self) -> str:
        return f"<SeatQueue { ({slug: len(queue) for slug, queue in self._waiting.items()}) }>"

    async def wait(self, capability: str, timeout: float) -> bool:
        """True when a seat may be free within `timeout` seconds; False at once when the queue is full."""
        queue = self._waiting.setdefault(capability, deque())
        if timeout <= 0 or len(queue) >= LONGEST_QUEUE:
            return False
        ticket = asyncio.get_running_loop().create_future()
        queue.append(ticket)
        try:
            async with asyncio.timeout(timeout):
                await ticket
            return True
        except TimeoutError:
            return False
        finally:
            if ticket in queue:
                queue.remove(ticket)
            if not queue:
                self._waiting.pop(capability, None)

    def wake(self, capability: str) -> None:
        """A seat came free: wake the first in the queue."""
        queue = self._waiting.get(capability)
        while queue:
            ticket = queue.popleft()
            if not ticket.done():
                ticket.set_result(None)
                return
