"""How often a client may call, and how much it may spend.

How often: the generic cell rate algorithm, a token bucket kept as one number, the theoretical arrival
time (TAT): when the next call would be due if calls came evenly. Every admitted call moves it on by one
interval; a call is refused while the TAT lies more than a burst ahead of the clock. So a bucket needs no
refilling, and forgetting an idle client costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

# Clock readings are floats: without it, the last call of a burst would hang on their rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_minute` calls in the long run, `burst` of them at once; both at least 1, or ValueError.

    Derived: `interval`, seconds between two calls at the even pace, and `whole`, those of a burst.
    """

    per_minute: int
    burst: int
    interval: float = field(init=False)
    whole: float = field(init=False)

    def __post_init__(self) -> None:
        if self.per_minute < 1 or self.burst < 1:
            raise ValueError("A rate needs at least one call a minute and a burst of at least one.")
        object.__setattr__(self, "interval", 60 / self.per_minute)
        object.__setattr__(self, "whole", self.interval * self.burst)


class Pace(msgspec.Struct, frozen=True):
    """What became of a call under its client's rate, and what is left of that.

    `tat`: the new one. `wait`: seconds until it would be admitted; 0: it was. `remaining`: calls that may come
    at once. `reset`: seconds until a whole burst may.
    """

    tat: float
    wait: float
    remaining: int
    reset: float


def admit(tat: float, rate: Rate, now: float) -> Pace:
    """One more call. A client never seen has a TAT of 0."""
    due = (tat if tat > now else now) + rate.interval
    wait = due - now - rate.whole
    if wait > _ROUNDING:
        due = tat  # which lies ahead of the clock too
    else:
        wait = 0.0
    reset = due - now
    return Pace(due, wait, int((rate.whole - reset) / rate.interval + _ROUNDING), reset)


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
