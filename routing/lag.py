"""How late the event loop is: a timer that should ring ten times a second tells by when it does.

A late ring means that something held the loop: every request waited as long for its next step.
"""

from __future__ import annotations

import asyncio

EVERY = 0.1  # seconds
RINGS = 10  # a worst value is remembered for one to two rounds of so many


class LoopWatch:
    """Started and stopped on the loop it watches."""

    def __init__(self) -> None:
        self._worst = self._worst_before = 0.0
        self._rings = 0
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<LoopWatch {self.lag * 1000:.1f} ms>"

    @property
    def lag(self) -> float:
        """Seconds: the worst lateness of the last one to two seconds."""
        return max(self._worst, self._worst_before)

    def start(self) -> None:
        self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(EVERY, self._ring, loop, loop.time() + EVERY)

    def _ring(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._worst = max(self._worst, loop.time() - due)
        self._rings += 1
        if self._rings % RINGS == 0:
            self._worst_before, self._worst = self._worst, 0.0
        self._arm(loop)
