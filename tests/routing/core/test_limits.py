from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core.limits import Account, Purse, Rate

NOW = 1_700_000_000.0
RATE = Rate(per_minute=60, burst=3)


def test_it_admits_a_burst_and_then_one_per_interval() -> None:
    account = Account()

    verdicts = [not account.admit(RATE, NOW + after) for after in (0, 0, 0, 0, 1, 1, 2)]

    assert verdicts == [True, True, True, False, True, False, True]


def test_it_says_how_long_to_wait_and_that_is_enough() -> None:
    account = Account()
    for _ in range(3):
        account.admit(RATE, NOW)
    before = account.tat

    wait = account.admit(RATE, NOW + 0.25)

    assert account.tat == before
    assert wait == pytest.approx(0.75)
    assert not account.admit(RATE, NOW + 0.25 + wait)


def test_it_saves_no_more_than_a_burst_for_an_idle_client() -> None:
    account = Account()
    account.admit(RATE, NOW)

    admitted = [not account.admit(RATE, NOW + 3600) for _ in range(10)]

    assert sum(admitted) == 3


def test_it_admits_every_call_of_an_even_pace_whatever_the_floats_do() -> None:
    account, rate = Account(), Rate(per_minute=7, burst=1)
    for call in range(1000):
        assert not account.admit(rate, NOW + call * rate.interval)


@pytest.mark.parametrize(("per_minute", "burst"), [(0, 1), (1, 0)])
def test_it_refuses_a_rate_that_admits_nobody(per_minute: int, burst: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Rate(per_minute, burst)


def test_it_tells_what_is_left_of_a_burst_and_when_it_is_whole_again() -> None:
    account, told = Account(), []
    for now in (NOW, NOW, NOW, NOW, NOW + 1.5):
        account.admit(RATE, now)
        told.append((account.remaining, account.reset))

    assert told == [(2, 1), (1, 2), (0, 3), (0, 3), (0, 3)]


def test_it_counts_the_calls_in_flight_whatever_they_cost() -> None:
    account = Account(in_flight=2)

    account.settle(5)

    assert account.in_flight == 1


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 1)), max_size=60), st.integers(0, 300))
def test_a_budget_is_never_overspent(calls: list[tuple[int, float]], budget: int) -> None:
    """Whatever comes at once, and however little or much of what it may cost each call does cost."""
    purse, under_way = Purse(), []
    for most, part in calls:
        if purse.covers(most, budget):
            purse.reserve(most)
            under_way.append((most, int(most * part)))
        elif under_way:
            purse.settle(*under_way.pop(0))
        assert purse.spent + purse.reserved <= budget
    for most, wei in under_way:
        purse.settle(most, wei)
    assert (purse.reserved, purse.spent <= budget) == (0, True)


def test_what_calls_in_flight_hold_back_may_come_free() -> None:
    purse = Purse(spent=4)
    purse.reserve(5)

    assert not purse.covers(5, 10)
    assert purse.covers_later(5, 10)
    assert not purse.covers_later(7, 10)
