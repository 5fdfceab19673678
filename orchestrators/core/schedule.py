"""When to look at an offer again.

Ordinarily after its interval, spread by a tenth either way so that thousands of offers do not fall
into step. Sooner while its trouble is fresh; when it is down, at the moment it may come back. A host
that stays unreachable is asked less and less, down to a tenth as often: it costs a time-out each time.
"""

from __future__ import annotations

from orchestrators.core.health import Health, State, contacts
from orchestrators.core.outcome import OutcomeClass

# Seconds without any probe; a cron looks every minute, `--loop` as soon as an offer is due.
LATE = 180.0  # all the time something was due: the console says so, as the first offers grow stale
SILENT = 600.0  # twice as long as the slowest interval: a worker is degraded, and alerts may wake people

_SOONEST = 1.0
_SOON = 5.0
_SPREAD = 0.1
_SLOWEST = 10


def next_probe(health: Health, *, interval: float, now: float, draw: float) -> float:
    """The time of the next probe, at least a second from `now`."""
    intervals = _intervals(health)
    if intervals == 1 and health.state is State.DOWN and health.until is not None:
        return max(health.until, now + _SOONEST)
    faults, _ = contacts(health, now)
    wait = min(interval, _SOON) if faults and intervals == 1 else interval * intervals
    return now + max(wait * (1 - _SPREAD + 2 * _SPREAD * draw), _SOONEST)


def _intervals(health: Health) -> int:
    """How many intervals to wait: one, and one more for each unreachable contact after the second."""
    if health.cause is not OutcomeClass.UNREACHABLE:
        return 1
    return min(max(health.streak - 1, 1), _SLOWEST)
