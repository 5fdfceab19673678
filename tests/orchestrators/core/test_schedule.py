"""When an offer is looked at again."""

from __future__ import annotations

import pytest

from orchestrators.core.health import FRESH, Health, State
from orchestrators.core.outcome import OutcomeClass
from orchestrators.core.schedule import next_probe
from orchestrators.core.window import Window

NOW = 1000.0


def wait(health: Health, *, interval: float = 60.0, draw: float = 0.5) -> float:
    return next_probe(health, interval=interval, now=NOW, draw=draw) - NOW


def down(until: float | None, cause: OutcomeClass = OutcomeClass.TIMEOUT, streak: int = 2) -> Health:
    return Health(state=State.DOWN, until=until, cause=cause, streak=streak)


@pytest.mark.parametrize(("draw", "seconds"), [(0.0, 54.0), (0.5, 60.0), (1.0, 66.0)])
def test_an_interval_is_spread_by_a_tenth(draw: float, seconds: float) -> None:
    assert wait(FRESH, draw=draw) == pytest.approx(seconds)


def test_an_offer_that_is_down_is_asked_when_it_may_be_back() -> None:
    assert wait(down(until=NOW + 7.5)) == 7.5


@pytest.mark.parametrize("until", [NOW - 50, NOW, NOW + 0.5])
def test_the_next_probe_is_never_in_the_past(until: float) -> None:
    assert wait(down(until=until)) == 1.0
    assert wait(FRESH, interval=0.0) == 1.0


def test_a_down_without_a_time_waits_for_the_ordinary_probe() -> None:
    assert wait(down(until=None, cause=OutcomeClass.REJECTED)) == pytest.approx(60.0)


def failed(at: float) -> Health:
    return Health(streak=1, recent=Window.of([at]), faults=Window.of([at]))


def test_fresh_trouble_is_looked_at_soon() -> None:
    assert wait(failed(NOW - 29.0)) == pytest.approx(5.0)
    assert wait(failed(NOW - 31.0)) == pytest.approx(60.0)
    assert wait(failed(NOW - 1.0), interval=2.0) == pytest.approx(2.0)


@pytest.mark.parametrize(("streak", "intervals"), [(3, 2), (5, 4), (11, 10), (500, 10)])
def test_an_unreachable_host_is_asked_less_and_less(streak: int, intervals: int) -> None:
    health = down(until=NOW + 5, cause=OutcomeClass.UNREACHABLE, streak=streak)
    assert wait(health) == pytest.approx(60.0 * intervals)


def test_the_first_unreachable_contacts_do_not_slow_it() -> None:
    assert wait(down(until=NOW + 5, cause=OutcomeClass.UNREACHABLE, streak=2)) == 5.0
