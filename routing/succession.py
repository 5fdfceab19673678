"""Which of its server's workers is this? gunicorn's master says so before it forks (byocgw/gunicorn.py).

The first workers of a server may fail to start: somebody is there to read why. A later one, which takes
another's place, must not fail because the database is away: gunicorn stops the whole server when a worker
cannot boot.

What workers do by the clock they do in turn. Two that built their tables at once, or drained their journals,
would take every core from the calls between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

takes_a_place = False
turn = 0  # which of the turns is this worker's


def free_turn(taken: Sequence[int], workers: int) -> int:
    """For a new worker, one that the fewest have: while workers are exchanged they are more than the turns."""
    return min(range(workers), key=taken.count)


def last_turn(now: float, every: float, workers: int) -> float:
    """When this worker's turn was, `now` at the latest: processes of a machine agree on monotonic seconds."""
    offset = every * (turn % workers) / workers
    return now - (now - offset) % every


def next_turn(last: float, now: float, every: float) -> float:
    """The first after `now`, at least one after `last`: a timer may ring a moment early."""
    return last + every * max(1, ceil((now - last) / every))
