"""How much asking again is allowed: so that a bad minute does not become a storm.

A retry at an offer that nothing speaks against is always allowed: its seats bound it, two faults take it
down, and refusing it would fail a client who has a good alternative. A retry at one that was down and has
yet to prove itself draws on the capability's budget: a fifth of its requests of the last ten seconds, and
three. So when everybody is ill, asking again adds a fifth to the load and no more.

The first retry goes out at once; from the second on there is a pause with full jitter, longer each time.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOW = 10.0  # seconds
SHARE = 0.2
RESERVE = 3
_BASE = 0.025
_LONGEST = 0.25


@dataclass(slots=True)
class Tally:
    """Requests and budgeted retries of one capability: of the running window, and of the one before it.

    Two buckets stand for a sliding window: the earlier one counts by the part of it that still overlaps.
    """

    begun: float = 0.0
    requests: int = 0
    retries: int = 0
    earlier_requests: int = 0
    earlier_retries: int = 0

    def asked(self, now: float) -> None:
        """One more request."""
        if now - self.begun >= WINDOW:
            self._turn(now)
        self.requests += 1

    def retried(self, now: float) -> None:
        """One more budgeted retry."""
        self._turn(now)
        self.retries += 1

    def allows(self, now: float) -> bool:
        """True if one more retry stays within the budget."""
        self._turn(now)
        overlap = 1 - (now - self.begun) / WINDOW
        requests = self.requests + self.earlier_requests * overlap
        retries = self.retries + self.earlier_retries * overlap
        return retries + 1 <= SHARE * requests + RESERVE

    def _turn(self, now: float) -> None:
        """Buckets whose time is over are moved or dropped."""
        age = now - self.begun
        if age < WINDOW:
            return
        if age < 2 * WINDOW:
            self.begun += WINDOW
            self.earlier_requests, self.earlier_retries = self.requests, self.retries
        else:
            self.begun, self.earlier_requests, self.earlier_retries = now, 0, 0
        self.requests = self.retries = 0


def pause(attempts: int, draw: float) -> float:
    """Seconds before the next attempt, after so many. `draw` in [0, 1): full jitter, as Envoy's."""
    if attempts < 2:
        return 0.0
    return draw * min(_BASE * (2.0**attempts - 1), _LONGEST)
