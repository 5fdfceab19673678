"""How fast an offer is: warm and cold apart, and the flags read from both."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp

import pytest

from orchestrators.core.latency import (
    Latency,
    against_target,
    cold_threshold,
    evidence,
    expected,
    flags,
    heard,
    is_warm,
    observe,
)
from orchestrators.core.outcome import Outcome, OutcomeClass


def warm(seconds: float) -> Outcome:
    return Outcome(OutcomeClass.OK, latency=seconds)


def cold(seconds: float) -> Outcome:
    return Outcome(OutcomeClass.COLD_START, latency=seconds, cold=True)


def after(series: Iterable[float], latency: Latency | None = None) -> Latency:
    """One warm answer a second."""
    latency = latency or Latency()
    for seconds in series:
        latency = observe(latency, warm(seconds), latency.stamp + 1)
    return latency


STEADY = after([0.1] * 20)


def test_a_cold_start_never_enters_the_warm_figures() -> None:
    """R38, R61"""
    latency = after([0.1] * 5, observe(Latency(), cold(9.0), 0.0))
    assert latency.cold == 9.0
    assert latency.mean == pytest.approx(0.1)
    assert latency.ewma == pytest.approx(0.1)
    assert latency.deviation == pytest.approx(0.0)
    assert flags(latency, target=1.0) == frozenset()


def test_a_first_cold_start_is_no_eviction() -> None:
    """R38"""
    first = observe(Latency(), cold(9.0), 0.0)
    assert first.last_cold
    assert flags(first, target=1.0) == frozenset()


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(OutcomeClass.TIMEOUT),
        Outcome(OutcomeClass.UPSTREAM_ERROR, latency=0.01),
        Outcome(OutcomeClass.CLIENT_ERROR, latency=0.01),
        Outcome(OutcomeClass.COLD_START, latency=0.01),
        Outcome(OutcomeClass.OK),
    ],
)
def test_only_successes_tell_of_speed(outcome: Outcome) -> None:
    assert observe(STEADY, outcome, 99.0) == STEADY


def test_the_peak_is_believed_at_once_and_forgotten_slowly() -> None:
    peak = observe(Latency(ewma=0.1, mean=0.1, stamp=0.0, samples=1), warm(2.0), 1.0)
    assert peak.ewma == 2.0
    later = observe(peak, warm(0.1), 11.0)
    assert later.ewma == pytest.approx(2.0 * exp(-1) + 0.1 * (1 - exp(-1)))


def test_a_clock_that_went_back_does_no_harm() -> None:
    assert observe(Latency(ewma=2.0, mean=2.0, stamp=100.0, samples=1), warm(1.0), 0.0).ewma == 2.0


def test_mean_and_deviation_are_the_plain_ones_at_first() -> None:
    latency = after([1.0, 2.0, 3.0])
    assert latency.mean == pytest.approx(2.0)
    assert latency.deviation == pytest.approx((2 / 3) ** 0.5)


def test_calls_in_flight_lengthen_the_wait() -> None:
    """R28: up to its seats an offer works on them side by side."""
    assert expected(STEADY, 0, 1, default=5.0) == pytest.approx(0.1)
    assert expected(STEADY, 3, 4, default=5.0) == pytest.approx(0.1)
    assert expected(STEADY, 3, 1, default=5.0) == pytest.approx(0.4)
    assert expected(Latency(), 1, 1, default=5.0) == 10.0


def test_a_p95_at_the_target_is_slow() -> None:
    """R32"""
    assert "slow" in flags(after([1.0] * 5), target=1.0)
    assert "slow" not in flags(after([1.0] * 4), target=1.0)
    assert "slow" not in flags(after([0.9] * 20), target=1.0)
    assert "slow" in flags(after([0.6, 1.0] * 10), target=1.0)


def test_each_flag_tells_what_it_rests_on() -> None:
    """R32, R35, R42, R50: numbers that an operator can check."""
    assert evidence(after([0.5] * 20), target=1.0) == {}
    assert evidence(after([1.2] * 5), target=1.0) == {
        "slow": "slow for its profile: p95 of its warm answers about 1,200 ms, the target is 1,000 ms"
    }
    assert "deviate by " in evidence(after([0.1, 0.9] * 10), target=5.0)["contention"]
    assert evidence(after([0.3] * 10 + [6.0]), target=5.0)["eviction"].endswith("usual is 356 ms")
    long_start = Latency(cold=10.1)
    assert evidence(long_start, target=1.0) == {
        "cold_over_10s": "its latest cold start took 10,100 ms, over 10,000 ms"
    }


def test_a_sample_request_is_slow_where_those_before_it_were() -> None:
    """R32: by p95 of what the prober saw; one slow answer is none, and a failure stays what it is."""
    ok, crash = Outcome(OutcomeClass.OK, latency=1.2), Outcome(OutcomeClass.CONTAINER_CRASH)
    slow = against_target(ok, after([1.2] * 5), target=1.0)
    assert (slow.cls, slow.detail[:21]) == (OutcomeClass.SLOW, "slow for its profile:")
    assert against_target(ok, after([0.2] * 19 + [1.2]), target=1.0) is ok
    assert against_target(crash, after([1.2] * 5), target=1.0) is crash


def test_uneven_answers_with_the_same_mean_suggest_contention() -> None:
    """R35"""
    steady, uneven = after([0.5] * 20), after([0.1, 0.9] * 10)
    assert steady.mean == pytest.approx(uneven.mean, rel=0.1)
    assert "contention" in flags(uneven, target=5.0)
    assert "contention" not in flags(steady, target=5.0)
    assert "contention" not in flags(after([0.1, 0.9] * 3), target=5.0)


@pytest.mark.parametrize("seconds", [3.0, 12.0])
def test_one_cold_sized_answer_of_a_warm_offer_suggests_eviction(seconds: float) -> None:
    """R42: whether it was believed warm (a spike) or not (a cold start)."""
    for outcome in (warm(seconds), cold(seconds)):
        assert "eviction" in flags(observe(STEADY, outcome, 21.0), target=1.0)


def test_an_eviction_passes_with_the_next_warm_answer_and_is_no_contention() -> None:
    """R42"""
    for steady in (after([0.1] * 8), STEADY):
        spiked = observe(steady, warm(8.0), 21.0)
        assert flags(spiked, target=1.0) == {"eviction"}
        assert flags(observe(spiked, warm(0.1), 22.0), target=1.0) == frozenset()


def test_what_stays_within_the_target_is_no_eviction() -> None:
    assert flags(observe(STEADY, warm(0.4), 21.0), target=1.0) == frozenset()


def test_where_loading_was_seen_a_spike_has_its_size() -> None:
    seen = observe(STEADY, cold(8.0), 20.5)
    assert not observe(seen, warm(2.0), 21.0).last_cold
    assert observe(seen, warm(4.0), 21.0).last_cold


def test_an_offer_slower_for_good_is_believed_soon() -> None:
    latency = after([2.0] * 12, STEADY)
    assert latency.mean is not None and latency.mean > 0.6
    assert not after([2.0], latency).last_cold


def test_answers_of_no_time_do_not_freeze_the_mean() -> None:
    latency = after([0.5] * 60, after([0.0] * 20))
    assert latency.mean is not None and latency.mean > 0.1


def test_more_than_ten_seconds_to_start_is_flagged() -> None:
    """R50: 10.0 s keeps, 10.1 s loses."""
    assert flags(observe(Latency(), cold(10.0), 0.0), target=1.0) == frozenset()
    assert flags(observe(Latency(), cold(10.1), 0.0), target=1.0) == {"cold_over_10s"}


def test_slower_than_the_target_and_three_means_is_cold() -> None:
    assert cold_threshold(Latency(), 1.0) == 1.0
    assert cold_threshold(STEADY, 1.0) == 1.0
    assert cold_threshold(after([0.8] * 5), 1.0) == pytest.approx(2.4)


def test_warm_is_what_answered_warm_of_late() -> None:
    """R33, R52"""
    assert not is_warm(Latency(), target=1.0, now=0.0, idle=60.0)
    assert is_warm(STEADY, target=1.0, now=80.0, idle=60.0)
    assert not is_warm(STEADY, target=1.0, now=80.1, idle=60.0)
    assert not is_warm(observe(STEADY, cold(3.0), 21.0), target=1.0, now=21.0, idle=60.0)
    assert not is_warm(observe(STEADY, warm(3.0), 21.0), target=1.0, now=21.0, idle=60.0)


def test_what_others_measured_stands_in_for_what_we_have_not() -> None:
    told = heard(Latency(), mean=0.2, cold=4.0, warm_at=50.0)
    assert expected(told, 0, 1, default=1.0) == 0.2
    assert (told.cold, told.samples) == (4.0, 0)
    assert is_warm(told, target=1.0, now=60.0, idle=60.0)


def test_our_own_figures_stay_whatever_others_measured() -> None:
    told = heard(observe(STEADY, cold(3.0), 21.0), mean=9.0, cold=9.0, warm_at=None)
    assert told.mean == pytest.approx(0.1)
    assert told.cold == 3.0
    assert told.last_cold
    assert heard(Latency(), mean=None, cold=None, warm_at=None) == Latency()


def test_an_offer_seen_warm_by_a_prober_is_warm_again() -> None:
    """R33: only what was seen later than our own last warm answer counts."""
    ours = observe(STEADY, cold(3.0), 21.0)
    assert not is_warm(heard(ours, mean=None, cold=None, warm_at=20.0), target=1.0, now=22.0, idle=60.0)
    assert is_warm(heard(ours, mean=None, cold=None, warm_at=22.0), target=1.0, now=22.0, idle=60.0)
