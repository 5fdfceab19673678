"""What this worker still allows each client: its pace, its calls at once, its money.

`pace` is asked for every request, `reserve` for one that is to be routed: a seat, and of the client's
budgets the most that the call may cost. What it did cost is settled when it ends. All in memory: exact
in one process, and of more workers each has a like share of every limit.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from orchestrators.core import amount
from routing.core.limits import Pace, Purse, Rate, admit
from routing.core.refusal import Code, Refusal
from routing.purses import Purses
from routing.table import ClientEntry

# A budget that only calls in flight keep from covering one more may do so as soon as one of them ends.
SOON = 1.0


class Reservation(msgspec.Struct, eq=False):
    """A client's seat and money for one call; settled once."""

    _allowances: Allowances | None
    _client_id: int
    _most: int
    _periods: tuple[str, ...]

    def settle(self, wei: int) -> None:
        allowances, self._allowances = self._allowances, None
        if allowances is None:
            return
        in_flight = allowances.in_flight
        in_flight[self._client_id] -= 1
        if not in_flight[self._client_id]:
            del in_flight[self._client_id]
        for period in self._periods:
            allowances.purses.purse(self._client_id, period).settle(self._most, wei)
            allowances.purses.write(self._client_id, period)


class Allowances:
    def __init__(self, purses: Purses) -> None:
        self.purses = purses
        self._arrivals: dict[int, float] = {}  # theoretical, see core.limits; by client, monotonic seconds
        self.in_flight: dict[int, int] = {}  # by client, where there are any

    def pace(self, client: ClientEntry, rate: Rate, now: float) -> Pace:
        """One more request, `now` on the monotonic clock."""
        pace = admit(self._arrivals.get(client.id, 0.0), rate, now)
        self._arrivals[client.id] = pace.tat
        return pace

    def reserve(self, client: ClientEntry, most: int, wall: float) -> Reservation | Refusal:
        """`most`: the wei that the call may cost; looked at only where there is a budget. `wall`: seconds."""
        limit, in_flight = client.max_in_flight, self.in_flight.get(client.id, 0)
        if limit is not None and in_flight >= limit:
            detail = f"The client has {limit} calls in flight, which is its limit."
            return Refusal(Code.RATE_LIMITED, detail, retry_after=SOON)
        periods: tuple[str, ...] = ()
        if client.has_budget:
            moment = datetime.fromtimestamp(wall, UTC)
            budgets = _budgets(client, moment)
            refusal = self._uncovered(client, budgets, most, moment)
            if refusal is not None:
                return refusal
            periods = tuple(budgets)
            for period in periods:
                self.purses.purse(client.id, period).reserve(most)
        self.in_flight[client.id] = in_flight + 1
        return Reservation(self, client.id, most, periods)

    def _uncovered(
        self, client: ClientEntry, budgets: dict[str, int], wei: int, moment: datetime
    ) -> Refusal | None:
        if not self.purses.held:
            return Refusal(Code.BUDGET_SPENT, "The budget is being handed over.", retry_after=SOON)
        for period, budget in budgets.items():
            purse = self.purses.purse(client.id, period)
            if not purse.covers(wei, budget):
                wait = SOON if purse.covers_later(wei, budget) else _left_of(period, moment)
                return Refusal(Code.BUDGET_SPENT, _sentence(period, budget, purse, wei), retry_after=wait)
        return None


def periods_at(wall: float) -> frozenset[str]:
    """The day and the month (UTC) of a moment."""
    moment = datetime.fromtimestamp(wall, UTC)
    return frozenset({_day(moment), _month(moment)})


def _budgets(client: ClientEntry, moment: datetime) -> dict[str, int]:
    """Wei by period."""
    found = {_day(moment): client.daily_budget, _month(moment): client.monthly_budget}
    return {period: budget for period, budget in found.items() if budget is not None}


def _day(moment: datetime) -> str:
    return moment.date().isoformat()


def _month(moment: datetime) -> str:
    return _day(moment)[:7]


def _left_of(period: str, moment: datetime) -> float:
    """Seconds until the day or the month is over."""
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    next_month = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    end = midnight + timedelta(days=1) if period == _day(moment) else next_month
    return (end - moment).total_seconds()


def _sentence(period: str, budget: int, purse: Purse, wei: int) -> str:
    return (
        f"The budget for {period} has {amount.shown(max(0, budget - purse.spent - purse.reserved))} left of"
        f" {amount.shown(budget)}; this call may cost {amount.shown(wei)}."
    )
