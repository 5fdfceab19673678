"""The deadlines of one exchange on one timer.

Bytes only move `due`, which is a comparison and a store; the timer is put back only when it rings
early, and brought forward only when a deadline comes nearer. It is left to run when an exchange ends, for
the next one on the same connection; `close` ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf


class Clock:
    """`expired` is called once for each `start`, unless the clock was stopped before."""

    __slots__ = ("_due", "_end", "_expired", "_loop", "_rings", "_timer")

    def __init__(self, expired: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._expired = expired
        self._timer: asyncio.TimerHandle | None = None
        self._rings = self._due = self._end = inf

    def start(self, seconds: float, total: float) -> None:
        now = self._loop.time()
        self._end = now + total
        self._due = due = now + (seconds if seconds < total else total)
        if due < self._rings:
            self._set(due)

    def allow(self, seconds: float) -> None:
        """The other side has this long for its next step."""
        due = self._loop.time() + seconds
        self._due = due = due if due < self._end else self._end
        if due < self._rings:
            self._set(due)

    def hold(self) -> None:
        """The next step is ours: only the whole exchange's time runs."""
        self._due = self._end

    def stop(self) -> None:
        self._due = inf

    def close(self) -> None:
        """For good. It lets go of whom it would have told, who knows it: a cycle."""
        self.stop()
        self._expired = _nobody
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = due
        self._timer = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer, self._rings = None, inf
        if self._due <= self._loop.time():
            self._expired()
        elif self._due < inf:
            self._set(self._due)


def _nobody() -> None:
    """Told when the time of a closed connection runs out."""
