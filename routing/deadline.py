"""An end to waiting: of an attempt for its answer, of a request for its body."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Deadline:
    """`with Deadline(seconds):` raises TimeoutError when they are up, as `async with asyncio.timeout()` does,
    for 3 us where that takes 10: every attempt has one. It cannot be moved, nor be used twice.
    """

    __slots__ = ("_passed", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._passed = False

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        self._task = task
        self._timer = loop.call_later(self._seconds, self._ring)

    def _ring(self) -> None:
        self._passed = True
        self._task.cancel()

    def __exit__(
        self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        # Whoever cancelled the task besides us wins: its CancelledError passes.
        if self._passed and self._task.uncancel() <= 0 and cls is asyncio.CancelledError:
            raise TimeoutError from error
