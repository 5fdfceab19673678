"""What an offer's latencies make of it, as selection sees it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrators.core.classify import Contract
from orchestrators.core.health import State
from orchestrators.core.outcome import Outcome, OutcomeClass
from orchestrators.core.price import Price
from orchestrators.scoreboard import Scoreboard
from orchestrators.upstream.base import Target
from routing.candidates import candidate
from routing.core.selection import Candidate
from routing.table import CapabilityPolicy, OfferEntry

NOW = 1_000_000.0
OFFER = OfferEntry(
    id=1,
    orchestrator="alder",
    orchestrator_id=1,
    target=Target("https://alder:8935", "byoc", "image-to-image"),
    price=Price.parse("10 wei/second"),
    claimed=True,
    seats=2,
    share=1.0,
)
WARM = CapabilityPolicy(
    id=1,
    slug="image-to-image",
    description="",
    profile="warm",
    max_attempts=3,
    retry_timeout=8,
    attempt_timeout=5,
    cold_grace=10,
    latency_target=1.0,
    seat_wait=1,
    fresh_for=120,
    value_of_second=300,
    typical_seconds=1.0,
    stateful=False,
    contract=Contract(),
    content_types=(),
    sample_path=None,
)


def seen(*latencies: float) -> Candidate:
    """An offer that answered so many seconds each time, one answer a second, the last one now."""
    board = Scoreboard(lambda: 0.0)
    for number, seconds in enumerate(latencies, 1 - len(latencies)):
        board.observe(1, Outcome(OutcomeClass.OK, status=200, latency=seconds), now=NOW + number)
    return candidate(OFFER, WARM, board.live(1), 1, NOW)


def test_a_steady_and_quick_one_is_healthy_and_warm() -> None:
    found = seen(*[0.4] * 10)
    assert (found.state, found.warm, found.stale, found.slow_start) == (State.HEALTHY, True, False, False)


@pytest.mark.parametrize(
    "latencies",
    [
        pytest.param([1.1] * 10, id="R32: slow for its profile"),
        pytest.param([0.1, 0.9] * 10, id="R35: contention"),
        pytest.param([0.3] * 10 + [6.0], id="R42: eviction"),
    ],
)
def test_what_its_latencies_say_against_it_degrades_it(latencies: list[float]) -> None:
    """R32, R35, R42: still used, ranked later."""
    assert seen(*latencies).state is State.DEGRADED


def test_uneven_answers_that_nobody_feels_do_not() -> None:
    assert seen(*[0.001, 0.009] * 10).state is State.HEALTHY


def test_a_neighbour_that_fits_poorly_comes_along() -> None:
    """R22"""
    board = Scoreboard(lambda: 0.0)
    assert candidate(replace(OFFER, poor_fit=True), WARM, board.live(1), 1, NOW).poor_fit
