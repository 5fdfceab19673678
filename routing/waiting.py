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
        self.waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by capability, where anybody does

    def __repr__(self) -> str:
        return f"<SeatQueue {self.lengths()}>"

    def lengths(self) -> dict[str, int]:
        """How many wait, by capability; those for which nobody does are left out."""
        return {slug: len(queue) for slug, queue in self.waiting.items()}

    async def wait(self, capability: str, timeout: float) -> bool:
        """True when a seat may be free within `timeout` seconds; False at once when the queue is full."""
        if timeout <= 0:
            return False
        queue = self.waiting.setdefault(capability, deque())
        if len(queue) >= LONGEST_QUEUE:
            return False
        ticket = asyncio.get_running_loop().create_future()
        queue.append(ticket)
        came_free = False
        try:
            async with asyncio.timeout(timeout):
                await ticket
            came_free = True
        except TimeoutError:
            pass
        finally:
            if ticket.done() and not ticket.cancelled() and not came_free:
                self.wake(capability)  # woken and gone in the same moment: the seat is the next one's
            if ticket in queue:
                queue.remove(ticket)
            # by now the capability may have another queue, of those who came after this one ran empty
            if not queue and self.waiting.get(capability) is queue:
                del self.waiting[capability]
        return came_free

    def wake(self, capability: str) -> None:
        """A seat came free: wake the first in the queue."""
        queue = self.waiting.get(capability)
        while queue:
            ticket = queue.popleft()
            if not ticket.done():
                ticket.set_result(None)
                return
