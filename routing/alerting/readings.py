"""What the rules look at. A handful of queries, whatever the number of rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Max, OuterRef, Subquery, Sum

from orchestrators.core.price import Price, PriceError
from orchestrators.models import Certificate, HealthSnapshot, Mode, Offer, OfferHealth
from orchestrators.models.fields import WeiSum
from routing.core.alerting import Jump, Kind, Readings
from routing.dashboard import current_table
from routing.explain import explain, stored_board
from routing.models import Job, UsageHour

LATEST = 2000  # calls that percentiles are taken from, all capabilities together
WINDOW = timedelta(hours=1)  # of percentiles and of price jumps


def read(kinds: Collection[Kind], now: datetime) -> Readings:
    """Raises django.db.Error."""
    values: dict[str, Any] = {}
    if Kind.NOBODY in kinds:
        values["eligible"] = dict(_eligible(now))
    if Kind.ERRORS in kinds:
        values["failures"] = _failures(now)
    if Kind.P95 in kinds:
        values["p95"] = _p95(now)
    if Kind.SPEND in kinds:
        values["spend"] = _spend(now)
    if Kind.PROBES in kinds:
        latest = OfferHealth.objects.aggregate(at=Max("probed_at"))["at"]
        values["probe_age"] = (now - latest).total_seconds() if latest else None
    if Kind.PRICE in kinds:
        values["prices"] = tuple(_prices(now))
    if Kind.CERTIFICATE in kinds:
        changed = Certificate.objects.exclude(seen=F("trusted"))
        values["certificates"] = tuple(changed.values_list("orchestrator__name", flat=True))
    return Readings(**values)


def _eligible(now: datetime) -> Iterator[tuple[str, tuple[int, int]]]:
    """By the functions of live traffic; a last resort counts as nobody."""
    table, board = current_table(), stored_board()
    for slug in table.policies:
        lane = table.lane(slug, None)
        if lane is not None:
            told = explain(lane, board, revision=table.revision, now=now.timestamp())
            fit = sum(each["class"] != "last_resort" for each in told["candidates"])
            yield slug, (fit, len(lane.offers) + len(lane.refused))


def _failures(now: datetime) -> dict[str, tuple[int, int]]:
    """Exact sums of this hour and the one before."""
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    rows = UsageHour.objects.filter(hour__gte=since).order_by().values_list("capability")
    return {slug: (failed, all_) for slug, failed, all_ in rows.annotate(Sum("failures"), Sum("requests"))}


def _p95(now: datetime) -> dict[str, tuple[int, int]]:
    good = Job.objects.filter(at__gte=now - WINDOW, code="ok").order_by("-at")
    took: dict[str, list[int]] = defaultdict(list)
    for slug, milliseconds in good.values_list("capability", "ms")[:LATEST]:
        took[slug].append(milliseconds)
    return {slug: (sorted(all_)[-(-95 * len(all_) // 100) - 1], len(all_)) for slug, all_ in took.items()}


def _spend(now: datetime) -> dict[str, int]:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    rows = UsageHour.objects.filter(hour__gte=midnight).order_by().values_list("capability")
    return {slug: int(wei or 0) for slug, wei in rows.annotate(WeiSum("wei"))}


def _prices(now: datetime) -> Iterator[Jump]:
    """Of active offers: what each asks, and what it asked when it was last looked at before the window."""
    earlier = HealthSnapshot.objects.filter(offer=OuterRef("pk"), at__lte=now - WINDOW).exclude(price="")
    offers = Offer.objects.filter(mode=Mode.ACTIVE, orchestrator__mode=Mode.ACTIVE, advert__claimed=True)
    rows = offers.annotate(before=Subquery(earlier.order_by("-at").values("price")[:1]))
    columns: Any = ("orchestrator__name", "capability__slug", "before", "advert__price")
    for name, slug, before, price in rows.values_list(*columns):
        try:
            old = Price.parse(before) if before else None
        except PriceError:
            continue
        if old is not None and price is not None and old.unit == price.unit:
            yield f"{name}: {slug}", old.per_unit, price.per_unit
