"""The times of the latest contacts: at most 64, within 30 seconds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import msgspec

SECONDS = 30.0
MOST = 64
_LONGEST_LOG = 4 * MOST


class Window(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A value: what `log` holds from `start` up to `end`, in order. Make one with `of`.

    Windows that follow each other share a list that only grows, each sees its part: to copy 64 numbers with
    every contact takes 1,700 instructions more, and a line of the cache for each.
    """

    log: list[float]
    start: int
    end: int

    @classmethod
    def of(cls, times: Iterable[float] = ()) -> Window:
        log = list(times)
        return cls(log, 0, len(log))

    def times(self) -> list[float]:
        return self.log[self.start : self.end]

    def first(self, now: float) -> int:
        """The place of the first that is within the window at `now`; `end` if none is."""
        start, oldest = self.start, now - SECONDS
        if start == self.end or self.log[start] > oldest:  # seldom has one left: a search costs more
            return start
        return bisect_right(self.log, oldest, start, self.end)

    def noted(self, now: float) -> Window:
        """With this one, without those that have left."""
        log, start, end = self.log, self.start, self.end
        if start != end and log[start] <= now - SECONDS:
            start = self.first(now)
        elif end - start == MOST:
            start += 1
        if start == end or end != len(log) or end > _LONGEST_LOG:  # empty; grown for another; mostly past
            log, start, end = log[start:end], 0, end - start
        log.append(now)
        return Window(log, start, end + 1)
