"""A histogram as Prometheus wants it, in plain numbers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

Value = float | list[float]
Sample = tuple[str, tuple[str, ...], Value]  # a metric's name, the values of its labels, a number or histogram

# Upper bounds, seconds.
TOTAL = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)


class Histogram:
    """`bounds`: the greatest value that each bucket takes, ascending; one more takes what is above."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0.0] * (len(bounds) + 1)
        self._sum = 0.0

    def __repr__(self) -> str:
        return f"<Histogram of {sum(self._counts):.0f} values>"

    def observe(self, values: Iterable[float]) -> None:
        """Best many at once: to look for each bound among them takes a third of the reverse."""
        ascending, before = sorted(values), 0
        for bucket, bound in enumerate(self._bounds):
            up_to = bisect_right(ascending, bound, before)
            self._counts[bucket] += up_to - before
            before = up_to
        self._counts[-1] += len(ascending) - before
        self._sum += sum(ascending)

    def value(self) -> list[float]:
        """How many in each bucket, then the sum: what can be added up, element by element."""
        return [*self._counts, self._sum]


def cumulative(bounds: Sequence[float], value: Sequence[float]) -> tuple[list[tuple[str, float]], float]:
    """(upper bound, how many up to it) of each bucket, and the sum."""
    *counts, total = value
    buckets, so_far = [], 0.0
    for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
        so_far += count
        buckets.append((bound, so_far))
    return buckets, total
