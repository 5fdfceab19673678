"""The state machine: who goes down, for how long, and how it comes back."""

from __future__ import annotations

from math import inf

import pytest
from msgspec.structs import replace

from orchestrators.core.health import (
    FRESH,
    Health,
    Source,
    State,
    at,
    contacts,
    failure_probability,
    is_news,
    next_change,
    step,
)
from orchestrators.core.outcome import Outcome, OutcomeClass, Speaker

C = OutcomeClass
OK = Outcome(C.OK, latency=0.1)
SLOW = Outcome(C.SLOW, latency=2.0)
TIMEOUT = Outcome(C.TIMEOUT)
UNREACHABLE = Outcome(C.UNREACHABLE, speaker=Speaker.TRANSPORT)
MISMATCH = Outcome(C.API_MISMATCH, detail="The answer is empty.")
REJECTED = Outcome(C.REJECTED, speaker=Speaker.ORCHESTRATOR, detail="Could not verify job creds")
FAULTS = [C.TIMEOUT, C.UNREACHABLE, C.CONTAINER_CRASH, C.GPU_OOM, C.UPSTREAM_ERROR]
HEALTHY = Health(state=State.HEALTHY, since=1.0)
EVERY_STATE = [
    FRESH,
    HEALTHY,
    Health(state=State.DEGRADED, reason="slower than its target"),
    Health(state=State.DOWN, until=300.0, cause=C.TIMEOUT, ejections=1),
    Health(state=State.PROBATION, ejections=1),
]


def cold(seconds: float) -> Outcome:
    return Outcome(C.COLD_START, latency=seconds, cold=True)


def run(
    health: Health, *outcomes: Outcome, now: float = 100.0, source: Source = Source.TRAFFIC, draw: float = 1.0
) -> Health:
    """All outcomes at one moment; with this draw a down takes the whole of its time."""
    for outcome in outcomes:
        health = step(health, outcome, source=source, now=now, draw=draw)
    return health


DOWN = run(HEALTHY, TIMEOUT, TIMEOUT)  # at 100, until 105
ON_PROBATION = at(DOWN, 105.0)
REFUSED = run(HEALTHY, REJECTED)


def test_a_first_answer_makes_it_healthy() -> None:
    health = run(FRESH, OK)
    assert (health.state, health.since, health.last_success_at) == (State.HEALTHY, 100.0, 100.0)


def test_staying_in_a_state_keeps_its_beginning() -> None:
    assert run(HEALTHY, OK).since == 1.0


@pytest.mark.parametrize("cls", FAULTS)
def test_one_fault_changes_nothing_two_in_a_row_take_it_down(cls: OutcomeClass) -> None:
    """R63-R65"""
    once = run(HEALTHY, Outcome(cls))
    assert (once.state, once.cause, once.streak) == (State.HEALTHY, None, 1)
    twice = run(once, Outcome(cls))
    assert (twice.state, twice.cause, twice.reason) == (State.DOWN, cls, f"2 faults in a row: {cls}")
    assert (twice.since, twice.until) == (100.0, 105.0)


def test_a_success_between_two_faults_breaks_the_row() -> None:
    assert run(HEALTHY, TIMEOUT, OK, TIMEOUT).state is State.HEALTHY


def test_half_of_at_least_five_contacts_take_it_down() -> None:
    health = run(HEALTHY, TIMEOUT, OK, OK, TIMEOUT)
    assert health.state is State.HEALTHY
    sixth = run(health, OK, TIMEOUT)
    assert (sixth.state, sixth.reason) == (
        State.DOWN,
        "3 of 6 contacts failed within 30 s, the last: timeout",
    )


def test_the_window_slides() -> None:
    health = run(HEALTHY, TIMEOUT, OK, OK, TIMEOUT, OK)
    assert contacts(health, 129.9) == (2, 5)
    assert contacts(health, 130.0) == (0, 0)
    assert run(health, TIMEOUT, now=130.0).state is State.HEALTHY


def test_the_window_is_bounded() -> None:
    assert contacts(run(HEALTHY, *[OK] * 100), 100.0) == (0, 64)


def test_a_down_of_a_clock_that_was_put_back_since_is_over() -> None:
    """None lasts longer than five minutes; between two machines' clocks there may be one more."""
    assert at(replace(DOWN, since=7300.0, until=460.0), 100.0).state is State.DOWN
    back = at(replace(DOWN, since=7300.0, until=7305.0), 100.0)
    assert (back.state, back.since, back.until) == (State.PROBATION, 100.0, None)
    assert run(back, TIMEOUT, now=100.0, draw=0.0).until == 105.0


@pytest.mark.parametrize(("draw", "until"), [(0.0, 102.5), (0.5, 103.75), (1.0, 105.0)])
def test_a_down_has_equal_jitter(draw: float, until: float) -> None:
    assert run(HEALTHY, TIMEOUT, TIMEOUT, draw=draw).until == until


def test_the_time_doubles_with_every_failed_probation_up_to_five_minutes() -> None:
    health, now, lasted = DOWN, 100.0, []
    for _ in range(9):
        assert health.until is not None
        lasted.append(health.until - now)
        now = health.until
        health = run(health, TIMEOUT, now=now)
    assert lasted == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert health.reason == "failed on probation: timeout"


def test_its_time_up_it_reads_as_on_probation() -> None:
    assert at(DOWN, 104.9) is DOWN
    assert (ON_PROBATION.state, ON_PROBATION.since, ON_PROBATION.until) == (State.PROBATION, 105.0, None)
    assert ON_PROBATION.reason == "2 faults in a row: timeout"


@pytest.mark.parametrize(("source", "needed"), [(Source.PROBE, 1), (Source.TRAFFIC, 3)])
def test_probation_needs_one_sample_or_three_of_traffic(source: Source, needed: int) -> None:
    before = run(ON_PROBATION, *[OK] * (needed - 1), now=106.0, source=source)
    assert before.state is State.PROBATION
    after = run(before, OK, now=106.0, source=source)
    assert (after.state, after.cause, after.reason, after.trial_successes) == (State.HEALTHY, None, "", 0)


def test_slow_answers_lead_from_probation_to_degraded() -> None:
    assert run(ON_PROBATION, SLOW, SLOW, SLOW, now=106.0).state is State.DEGRADED


def test_one_fault_on_probation_undoes_its_successes() -> None:
    health = run(ON_PROBATION, OK, OK, TIMEOUT, now=106.0)
    assert (health.state, health.until, health.trial_successes) == (State.DOWN, 116.0, 0)


def test_a_return_to_healthy_closes_the_old_window_and_halves_the_times() -> None:
    back = run(replace(ON_PROBATION, ejections=5), OK, now=106.0, source=Source.PROBE)
    assert back.ejections == 2
    assert (back.recent.times(), back.faults.times()) == ([106.0], [])
    assert run(back, TIMEOUT, now=107.0).state is State.HEALTHY


def test_faults_of_calls_under_way_extend_a_down_but_do_not_double_it() -> None:
    later = run(DOWN, TIMEOUT, now=103.0)
    assert (later.state, later.until, later.ejections, later.since) == (State.DOWN, 108.0, 1, 100.0)


def test_going_down_again_keeps_the_later_deadline() -> None:
    assert run(DOWN, TIMEOUT, now=101.0, draw=0.0).until == 105.0


def test_successes_of_calls_under_way_do_not_end_a_down() -> None:
    health = run(DOWN, OK, now=101.0)
    assert (health.state, health.until, health.last_success_at) == (State.DOWN, 105.0, 101.0)


@pytest.mark.parametrize("outcomes", [(TIMEOUT, TIMEOUT), (MISMATCH,), (REJECTED,)])
def test_a_samples_success_ends_any_down(outcomes: tuple[Outcome, ...]) -> None:
    assert run(run(HEALTHY, *outcomes), OK, source=Source.PROBE).state is State.HEALTHY


def test_a_mismatch_takes_it_down_at_once() -> None:
    """R56, R66"""
    health = run(HEALTHY, MISMATCH)
    assert (health.state, health.cause, health.until) == (State.DOWN, C.API_MISMATCH, 105.0)
    assert health.reason == "api_mismatch: The answer is empty."


def test_a_rejection_lasts_until_the_next_probe() -> None:
    assert (REFUSED.state, REFUSED.cause, REFUSED.until) == (State.DOWN, C.REJECTED, None)
    assert REFUSED.reason == "rejected: Could not verify job creds"
    assert at(REFUSED, 10**9).state is State.DOWN
    assert run(REFUSED, OK, OK, OK).state is State.DOWN
    assert run(REFUSED, OK, source=Source.LOOK).state is State.PROBATION


@pytest.mark.parametrize("first", [MISMATCH, REJECTED])
@pytest.mark.parametrize("second", [MISMATCH, REJECTED, TIMEOUT])
def test_what_a_person_must_read_is_not_overwritten(first: Outcome, second: Outcome) -> None:
    health = run(HEALTHY, first)
    again = run(health, second, second)
    assert (again.cause, again.reason, again.until) == (health.cause, health.reason, health.until)


@pytest.mark.parametrize("state", EVERY_STATE, ids=lambda health: health.state)
@pytest.mark.parametrize("cls", [C.NOT_CLAIMED, C.CLIENT_ERROR, C.CANCELLED, C.COLD_START])
def test_what_is_no_fault_of_theirs_changes_nothing(state: Health, cls: OutcomeClass) -> None:
    """R38: the answer that it is still loading among them."""
    assert run(state, Outcome(cls)) == state


@pytest.mark.parametrize("state", EVERY_STATE, ids=lambda health: health.state)
@pytest.mark.parametrize(("retry_after", "until"), [(None, 101.0), (0.0, 101.0), (7.0, 107.0)])
def test_busy_is_left_alone_for_a_while_and_is_no_fault(
    state: Health, retry_after: float | None, until: float
) -> None:
    assert run(state, Outcome(C.BUSY, retry_after=retry_after)) == replace(state, busy_until=until)


def test_a_shorter_wait_does_not_shorten_a_longer_one() -> None:
    busy = run(HEALTHY, Outcome(C.BUSY, retry_after=60.0), Outcome(C.BUSY))
    assert busy.busy_until == 160.0


@pytest.mark.parametrize(("seconds", "state"), [(10.0, State.HEALTHY), (10.1, State.DEGRADED)])
def test_more_than_ten_seconds_to_start_degrades(seconds: float, state: State) -> None:
    """R50, R38: it never ejects."""
    health = run(FRESH, cold(seconds), cold(seconds), cold(seconds))
    assert (health.state, health.streak, health.cause) == (state, 0, None)


def test_slow_degrades_and_ok_restores() -> None:
    """R14"""
    degraded = run(HEALTHY, SLOW)
    assert (degraded.state, degraded.reason) == (State.DEGRADED, "slower than its target")
    assert run(HEALTHY, replace(SLOW, detail="contention")).reason == "contention"
    assert run(HEALTHY, cold(12.34)).reason == "took 12.3 s to start, more than 10 s"
    restored = run(degraded, OK)
    assert (restored.state, restored.reason) == (State.HEALTHY, "")


@pytest.mark.parametrize("state", EVERY_STATE, ids=lambda health: health.state)
def test_a_look_that_succeeds_ends_no_other_down_and_heals_nobody(state: Health) -> None:
    """R58: a container that answers its health check may still be unable to work."""
    assert run(state, OK, source=Source.LOOK) == state


def test_a_look_that_succeeds_ends_a_down_for_being_unreachable() -> None:
    health = run(run(HEALTHY, UNREACHABLE, UNREACHABLE), OK, now=102.0, source=Source.LOOK)
    assert (health.state, health.since, health.until, health.cause, health.streak) == (
        State.PROBATION,
        102.0,
        None,
        None,
        0,
    )
    assert health.reason == "on probation; it was down for unreachable"


def test_looks_that_fail_are_faults() -> None:
    """R58"""
    once = run(FRESH, UNREACHABLE, source=Source.LOOK)
    assert (once.state, once.streak) == (State.UNKNOWN, 1)
    assert run(once, UNREACHABLE, source=Source.LOOK).state is State.DOWN


def test_a_look_that_succeeds_takes_a_failed_one_off_the_streak() -> None:
    once = run(HEALTHY, UNREACHABLE, source=Source.LOOK)
    assert run(once, OK, UNREACHABLE, source=Source.LOOK).state is State.HEALTHY
    by_traffic = run(HEALTHY, UNREACHABLE)
    assert run(by_traffic, OK, source=Source.LOOK) == by_traffic


@pytest.mark.parametrize("cls", [C.TIMEOUT, C.CONTAINER_CRASH, C.UPSTREAM_ERROR])
def test_any_failed_connection_of_a_look_counts_as_unreachable(cls: OutcomeClass) -> None:
    failed = Outcome(cls, speaker=Speaker.TRANSPORT)
    assert run(HEALTHY, failed, failed, source=Source.LOOK).cause is C.UNREACHABLE


@pytest.mark.parametrize(
    "outcome",
    [Outcome(C.UPSTREAM_ERROR, status=500), MISMATCH, Outcome(C.BUSY), Outcome(C.COLD_START, began=False)],
)
def test_what_a_look_was_answered_changes_nothing_else(outcome: Outcome) -> None:
    assert run(HEALTHY, outcome, outcome, source=Source.LOOK) == HEALTHY


def test_a_look_may_be_rejected_and_a_failed_one_does_not_hide_it() -> None:
    rejected = run(HEALTHY, REJECTED, source=Source.LOOK)
    assert rejected.cause is C.REJECTED
    assert run(rejected, UNREACHABLE, UNREACHABLE, source=Source.LOOK).cause is C.REJECTED


def test_offers_do_not_share_health() -> None:
    """R59, R60: a step yields a new value and leaves the old one as it was."""
    before = replace(HEALTHY)
    run(HEALTHY, TIMEOUT, TIMEOUT)
    assert before == HEALTHY


def test_the_probability_of_failure_follows_the_window() -> None:
    """R73"""
    assert failure_probability(FRESH, 100.0) == 0.1
    assert failure_probability(run(HEALTHY, *[OK] * 64), 100.0) < 0.008
    assert 0.9 < failure_probability(run(DOWN, *[TIMEOUT] * 64), 100.0) < 0.95
    assert failure_probability(run(DOWN, *[TIMEOUT] * 64), 131.0) == 0.1


def test_others_hear_of_a_change_of_state_and_of_nothing_less() -> None:
    assert not is_news(HEALTHY, run(HEALTHY, OK))
    assert not is_news(HEALTHY, run(HEALTHY, TIMEOUT))
    assert is_news(HEALTHY, DOWN)
    assert is_news(DOWN, replace(DOWN, until=200.0))


class TestWhatTheClockAloneChanges:
    def test_nothing_where_nothing_was_heard(self) -> None:
        assert next_change(FRESH, 100.0) == inf
        assert next_change(REFUSED, 100.0) == inf  # no time ends that down

    def test_the_end_of_a_down(self) -> None:
        assert next_change(DOWN, 100.0) == 105.0
        assert next_change(DOWN, 105.0) == 130.0

    def test_the_end_of_its_being_left_alone(self) -> None:
        busy = replace(FRESH, busy_until=102.0)
        assert next_change(busy, 100.0) == 102.0
        assert next_change(busy, 102.0) == inf

    def test_the_contacts_that_leave_within_a_second_leave_together(self) -> None:
        crowd = run(run(HEALTHY, OK, now=100.0), OK, now=100.5)
        assert next_change(crowd, 129.0) == 130.0
        assert next_change(crowd, 130.0) == 131.0
