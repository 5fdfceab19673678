"""Ends to waiting: each attempt has one for its answer."""

from __future__ import annotations

import asyncio
import sys
from math import inf
from typing import Any

Waiting = asyncio.Task[Any]


class Deadlines:
    """Of the tasks of one event loop, one for each at a time, all on one timer. It is left to run when a wait
    ends in time, as nearly all do, and put back when it rings too early for the others.

        task = deadlines.begin(seconds)
        try:
            ...
        finally:
            deadlines.end(task)

    raises TimeoutError when they are up, as `async with asyncio.timeout(seconds)` does for ten times as much.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()  # to ask each time is a system call, getpid
        self._due: dict[Waiting, float] = {}  # by the loop's clock
        self._rings = inf
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Deadlines {len(self._due)} running>"

    def begin(self, seconds: float) -> Waiting:
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._due[task] = due = self._loop.time() + seconds
        if due < self._rings:
            self._set(due)
        return task

    def end(self, task: Waiting) -> None:
        if self._due.pop(task, None) is None:
            self._was_late(task)

    def _was_late(self, task: Waiting) -> None:
        # Whoever cancelled the task besides us wins: its CancelledError passes.
        error = sys.exception()
        if task.uncancel() <= 0 and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def _set(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = due
        self._timer = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._rings, self._timer, now = inf, None, self._loop.time()
        for task in [task for task, due in self._due.items() if due <= now]:
            del self._due[task]
            task.cancel()
        if self._due:
            self._set(min(self._due.values()))
