"""A client's seat and money for one call, taken together or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from routing.allowances import Allowances, Reservation, periods_since
from routing.core.refusal import Code, Refusal
from routing.purses import Purses
from routing.table import ClientEntry

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()


def client(**limits: int | None) -> ClientEntry:
    fields = {"daily_budget": None, "monthly_budget": None, "max_in_flight": None} | limits
    return ClientEntry(id=7, name="acme", tier="small", rate=None, capabilities=None, **fields)


@pytest.fixture
def allowances(tmp_path: Path) -> Iterator[Allowances]:
    purses = Purses(tmp_path, "node", 1)
    purses.claim(periods_since(NOON))
    yield Allowances(purses)
    purses.give_up()


def taken(allowances: Allowances, who: ClientEntry, wei: int, wall: float = NOON) -> Reservation:
    found = allowances.reserve(who, wei, wall)
    assert isinstance(found, Reservation)
    return found


def refused(allowances: Allowances, who: ClientEntry, wei: int, wall: float = NOON) -> Refusal:
    found = allowances.reserve(who, wei, wall)
    assert isinstance(found, Refusal)
    return found


def test_a_budget_is_reserved_before_and_settled_after(allowances: Allowances) -> None:
    acme = client(daily_budget=100)
    first = taken(allowances, acme, 60)

    over = refused(allowances, acme, 60)
    first.settle(10)
    first.settle(10)  # once, whatever a caller does
    second = taken(allowances, acme, 60)

    assert (over.code, over.retry_after) == (Code.BUDGET_SPENT, 1.0)
    assert over.detail == "The budget for 2026-11-25 has 40 wei left of 100 wei; this call may cost 60 wei."
    second.settle(60)
    assert refused(allowances, acme, 31).retry_after == 12 * 3600
    taken(allowances, acme, 30)


def test_the_month_counts_beside_the_day(allowances: Allowances) -> None:
    acme = client(daily_budget=100, monthly_budget=150)
    taken(allowances, acme, 90).settle(90)
    tomorrow = NOON + 86400

    over = refused(allowances, acme, 80, tomorrow)

    assert "2026-11 " in over.detail
    assert over.retry_after == 4.5 * 86400  # from the 26th at noon to the first
    taken(allowances, acme, 60, tomorrow)


@pytest.mark.parametrize("now", [NOON, datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()])
@pytest.mark.parametrize("budget", ["daily_budget", "monthly_budget"])
@pytest.mark.parametrize("restarts", [False, True])
def test_what_was_spent_is_known_after_a_clock_that_was_ahead_is_put_back(
    tmp_path: Path, now: float, budget: str, restarts: bool
) -> None:
    """Over midnight, and over the end of the month."""
    acme, ahead = client(**{budget: 100}), now + 20 * 3600
    allowances = Allowances(Purses(tmp_path, "node", 1))
    allowances.purses.claim(periods_since(now))
    taken(allowances, acme, 90, now).settle(90)
    if restarts:
        allowances.purses.give_up()
        allowances = Allowances(Purses(tmp_path, "node", 1))
        allowances.purses.claim(periods_since(ahead))
    allowances.reserve(acme, 5, ahead)

    refused(allowances, acme, 20, now)
    allowances.purses.give_up()


def test_a_refusal_holds_neither_seat_nor_money(allowances: Allowances) -> None:
    acme = client(max_in_flight=2, daily_budget=10)
    first = taken(allowances, acme, 6)
    for _ in range(5):
        refused(allowances, acme, 6)
    second = taken(allowances, acme, 4)

    full = refused(allowances, acme, 0)
    first.settle(0)
    second.settle(0)

    assert full.code is Code.RATE_LIMITED
    assert not allowances.in_flight
    assert allowances.purses.purse(7, "2026-11-25").reserved == 0


def test_a_budget_that_another_worker_still_holds_is_not_spent(tmp_path: Path) -> None:
    waiting = Allowances(Purses(tmp_path, "node", 1))

    refusal = refused(waiting, client(daily_budget=10), 1)

    assert (refusal.code, refusal.retry_after) == (Code.BUDGET_SPENT, 1.0)
    assert not isinstance(waiting.reserve(client(), 1, NOON), Refusal)
