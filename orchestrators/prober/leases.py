"""Which offers are to be looked at, and which of them are ours: claimed by conditional UPDATE.

A lease is its end: whoever moved `lease_until` into the future holds the row, and writes only while it
still reads the same. A prober that dies leaves leases behind, which simply run out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Case, DateTimeField, F, Q, QuerySet, Value, When

from orchestrators.core.clocks import SKEW
from orchestrators.models import ASLEEP, Advert, Offer, OfferHealth
from orchestrators.models.clocks import has_come

LEASE = timedelta(seconds=120)
# A row that cannot be probed is left alone for so long: it must not spoil every run.
POISONED_FOR = timedelta(hours=1)

Column = dict[str, Any]


def moment(at: float) -> datetime:
    """Wall seconds as the database has them."""
    return datetime.fromtimestamp(at, UTC)


def selected(orchestrators: Iterable[str] = (), capabilities: Iterable[str] = ()) -> QuerySet[Offer]:
    """Offers that people have not put to sleep; names and slugs narrow the choice, none means all."""
    offers = Offer.objects.exclude(mode__in=ASLEEP).exclude(orchestrator__mode__in=ASLEEP)
    if orchestrators:
        offers = offers.filter(orchestrator__name__in=orchestrators)
    if capabilities:
        offers = offers.filter(capability__slug__in=capabilities)
    return offers.order_by("orchestrator", "pk")


def due(offers: QuerySet[Offer], now: datetime) -> QuerySet[Offer]:
    """Of these, the ones whose time has come and whom nobody holds."""
    time_has_come = Q(health__next_probe_at=None) | Q(health__next_probe_at__lte=now)
    time_has_come |= Q(health__probed_at__gt=now + timedelta(seconds=SKEW))  # by a clock put back since
    return offers.filter(time_has_come, _free("health__", now))


def make_rows(offers: QuerySet[Offer]) -> None:
    """Machine-written rows of offers that have none yet; another prober may be doing the same."""
    health = [OfferHealth(offer_id=pk) for pk in offers.filter(health=None).values_list("pk", flat=True)]
    adverts = [Advert(offer_id=pk) for pk in offers.filter(advert=None).values_list("pk", flat=True)]
    if health:
        OfferHealth.objects.bulk_create(health, ignore_conflicts=True, batch_size=500)
    if adverts:
        Advert.objects.bulk_create(adverts, ignore_conflicts=True, batch_size=500)


def claim(offer_id: int, now: datetime) -> datetime | None:
    """The lease, or None: somebody else holds the row."""
    lease, ours = claim_all([offer_id], now)
    return lease if ours else None


def claim_all(offer_ids: Collection[int], now: datetime) -> tuple[datetime, set[int]]:
    """The lease, and whom it holds: those that nobody else does. `next_probe_at` moves along, see `settled`."""
    lease = now + LEASE
    with transaction.atomic():
        free = OfferHealth.objects.filter(_free("", now), offer_id__in=offer_ids).order_by("offer_id")
        ours = set(free.select_for_update().values_list("offer_id", flat=True))
        OfferHealth.objects.filter(offer_id__in=ours).update(lease_until=lease, next_probe_at=lease)
    return lease, ours


def settled(lease: datetime, next_probe_at: datetime) -> Column:
    """The columns that give a lease back. Who asked for a probe meanwhile has moved `next_probe_at`."""
    unasked = When(next_probe_at=lease, then=Value(next_probe_at))
    return {
        "lease_until": None,
        "next_probe_at": Case(unasked, default=F("next_probe_at"), output_field=DateTimeField()),
    }


def give_back(offer_id: int, lease: datetime, next_probe_at: datetime) -> None:
    OfferHealth.objects.filter(offer_id=offer_id, lease_until=lease).update(**settled(lease, next_probe_at))


def _free(prefix: str, now: datetime) -> Q:
    lease = f"{prefix}lease_until"
    return Q(**{lease: None}) | has_come(lease, now, LEASE)
