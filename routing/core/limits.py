"""How often a client may call, and how much it may spend.

How often: the generic cell rate algorithm, a token bucket kept as one number, the theoretical arrival
time (TAT): when the next call would be due if calls came evenly. Every admitted call moves it on by one
interval; a call is refused while the TAT lies more than a burst ahead of the clock. So a bucket needs no
refilling, and forgetting an idle client costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, floor

# Clock readings are floats: without it, the last call of a burst would hang on their rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_minute` calls in the long run, `burst` of them at once; both at least 1, or ValueError.

    Derived: `interval`, seconds between two calls at the even pace, `whole`, those of a burst, and `told`, the
    calls a minute in digits.
    """

    per_minute: int
    burst: int
    interval: float = field(init=False)
    whole: float = field(init=False)
    told: str = field(init=False)

    def __post_init__(self) -> None:
        if self.per_minute < 1 or self.burst < 1:
            raise ValueError("A rate needs at least one call a minute and a burst of at least one.")
        object.__setattr__(self, "interval", 60 / self.per_minute)
        object.__setattr__(self, "whole", self.interval * self.burst)
        object.__setattr__(self, "told", str(self.per_minute))


@dataclass(slots=True)
class Account:
    """What is known of a client between its calls, and changed by each of them.

    `tat`: its theoretical arrival time; a client never seen has one of 0. As of the latest call, `remaining`:
    calls that may come at once, and `reset`: seconds until a whole burst may, rounded up. `in_flight`: calls.
    """

    tat: float = 0.0
    remaining: int = 0
    reset: int = 0
    in_flight: int = 0

    def admit(self, rate: Rate, now: float) -> float:
        """One more call: the seconds until it would be admitted; 0: it was."""
        ahead = (self.tat - now if self.tat > now else 0.0) + rate.interval
        wait = ahead - rate.whole
        if wait > _ROUNDING:
            self.remaining, self.reset = 0, ceil(ahead - rate.interval)
            return wait
        self.tat = now + ahead
        self.remaining = floor(_ROUNDING - wait / rate.interval)
        self.reset = ceil(ahead)
        return 0.0

    def settle(self, wei: int) -> None:
        """A call in flight is over: one that no money is reserved for, whatever it cost."""
        self.in_flight -= 1


@dataclass(slots=True)
class Purse:
    """What one client spends of one budget, in wei. `reserved`: what calls in flight may still cost.

    A call is let in only if the most that it and all the others in flight may cost is there, so the budget
    is never overspent, whatever comes at once.
    """

    spent: int = 0
    reserved: int = 0

    def covers(self, most: int, budget: int) -> bool:
        return self.spent + self.reserved + most <= budget

    def covers_later(self, most: int, budget: int) -> bool:
        """Once the calls in flight have ended, at the latest for nothing."""
        return self.spent + most <= budget

    def reserve(self, most: int) -> None:
        self.reserved += most

    def settle(self, most: int, wei: int) -> None:
        """The call that reserved `most` is over, and cost `wei`."""
        self.reserved -= most
        self.spent += wei
