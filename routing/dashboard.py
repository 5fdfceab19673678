"""The console's first page: how the gateway fares, what is wrong and what to do, as plain values.

Read from the sums (UsageHour), the present state of every offer and the latest calls; nothing here grows with
the history. Who would be asked now is decided by the functions of live traffic, on the routing table.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Sum
from django.utils.translation import gettext as _

from orchestrators.core import schedule
from orchestrators.display.moments import rough
from orchestrators.display.states import word
from orchestrators.models import ASLEEP, ConfigRevision, Offer, Orchestrator
from orchestrators.models.fields import WeiSum
from orchestrators.standing import TROUBLED, Standing, with_standing
from routing import table as tables
from routing.core.selection import Why
from routing.explain import explain, stored_board
from routing.models import Client, Job, PriceCeiling, UsageHour
from routing.table import RoutingTable, Rows

HOURS = 24
LATEST = 500  # calls that the 95th percentile is taken from
_COUNTS = ("requests", "failures", "milliseconds")
_READY = (Standing.READY, Standing.DEGRADED)


@dataclass(slots=True)
class Traffic:
    """Sums of the last 24 hours, and what they were hour by hour, oldest first."""

    requests: int = 0
    failures: int = 0
    milliseconds: int = 0
    wei: int = 0
    by_hour: list[int] = field(default_factory=lambda: [0] * HOURS)
    failed_by_hour: list[int] = field(default_factory=lambda: [0] * HOURS)

    def add(self, place: int, requests: int, failures: int, milliseconds: int, wei: int) -> None:
        self.requests += requests
        self.failures += failures
        self.milliseconds += milliseconds
        self.wei += wei
        self.by_hour[place] += requests
        self.failed_by_hour[place] += failures

    @property
    def succeeded(self) -> int:
        return self.requests - self.failures

    @property
    def mean_ms(self) -> float | None:
        return self.milliseconds / self.requests if self.requests else None


@dataclass(frozen=True, slots=True)
class Served:
    """A capability now. `reasons`: why offers are passed over, with how many, the most frequent first."""

    id: int
    slug: str
    chosen: str | None
    eligible: int
    offers: int
    reasons: list[tuple[str, int]]
    ceiling: str
    traffic: Traffic


@dataclass(frozen=True, slots=True)
class Notice:
    """What is wrong, why, what to do. `about`: the capability whose page helps."""

    colour: str
    said: str
    fix: str
    about: int | None = None


def dashboard(now: datetime) -> dict[str, Any]:
    """Raises django.db.Error."""
    offers = list(with_standing(Offer.objects.select_related("orchestrator", "capability", "health")))
    total, by_slug = traffic(now)
    table = current_table()
    served = list(_served(table, by_slug, now))
    capabilities = [(each.id, each.slug) for each in served]
    probed = [row for row in offers if getattr(row, "health", None) and row.health.probed_at]
    latest = list(Job.objects.order_by("-at").values_list("ms", flat=True)[:LATEST])
    standings = Counter(row.standing for row in offers)
    return {
        "at": now,
        "total": total,
        "p95": percentile(latest, 0.95),
        "latest": len(latest),
        "offers": len(offers),
        "ready": sum(standings[each.value] for each in _READY),
        "troubled": sum(standings[each.value] for each in TROUBLED),
        "served": served,
        "notices": [*_notices(served), *_late(offers, probed, now), *_open_to_all(table)],
        "capabilities": capabilities,
        "matrix": matrix(offers, [slug for _id, slug in capabilities]),
        "changes": ConfigRevision.objects.defer("bundle", "summary")[:6],
        "steps": steps(table, bool(offers), bool(probed), bool(latest)),
    }


def traffic(now: datetime) -> tuple[Traffic, dict[str, Traffic]]:
    """All of it, and by capability; one query, of as many rows as there are hours and capabilities."""
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    rows = UsageHour.objects.filter(hour__gte=first).order_by().values_list("hour", "capability")
    total, by_slug = Traffic(), defaultdict[str, Traffic](Traffic)
    for hour, slug, *sums in rows.annotate(*(Sum(name) for name in _COUNTS), WeiSum("wei")):
        place = min(int((hour - first).total_seconds() // 3600), HOURS - 1)
        total.add(place, *sums)
        by_slug[slug].add(place, *sums)
    return total, by_slug


def percentile(values: Sequence[int], part: float) -> int | None:
    """Of the values as they are, without interpolation; None of none."""
    return sorted(values)[min(int(len(values) * part), len(values) - 1)] if values else None


_lock = threading.Lock()
_kept: list[tuple[Rows, RoutingTable]] = []  # the latest, while their number is the present one


def current_table() -> RoutingTable:
    """One query while nothing has changed."""
    return current()[1]


def current() -> tuple[Rows, RoutingTable]:
    """The table and what it is made of. One query while nothing has changed."""
    with _lock:
        if not _kept or _kept[0][0].revision != tables.numbers()[0] or time.time() >= _kept[0][1].until:
            rows = tables.read()
            _kept[:] = [(rows, tables.assemble(rows, settings.WEB_CONCURRENCY))]
        return _kept[0]


def _served(table: RoutingTable, by_slug: dict[str, Traffic], now: datetime) -> Iterator[Served]:
    board = stored_board()
    for slug, policy in table.policies.items():
        lane = table.lane(slug, None)
        if lane is None:
            continue
        told = explain(lane, board, revision=table.revision, now=now.timestamp())
        reasons = Counter(each["reason"] for each in told["refused"])
        is_resort = any(each["class"] == "last_resort" for each in told["candidates"])
        yield Served(
            id=policy.id,
            slug=slug,
            chosen=told["chosen"],
            eligible=0 if is_resort else len(told["candidates"]),
            offers=len(lane.offers) + len(lane.refused),
            reasons=reasons.most_common(),
            ceiling=told["ceiling"],
            traffic=by_slug.get(slug) or Traffic(),
        )


def _notices(served: list[Served]) -> Iterator[Notice]:
    for each in served:
        names = {"slug": each.slug, "offers": each.offers}
        why = ", ".join(f"{number} {word(reason).replace('_', ' ')}" for reason, number in each.reasons)
        dear = dict(each.reasons).get(Why.PRICE_CEILING, 0)
        if each.offers and not each.eligible:
            said = _("%(slug)s: none of its %(offers)s offers may serve now") % names
            yield Notice("bad", said, why, each.id)
        elif each.eligible == 1:
            yield Notice("warn", _("%(slug)s: only one eligible orchestrator left") % names, why, each.id)
        if each.offers > 1 and 2 * dear >= each.offers:
            said = _("The ceiling excludes %(dear)s of %(offers)s offers of %(slug)s") % (
                names | {"dear": dear}
            )
            yield Notice("warn", said, _("Raise it, or find cheaper ones."), each.id)


def is_late(latest: datetime, due: datetime | None, now: datetime) -> bool:
    """Whether the prober is: by the latest probe, and the moment since which another one is due."""
    return (now - max(latest, due or latest)).total_seconds() > schedule.LATE


def _late(offers: list[Any], probed: list[Any], now: datetime) -> Iterator[Notice]:
    """Where anything is to be probed."""
    awake = {row.pk for row in offers if not {row.mode, row.orchestrator.mode} & {*ASLEEP}}
    dues = [row.health.next_probe_at for row in probed if row.pk in awake and row.health.next_probe_at]
    latest = max((row.health.probed_at for row in probed), default=None)
    if awake and (latest is None or is_late(latest, min(dues, default=None), now)):
        said = _("No offer has been probed yet")
        if latest is not None:
            said = _("The latest probe was %(length)s ago") % {"length": rough((now - latest).total_seconds())}
        yield Notice("bad", said, _("Keep this running: manage.py probe_orchestrators --loop"))


def _open_to_all(table: RoutingTable) -> Iterator[Notice]:
    """Clients that are known by a network which is everybody's."""
    names = {client.name for network, client in table.networks if not network.prefixlen}
    for name in sorted(names):
        said = _("Whoever reaches this gateway may call as %(client)s, without a key") % {"client": name}
        yield Notice("warn", said, _("Narrow its networks, or give it a key instead."))


def matrix(offers: list[Any], slugs: list[str]) -> list[tuple[Any, list[Any]]]:
    """Each orchestrator with its offers, one place for each capability: the offer, or None."""
    by_home: dict[Any, dict[str, Any]] = defaultdict(dict)
    for row in offers:
        by_home[row.orchestrator][row.capability.slug] = row
    homes = sorted(by_home, key=lambda home: home.name)
    return [(home, [by_home[home].get(slug) for slug in slugs]) for home in homes]


def steps(table: RoutingTable, has_offers: bool, has_probes: bool, has_calls: bool) -> list[bool]:
    """What a new gateway needs, in order, and whether it is done; empty once all of it is. Asks for what is not
    in the table alone."""
    done = [
        any(each.ceiling_decided for each in table.lanes.values()) or PriceCeiling.objects.exists(),
        has_offers or Orchestrator.objects.exists(),
        has_probes,
        bool(table.keys) or Client.objects.filter(keys__isnull=False).exists(),
        has_calls,
    ]
    return [] if all(done) else done
