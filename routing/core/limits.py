"""How often a client may call: the generic cell rate algorithm, a token bucket kept as one number.

The number is the theoretical arrival time (TAT): when the next call would be due if calls came evenly.
Every admitted call moves it on by one interval; a call is refused while the TAT lies more than a burst
ahead of the clock. So a bucket needs no refilling, and forgetting an idle client costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

# Clock readings are floats: without it, the last call of a burst would hang on their rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_minute` calls in the long run, `burst` of them at once; both at least 1, or ValueError."""

    per_minute: int
    burst: int

    def __post_init__(self) -> None:
        if self.per_minute < 1 or self.burst < 1:
            raise ValueError("A rate needs at least one call a minute and a burst of at least one.")

    @property
    def interval(self) -> float:
        """Seconds between two calls at the even pace."""
        return 60 / self.per_minute


def admit(tat: float, rate: Rate, now: float) -> tuple[bool, float, float]:
    """(admitted, the new TAT, seconds to wait when refused). A client never seen has a TAT of 0."""
    due = max(tat, now) + rate.interval
    excess = due - now - rate.interval * rate.burst
    if excess > _ROUNDING:
        return False, tat, excess
    return True, due, 0.0
