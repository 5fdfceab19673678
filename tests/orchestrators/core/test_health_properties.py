"""What holds of every health and every latency, whatever happened before, in whatever order."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from hypothesis import given
from hypothesis import strategies as st

from orchestrators.core import latency as latencies
from orchestrators.core.health import FRESH, Health, Source, State, at, contacts, failure_probability, step
from orchestrators.core.latency import Latency
from orchestrators.core.outcome import Outcome, OutcomeClass
from orchestrators.core.schedule import next_probe
from tests.support import outcomes as strategies
from tests.support.outcomes import BOUNDED, START

LONGEST_DOWN = 300.0
histories = st.lists(strategies.contacts, max_size=30)
FAULTS = (
    OutcomeClass.TIMEOUT,
    OutcomeClass.UNREACHABLE,
    OutcomeClass.CONTAINER_CRASH,
    OutcomeClass.GPU_OOM,
    OutcomeClass.UPSTREAM_ERROR,
)
History = list[tuple[float, Outcome, Source, float]]


def steps(history: History) -> Iterator[tuple[float, Outcome, Source, Health, Health]]:
    """(now, outcome, source, health before, health after) of each contact."""
    health, now = FRESH, START
    for gap, outcome, source, draw in history:
        now += gap
        after = step(health, outcome, source=source, now=now, draw=draw)
        yield now, outcome, source, health, after
        health = after


def lived(history: History) -> tuple[Health, float]:
    """The health after all of it, and the time of the last contact."""
    health, now = FRESH, START
    for now, _, _, _, health in steps(history):  # noqa: B007  both are what is left at the end
        pass
    return health, now


@BOUNDED
@given(histories)
def test_its_numbers_stay_within_their_bounds(history: History) -> None:
    """R51, R59: no history makes a state that the rules do not know."""
    for now, _, _, _, health in steps(history):
        assert health.until is None or health.state is State.DOWN
        assert health.state is not State.DOWN or health.cause is not None
        assert health.since <= now
        assert 0 <= health.streak <= len(history)
        assert 0 <= health.ejections <= 7
        assert health.trial_successes == 0 or health.state is State.PROBATION
        assert health.trial_successes < 3
        for times in (health.recent.times(), health.faults.times()):
            assert len(times) <= 64
            assert all(when <= now for when in times)
            assert times == sorted(times)
        faults, total = contacts(health, now)
        assert 0 <= faults <= total <= 64
        assert 0 < failure_probability(health, now) < 1


@BOUNDED
@given(histories)
def test_a_down_has_an_end(history: History) -> None:
    """At most 300 s after its last fault; without one only where people or credentials are needed."""
    for now, _, _, before, health in steps(history):
        if health.state is not State.DOWN:
            continue
        if health.until is None:
            assert health.cause is OutcomeClass.REJECTED
        else:
            assert now < health.until <= max(now + LONGEST_DOWN, before.until or 0.0)
            assert at(health, health.until).state is State.PROBATION


@BOUNDED
@given(histories)
def test_a_down_never_ends_earlier_than_it_was_said_to(history: History) -> None:
    """Re-opening keeps the later deadline, and what a person must read is not overwritten."""
    for now, _, _, before, health in steps(history):
        if at(before, now).state is State.DOWN and health.state is State.DOWN:
            assert health.until is None or (before.until is not None and health.until >= before.until)


@BOUNDED
@given(histories)
def test_only_a_fault_takes_it_down_and_only_a_success_brings_it_back(history: History) -> None:
    for now, outcome, source, earlier, health in steps(history):
        before = at(earlier, now)
        if health.state is before.state:
            continue
        if health.state is State.DOWN:
            assert outcome.cls in (*FAULTS, OutcomeClass.API_MISMATCH, OutcomeClass.REJECTED)
        else:
            assert outcome.is_success
        if source is Source.LOOK:
            assert health.state in (State.DOWN, State.PROBATION)


@BOUNDED
@given(histories)
def test_back_pressure_and_last_success_never_go_back(history: History) -> None:
    for _, _, _, before, health in steps(history):
        assert health.busy_until >= before.busy_until
        assert (health.last_success_at or 0.0) >= (before.last_success_at or 0.0)


@BOUNDED
@given(histories, st.sampled_from(FAULTS), st.sampled_from([Source.TRAFFIC, Source.PROBE]), strategies.draws)
def test_two_faults_in_a_row_are_enough(
    history: History, cls: OutcomeClass, source: Source, draw: float
) -> None:
    """R51: whatever it was before, after the second it is asked no more."""
    health, now = lived(history)
    for _ in range(2):
        health = step(health, Outcome(cls), source=source, now=now, draw=draw)
    assert at(health, now).state is State.DOWN


@BOUNDED
@given(histories, strategies.draws)
def test_a_sample_request_that_succeeds_makes_anyone_healthy(history: History, draw: float) -> None:
    """Nobody is lost for good: every down ends with the next sample request that works."""
    health, now = lived(history)
    cured = step(health, Outcome(OutcomeClass.OK), source=Source.PROBE, now=now, draw=draw)
    assert (cured.state, cured.until, cured.streak, cured.cause) == (State.HEALTHY, None, 0, None)


@BOUNDED
@given(histories, st.lists(strategies.gaps, min_size=2, max_size=2))
def test_the_clock_alone_changes_nothing_but_down_to_probation(history: History, gaps: list[float]) -> None:
    """And looking twice is looking once."""
    health, now = lived(history)
    first = at(health, now + gaps[0])
    assert at(first, now + gaps[0]) == first
    assert at(first, now + sum(gaps)) == at(health, now + sum(gaps))
    assert first == health or (health.state, first.state) == (State.DOWN, State.PROBATION)


@BOUNDED
@given(histories, strategies.draws)
def test_the_next_probe_lies_ahead(history: History, draw: float) -> None:
    """R58: for every health there is one, and within a bounded time."""
    health, now = lived(history)
    due = next_probe(health, interval=60.0, now=now, draw=draw)
    assert now <= due <= now + 24 * 3600


@BOUNDED
@given(st.lists(st.tuples(strategies.gaps, strategies.outcomes()), max_size=40))
def test_latencies_stay_within_what_was_seen(history: list[tuple[float, Outcome]]) -> None:
    """R28, R38: warm answers alone make the mean; a cold start is no part of it."""
    latency, now = Latency(), START
    warm: list[float] = []
    for gap, outcome in history:
        now += gap
        latency = latencies.observe(latency, outcome, now)
        if outcome.is_success and not outcome.cold and outcome.latency is not None:
            warm.append(outcome.latency)
        assert (latency.mean is None) == (latency.ewma is None) == (not warm)
        assert latency.samples == len(warm)
        assert latency.deviation >= 0 and isfinite(latency.deviation)
        latencies.flags(latency, 1.0)
        assert latencies.expected(latency, 3, 1, 1.0) >= 0
        if latency.mean is not None and latency.ewma is not None:
            assert -1e-9 <= latency.mean <= max(warm) + 1e-9
            assert min(warm) - 1e-9 <= latency.ewma <= max(warm) + 1e-9
