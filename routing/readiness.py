"""Is this worker fit to be sent calls? Told from memory alone: no query, no file.

    not ready   there is no routing table, or the worker drains: send calls elsewhere
    degraded    something around the gateway fails; calls are answered from memory all the same
    ok

Only what would make a call fail takes the worker out of service. A database that is away must not: every
worker would leave at once, and calls that all could answer would fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrators.core import schedule
from routing.journal import State as JournalState
from routing.runtime import Runtime

UNCONFIRMED = 10.0  # seconds since the database last said that the table is the latest
BACKLOG = 16 * 1024 * 1024  # bytes of the journal that wait: hours of calls, or minutes at full speed
LATE = 0.5  # seconds


class State(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    NOT_READY = "not ready"


@dataclass(frozen=True, slots=True)
class Check:
    """`figures`: what the state was judged by; ages in whole seconds, None for never."""

    state: State
    figures: Mapping[str, object] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        return {"status": self.state.value, **self.figures}


def checks(runtime: Runtime, now: float, wall: float) -> dict[str, Check]:
    """By name. `now`: monotonic seconds, `wall`: seconds since the epoch."""
    if not runtime.started:
        return {"table": Check(State.NOT_READY, {"loaded": False})}
    found = {name: check(runtime, now) for name, check in _CHECKS.items()}
    found["prober"] = _prober(runtime, wall)
    return found


def overall(found: Mapping[str, Check]) -> State:
    states = {check.state for check in found.values()}
    return next(state for state in (State.NOT_READY, State.DEGRADED, State.OK) if state in states)


def _degraded_if(bad: bool, **figures: object) -> Check:
    return Check(State.DEGRADED if bad else State.OK, figures)


def _table(runtime: Runtime, now: float) -> Check:
    confirmed = now - runtime.confirmed_at
    return _degraded_if(
        confirmed > UNCONFIRMED,
        loaded=True,
        revision=runtime.table.revision,
        built_seconds_ago=round(now - runtime.built_at),
        confirmed_seconds_ago=round(confirmed),
    )


def _database(runtime: Runtime, now: float) -> Check:
    away = runtime.database_away
    return _degraded_if(bool(away), reachable=not away, failing=sorted(away))


def _journal(runtime: Runtime, now: float) -> Check:
    journal = runtime.journal
    return _degraded_if(
        journal.backlog > BACKLOG or journal.state is JournalState.DROPPING,
        state=journal.state.value,
        backlog_bytes=journal.backlog,
        dropped=journal.dropped,
        rejected=journal.rejected,
    )


def _event_loop(runtime: Runtime, now: float) -> Check:
    return _degraded_if(runtime.lag > LATE, lag_seconds=round(runtime.lag, 3))


def _draining(runtime: Runtime, now: float) -> Check:
    return Check(State.NOT_READY if runtime.draining else State.OK, {"draining": runtime.draining})


def _prober(runtime: Runtime, wall: float) -> Check:
    """Silent where there is something to probe and nothing was for long."""
    age = None if runtime.probed_at is None else round(max(0.0, wall - runtime.probed_at))
    wanted = any(runtime.table.entries.values())
    return _degraded_if(wanted and (age is None or age > schedule.SILENT), probe_age_seconds=age)


_CHECKS: Mapping[str, Callable[[Runtime, float], Check]] = {
    "draining": _draining,
    "table": _table,
    "database": _database,
    "journal": _journal,
    "event_loop": _event_loop,
}
