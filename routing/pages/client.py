"""How much of its limits a client uses now, and what it used lately."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Sum
from django.utils.translation import gettext as _

from orchestrators.display import amounts
from orchestrators.models.fields import WeiSum
from routing.core.rate import EthRate, dollars, worth
from routing.metrics import sharing
from routing.metrics.gauges import of_clients
from routing.models import Client, Job, UsageHour
from routing.models.rate import eth_rate
from routing.runtime import Runtime

MOST_COUNTED = 10_000
WEEK = 7 * 24


@dataclass(frozen=True, slots=True)
class Used:
    """One limit. `limit` "": there is none. `part`, `whole`: for the bar."""

    title: str
    now: str
    limit: str
    part: int
    whole: int
    note: str


def used(client: Client, now: datetime) -> dict[str, Any]:
    """Three queries: the last minute's calls, this month's and the latest days' hours, the rate."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    first = hour - timedelta(hours=WEEK - 1)
    midnight = hour.replace(hour=0)
    since = min(first, midnight.replace(day=1))
    hours = UsageHour.objects.filter(client=client.name, hour__gte=since).order_by().values_list("hour")
    by_hour, requests, failures, today, month = [0] * WEEK, 0, 0, 0, 0
    for at, calls, failed, wei in hours.annotate(Sum("requests"), Sum("failures"), WeiSum("wei")):
        today += wei if at >= midnight else 0
        month += wei if at >= midnight.replace(day=1) else 0
        if at >= first:
            by_hour[min((at - first) // timedelta(hours=1), WEEK - 1)] += calls
            requests, failures = requests + calls, failures + failed
    return {
        "limits": [*_pace(client, now), *_budgets(client, today, month)],
        "requests": requests,
        "failures": failures,
        "by_hour": by_hour,
    }


def _pace(client: Client, now: datetime) -> list[Used]:
    tier = client.tier
    rows = Job.objects.filter(client=client.name, at__gte=now - timedelta(minutes=1)).order_by()
    minute = rows[:MOST_COUNTED].count()
    own = of_clients(Runtime.running) if Runtime.running else ()
    in_flight = sharing.total("byocgw_client_calls_in_flight", own, now.timestamp())[str(client.pk),]
    return [
        _counted(_("Calls in the last minute"), minute, tier.requests_per_minute if tier else None, ""),
        _counted(_("In flight"), in_flight, tier.max_in_flight if tier else None, _("on this machine")),
    ]


def _counted(title: str, now: int, limit: int | None, note: str) -> Used:
    return Used(title, amounts.count(now), amounts.count(limit) if limit else "", now, limit or 0, note)


def _budgets(client: Client, today: int, month: int) -> list[Used]:
    tier, rate = client.tier, eth_rate()
    return [
        _spent(_("Spent today (UTC)"), today, tier.daily_budget if tier else None, rate),
        _spent(_("Spent this month"), month, tier.monthly_budget if tier else None, rate),
    ]


def _spent(title: str, wei: int, budget: int | None, rate: EthRate | None) -> Used:
    note = amounts.dollars(dollars(worth(wei, rate))) if rate else ""
    return Used(
        title, amounts.amount(wei), "" if budget is None else amounts.amount(budget), wei, budget or 0, note
    )
