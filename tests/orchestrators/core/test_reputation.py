"""Reputation: what takes it away, how it comes back, and how it enters the adjusted price."""

from __future__ import annotations

from itertools import permutations

import pytest

from orchestrators.core.effects import EFFECTS
from orchestrators.core.outcome import OutcomeClass
from orchestrators.core.reputation import (
    BEST,
    FORGOTTEN_AFTER,
    HALF_LIFE,
    POINTS,
    Event,
    Kind,
    left,
    score,
    trust,
)

NOW = 1_000_000_000.0


def event(kind: Kind = Kind.MISMATCH, ago: float = 0.0, points: float | None = None) -> Event:
    return Event(kind, POINTS[kind] if points is None else points, NOW - ago)


def test_it_begins_at_a_hundred() -> None:
    assert score([], NOW) == BEST == 100


@pytest.mark.parametrize("kind", Kind)
def test_it_falls_with_every_kind_of_event(kind: Kind) -> None:
    """R57: lower after one mismatch than before."""
    assert score([event(kind)], NOW) == 100 - POINTS[kind] < 100


def test_a_mismatch_costs_what_the_table_of_effects_says() -> None:
    assert POINTS[Kind.MISMATCH] == EFFECTS[OutcomeClass.API_MISMATCH].reputation > 0


def test_it_recovers_by_half_in_every_half_life() -> None:
    lost = event(points=40)
    assert score([lost], NOW + HALF_LIFE) == pytest.approx(80)
    assert score([lost], NOW + 2 * HALF_LIFE) == pytest.approx(90)
    assert score([lost], NOW + FORGOTTEN_AFTER) > 99.9


def test_it_never_falls_below_zero_and_returns_from_there_in_the_same_time() -> None:
    day, year = 86_400, 365
    bad_for_a_year = [event(ago=n * day, points=100) for n in range(year)]
    assert score(bad_for_a_year, NOW) == 0
    assert score(bad_for_a_year, NOW + HALF_LIFE) == score([event(points=100)], NOW + HALF_LIFE) == 50


def test_it_does_not_depend_on_the_order_of_events() -> None:
    events = [event(ago=5), event(ago=HALF_LIFE, points=90), event(ago=2 * HALF_LIFE, points=70)]
    assert len({score(each, NOW) for each in permutations(events)}) == 1


def test_a_clock_that_went_back_restores_nothing() -> None:
    assert score([event(ago=-60, points=40)], NOW) == 60
    assert left(10, -5) == 10


@pytest.mark.parametrize(("value", "factor"), [(100, 1), (50, 0.75), (0, 0.5), (-3, 0.5), (130, 1)])
def test_trust_is_a_factor_that_never_excludes(value: float, factor: float) -> None:
    """R47, R57: the least reputable looks twice as dear, and can still be called."""
    assert trust(value) == factor
