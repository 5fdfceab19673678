"""The health of one offer: (state, one outcome) -> state.

    unknown -> healthy <-> degraded -> down(until) -> probation -> healthy

Health is per orchestrator *and* capability; nothing here knows of any other offer.

- A *fault* (timeout, unreachable, container_crash, gpu_oom, upstream_error) alone proves little. Two in a
  row, or half of at least five contacts within 30 s, take the offer down: for 5 s, twice as long with
  every further time, 300 s at most, with equal jitter so that offers (and workers) do not return in step.
  Each return to healthy halves the count of times, so a flapping offer stays out longer and a cured one
  is forgiven within a few returns.
- When its time is up it is on *probation*, merely by the clock (`at`): one success of a sample request
  or three of traffic make it healthy, one fault takes it down for twice as long.
- Contacts that were under way when it went down still report. Their faults move the deadline, never
  earlier, but do not double the time: they are the same trouble. Their successes do not end it.
- *api_mismatch* takes it down at once; *rejected* (credentials or money) takes it down without a time:
  only a look or a sample request can find out that this has been put right. Neither is overwritten by
  the stragglers' faults: a person has to read them.
- Busy, cold starts, the client's own errors, hang-ups and claims are no faults. Claims live in `advert`.

Which class does what, `effects` says. Three *sources* weigh differently. TRAFFIC is a client's call.
PROBE is a sample request, whose success ends any down. LOOK asks for a token or a container's health and
starts no work: it tells of reachability and of credentials, so its success ends a down with such a cause,
into probation, and changes nothing else.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from enum import StrEnum
from math import inf

import msgspec
from msgspec.structs import replace

from orchestrators.core.clocks import has_come
from orchestrators.core.effects import EFFECTS, OnHealth
from orchestrators.core.outcome import Outcome, OutcomeClass, Speaker
from orchestrators.core.window import SECONDS, Window

_FAULTS_IN_A_ROW = 2
_WINDOW_LEAST = 5
_DOWN_FIRST = 5.0
_DOWN_LONGEST = 300.0
_MOST_EJECTIONS = 7  # 5 s doubled six times is beyond the longest
_TRAFFIC_SUCCESSES = 3
_LONG_START = 10.0
_BUSY = 1.0
_LAG = 1.0


class State(StrEnum):
    __hash__ = str.__hash__  # see OutcomeClass

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DOWN = "down"
    PROBATION = "probation"


class Source(StrEnum):
    TRAFFIC = "traffic"
    PROBE = "probe"
    LOOK = "look"


# see OutcomeClass
_HEALTHY, _DOWN, _PROBATION = State.HEALTHY, State.DOWN, State.PROBATION
_OK, _SLOW, _LOOK = OutcomeClass.OK, OutcomeClass.SLOW, Source.LOOK


_NONE = Window.of()


class Health(msgspec.Struct, frozen=True, gc=False):
    """`since`: when the state began. `until`: the end of a down, None where no clock ends it.
    `cause`: what it is, or was before its probation, down for; UNREACHABLE also after one look that failed.
    `reason`: the same as a sentence for the operator.
    `streak`: faults in a row. `recent`: times of the contacts of the last 30 s; `faults`: of those that failed.
    `trial_successes`: of traffic, on probation. `ejections`: how often it went down, halved on each return.
    `busy_until`: it asked to be left alone until then. Times are seconds on one clock.
    """

    state: State = State.UNKNOWN
    since: float = 0.0
    until: float | None = None
    cause: OutcomeClass | None = None
    reason: str = ""
    streak: int = 0
    recent: Window = _NONE
    faults: Window = _NONE
    trial_successes: int = 0
    ejections: int = 0
    busy_until: float = 0.0
    last_success_at: float | None = None


FRESH = Health()


class _Contact(msgspec.Struct, frozen=True):
    outcome: Outcome
    source: Source
    now: float
    draw: float


def step(health: Health, outcome: Outcome, source: Source, now: float, draw: float) -> Health:
    """The health after `outcome`. `draw`, in [0, 1), places the end of a down within its jitter."""
    if (
        health.state is _HEALTHY
        and outcome.cls is _OK
        and source is not _LOOK
        and not (outcome.cold or health.reason or health.cause)
    ):  # as nearly always
        return replace(health, recent=health.recent.noted(now), last_success_at=now, streak=0)
    effect = _look if source is _LOOK else _STEPS[EFFECTS[outcome.cls].on_health]
    return effect(at(health, now), _Contact(outcome, source, now, draw))


def at(health: Health, now: float) -> Health:
    """The health as the clock shows it: a down whose time is up reads as probation."""
    until = health.until
    if health.state is not _DOWN or until is None or not has_come(until, now, _DOWN_LONGEST):
        return health
    return replace(health, state=_PROBATION, since=min(until, now), until=None, trial_successes=0)


def is_news(before: Health, after: Health) -> bool:
    """Whether other processes must hear of the change; the rest each learns from its own traffic."""
    return after.state is not before.state or after.until != before.until or after.cause is not before.cause


def next_change(health: Health, now: float) -> float:
    """When it reads differently if nothing is heard until then; inf if the clock alone changes nothing.

    Contacts leave the window one by one; `failure_probability` may lag behind that by up to a second.
    """
    recent, change = health.recent, inf
    if recent.start != recent.end:
        change, soon = recent.log[recent.start] + SECONDS, now + _LAG
        if change < soon:
            change = soon
    if health.until is not None and now < health.until < change:
        change = health.until
    if now < health.busy_until < change:
        change = health.busy_until
    return change


def contacts(health: Health, now: float) -> tuple[int, int]:
    """(faults, contacts) within the last 30 s."""
    recent, faults = health.recent, health.faults
    first = recent.first(now)
    if faults.start == faults.end or first == recent.end:  # as nearly always
        return 0, recent.end - first
    failed = faults.end - bisect_left(faults.log, recent.log[first], faults.start, faults.end)
    return failed, recent.end - first


def failure_probability(health: Health, now: float) -> float:
    """How likely the next call fails: the last 30 s, and a prior of half a fault in five contacts.

    The prior and the window's bound keep it between 0.007 and 0.94: nobody is ever sure.
    """
    recent = health.recent
    if health.faults.start == health.faults.end:  # as nearly always
        return 0.5 / (recent.end - recent.first(now) + 5)
    faults, total = contacts(health, now)
    return (faults + 0.5) / (total + 5)


def _success(health: Health, contact: _Contact) -> Health:
    """A contract-clean answer. Straight after the way back (down, probation), the old window is closed."""
    now, reason = contact.now, _shortcoming(contact.outcome)
    noted = replace(health, recent=health.recent.noted(now), last_success_at=now, streak=0)
    by_sample = contact.source is Source.PROBE
    if health.state is _DOWN and not by_sample:
        return noted
    if health.state is _PROBATION and not by_sample and health.trial_successes + 1 < _TRAFFIC_SUCCESSES:
        return replace(noted, trial_successes=health.trial_successes + 1)
    entered = _enter(noted, State.DEGRADED if reason else _HEALTHY, reason, now)
    if health.state in (_DOWN, _PROBATION):
        return replace(entered, ejections=health.ejections // 2, recent=Window.of([now]), faults=_NONE)
    return entered


def _cold_start(health: Health, contact: _Contact) -> Health:
    """A slow first success is a success. An answer that it is still loading is not even a contact."""
    return _success(health, contact) if contact.outcome.is_success else health


def _fault(health: Health, contact: _Contact) -> Health:
    noted = _blamed(health, contact)
    if _stands(health):
        return noted
    reason = _verdict(noted, contact.now)
    return _down(noted, contact, f"{reason}: {contact.outcome.cls}") if reason else noted


def _mismatch(health: Health, contact: _Contact) -> Health:
    noted = _blamed(health, contact)
    return noted if _stands(health) else _down(noted, contact, _sentence(contact.outcome))


def _rejected(health: Health, contact: _Contact) -> Health:
    if _stands(health):
        return health
    entered = _enter(health, State.DOWN, _sentence(contact.outcome), contact.now)
    return replace(entered, cause=OutcomeClass.REJECTED)


def _busy(health: Health, contact: _Contact) -> Health:
    until = contact.now + (contact.outcome.retry_after or _BUSY)
    return replace(health, busy_until=max(health.busy_until, until))


def _nothing(health: Health, contact: _Contact) -> Health:
    return health


def _look(health: Health, contact: _Contact) -> Health:
    """A connection that failed counts as unreachable, whatever the class: no work was asked for."""
    outcome = contact.outcome
    if outcome.is_success:
        return _reached(health, contact.now)
    if outcome.cls is OutcomeClass.REJECTED:
        return _rejected(health, contact)
    if outcome.cls is OutcomeClass.UNREACHABLE or (
        outcome.speaker is Speaker.TRANSPORT and EFFECTS[outcome.cls].on_health is OnHealth.FAULT
    ):
        return _fault(health, replace(contact, outcome=replace(outcome, cls=OutcomeClass.UNREACHABLE)))
    return health


def _reached(health: Health, now: float) -> Health:
    if health.cause not in (OutcomeClass.UNREACHABLE, OutcomeClass.REJECTED):
        return health
    cured = replace(health, cause=None, streak=0)
    if health.state is not State.DOWN:
        return cured
    return _enter(cured, State.PROBATION, f"on probation; it was down for {health.cause}", now)


# Of traffic and of sample requests.
_STEPS: Mapping[OnHealth, Callable[[Health, _Contact], Health]] = {
    OnHealth.PROOF: _success,
    OnHealth.START: _cold_start,
    OnHealth.WAIT: _busy,
    OnHealth.NONE: _nothing,
    OnHealth.FAULT: _fault,
    OnHealth.DOWN: _mismatch,
    OnHealth.SHUT: _rejected,
}


def _enter(health: Health, state: State, reason: str, now: float) -> Health:
    """Into `state` with a clean slate; `since` moves only if the state does."""
    return replace(
        health,
        state=state,
        since=health.since if state is health.state else now,
        until=None,
        reason=reason,
        trial_successes=0,
        cause=None,
    )


def _down(health: Health, contact: _Contact, reason: str) -> Health:
    again = health.state is State.DOWN
    ejections = health.ejections if again else min(health.ejections + 1, _MOST_EJECTIONS)
    longest = min(_DOWN_FIRST * 2 ** (ejections - 1), _DOWN_LONGEST)
    until = contact.now + longest / 2 + longest / 2 * contact.draw
    return replace(
        _enter(health, State.DOWN, reason, contact.now),
        until=max(until, health.until or 0.0),
        cause=contact.outcome.cls,
        ejections=ejections,
    )


def _verdict(health: Health, now: float) -> str:
    """Why the faults so far are too many, "" if they are not."""
    if health.state is State.PROBATION:
        return "failed on probation"
    if health.streak >= _FAULTS_IN_A_ROW:
        return f"{health.streak} faults in a row"
    faults, total = contacts(health, now)
    if total >= _WINDOW_LEAST and 2 * faults >= total:
        return f"{faults} of {total} contacts failed within {SECONDS:.0f} s, the last"
    return ""


def _shortcoming(outcome: Outcome) -> str:
    """Why a success degrades, "" if it does not."""
    if outcome.cls is _SLOW:
        return outcome.detail or "slower than its target"
    if outcome.cold and outcome.latency is not None and outcome.latency > _LONG_START:
        return f"took {outcome.latency:.1f} s to start, more than {_LONG_START:.0f} s"
    return ""


def _stands(health: Health) -> bool:
    """Down for a cause that a person must read: stragglers do not overwrite it."""
    return health.state is State.DOWN and health.cause in (OutcomeClass.API_MISMATCH, OutcomeClass.REJECTED)


def _blamed(health: Health, contact: _Contact) -> Health:
    noted = replace(
        health,
        recent=health.recent.noted(contact.now),
        faults=health.faults.noted(contact.now),
        streak=health.streak + 1,
        trial_successes=0,
    )
    # Remembered so that the next look, if it succeeds, can take its own kind of fault off the streak.
    by_look = contact.source is Source.LOOK and not _stands(health)
    return replace(noted, cause=contact.outcome.cls) if by_look else noted


def _sentence(outcome: Outcome) -> str:
    return f"{outcome.cls}: {outcome.detail}" if outcome.detail else str(outcome.cls)
