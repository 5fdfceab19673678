"""How far an orchestrator's word is believed: 0 to 100, from what it did, recovering with time.

The network keeps no such score for BYOC, so it is this gateway's own. Everyone begins at 100. An event
takes points away; what was lost comes back by half in every HALF_LIFE. The loss never exceeds 100: who
has been bad for a year and turns good is trusted again as soon as who was bad for a day.

    mismatch             as `effects` says   an answer that was not what the capability promises
    failed_trial         20                  a trial in which its calls failed
    dishonest_capacity   10                  it refused work while its token claimed free slots

Reputation never excludes. `trust` is a factor of the probability of success in the adjusted price
(price of a good result): at 100 it is 1, at 0 it is 1/2, so that the least reputable one looks twice as
dear as it is, and is still called when it is the only one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import exp2

from orchestrators.core.effects import EFFECTS
from orchestrators.core.outcome import OutcomeClass

BEST = 100.0
HALF_LIFE = 3 * 86_400.0  # seconds
# After ten half-lives a thousandth is left: older events need not be read.
FORGOTTEN_AFTER = 10 * HALF_LIFE
# One trouble is told by many calls; within this many seconds it counts once per offer and kind.
SAME_TROUBLE = 3600.0
_LEAST_TRUST = 0.5


class Kind(StrEnum):
    MISMATCH = "mismatch"
    FAILED_TRIAL = "failed_trial"
    DISHONEST_CAPACITY = "dishonest_capacity"


POINTS: Mapping[Kind, float] = {
    Kind.MISMATCH: float(EFFECTS[OutcomeClass.API_MISMATCH].reputation),
    Kind.FAILED_TRIAL: 20.0,
    Kind.DISHONEST_CAPACITY: 10.0,
}


@dataclass(frozen=True, slots=True)
class Event:
    """`points`: what it took away when it happened. `at`: wall seconds."""

    kind: Kind
    points: float
    at: float


def score(events: Iterable[Event], now: float) -> float:
    """0 to 100; 100 without events. Their order does not matter."""
    lost, since = 0.0, now
    for event in sorted(events, key=lambda event: event.at):
        lost = min(left(lost, event.at - since) + event.points, BEST)
        since = event.at
    return BEST - left(lost, now - since)


def left(points: float, seconds: float) -> float:
    """What is left of a loss after so many seconds. A clock that went back restores nothing."""
    return points * exp2(-max(seconds, 0.0) / HALF_LIFE)


def trust(score: float) -> float:
    """The factor of the probability of success: 1 at 100, a half at 0, straight between."""
    share = min(max(score, 0.0), BEST) / BEST
    return _LEAST_TRUST + (1 - _LEAST_TRUST) * share
