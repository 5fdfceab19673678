"""The deadlines of one exchange on one timer.

Bytes only move `due`, which is a comparison and a store; the timer is put back only when it rings
early, and brought forward only when a deadline comes nearer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Clock:
    """`expired` is called once, unless the clock was stopped before."""

    __slots__ = ("_due", "_end", "_expired", "_loop", "_timer")

    def __init__(self, expired: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._expired = expired
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._end = 0.0

    def start(self, seconds: float, *, total: float) -> None:
        self._end = self._loop.time() + total
        self.allow(seconds)

    def allow(self, seconds: float) -> None:
        """The other side has this long for its next step."""
        self._due = min(self._loop.time() + seconds, self._end)
        if self._timer is not None and self._timer.when() > self._due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._ring)

    def hold(self) -> None:
        """The next step is ours: only the whole exchange's time runs."""
        self._due = self._end

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._ring)
        else:
            self._expired()
