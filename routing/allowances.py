"""What this worker still allows each client: its pace, its calls at once, its money.

Its account admits every request or not, `reserve` is asked for one that is to be routed: a seat, and of the
client's budgets the most that the call may cost. What it did cost is settled when it ends. All in memory: exact
in one process, and of more workers each has a like share of every limit.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import msgspec

from orchestrators.core import amount
from routing.core.limits import Account, Purse
from routing.core.refusal import Code, Refusal
from routing.purses import Purses
from routing.table import ClientEntry

logger = logging.getLogger(__name__)

HANDED_OVER_WITHIN = 5.0  # seconds that a call waits for the budgets; a worker that drains keeps them for one
# A budget that only calls in flight keep from covering one more may do so as soon as one of them ends.
SOON = 1.0
AHEAD = 86_400.0  # as of a machine that came up with another zone's time, and is put back later


class Reservation(msgspec.Struct, eq=False):
    """A client's seat and money for one call; settled once."""

    _account: Account | None
    _purses: Purses
    _client_id: int
    _most: int
    _periods: tuple[str, ...]

    def settle(self, wei: int) -> None:
        account, self._account = self._account, None
        if account is None:
            return
        account.settle(wei)
        for period in self._periods:
            self._purses.purse(self._client_id, period).settle(self._most, wei)
            self._purses.write(self._client_id, period)


class Allowances:
    def __init__(self, purses: Purses) -> None:
        self.purses = purses
        self.hand_over: asyncio.Task[None] | None = None  # while another worker has the budgets
        self.accounts: defaultdict[int, Account] = defaultdict(Account)  # by client

    @property
    def in_flight(self) -> dict[int, int]:
        """Calls by client, where there are any; in any thread."""
        return {id: account.in_flight for id, account in self.accounts.copy().items() if account.in_flight}

    def reserve(self, client: ClientEntry, most: int, wall: float) -> Account | Reservation | Refusal:
        """What is to be settled when the call ends: of a client without a budget, its account.

        `most`: the wei that the call may cost; looked at only where there is a budget. `wall`: seconds.
        """
        account, limit = self.accounts[client.id], client.max_in_flight
        if limit is not None and account.in_flight >= limit:
            detail = f"The client has {limit} calls in flight, which is its limit."
            return Refusal(Code.RATE_LIMITED, detail, retry_after=SOON)
        if client.has_budget:
            return self._with_money(client, account, most, wall)
        account.in_flight += 1
        return account

    async def handed_over(self) -> bool:
        """Wait until another worker has handed its budgets over. False where that is of no use."""
        if self.hand_over is None or self.hand_over.done():
            return False
        await asyncio.wait([self.hand_over], timeout=HANDED_OVER_WITHIN)
        if not self.purses.held:
            logger.warning("no worker hands over its budgets; clients with one are refused")
        return self.purses.held

    def _with_money(
        self, client: ClientEntry, account: Account, most: int, wall: float
    ) -> Reservation | Refusal:
        moment = datetime.fromtimestamp(wall, UTC)
        budgets = _budgets(client, moment)
        refusal = self._uncovered(client, budgets, most, moment)
        if refusal is not None:
            return refusal
        periods = tuple(budgets)
        for period in periods:
            self.purses.purse(client.id, period).reserve(most)
        account.in_flight += 1
        return Reservation(account, self.purses, client.id, most, periods)

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


def periods_since(wall: float) -> frozenset[str]:
    """The day and the month (UTC) before which all are over, by clocks that are up to AHEAD seconds ahead."""
    moment = datetime.fromtimestamp(wall - AHEAD, UTC)
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
