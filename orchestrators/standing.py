"""Where an offer stands, in one word: decided, claimed and observed, read together.

An operator must be able to tell *not claimed* from *claimed but unhealthy* from *ready*.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import Case, CharField, Count, F, Max, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThan
from django.utils import timezone

from orchestrators.core.fit import GOOD_SECONDS, POOR_SECONDS, Fit
from orchestrators.core.health import State
from orchestrators.models import Mode, Offer


class Standing(StrEnum):
    """The words; the first that applies counts."""

    OFF = "off: not active"
    NOT_PROBED = "not probed yet"
    NOT_CLAIMED = "not claimed"
    DOWN = "claimed, down"
    PROBATION = "claimed, on probation"
    UNTRIED = "claimed, never tried"
    DEGRADED = "ready, degraded"
    READY = "ready"


_FITS = (Fit.GOOD, Fit.FAIR, Fit.POOR)

USABLE = (Standing.READY, Standing.DEGRADED, Standing.UNTRIED)
TROUBLED = (Standing.DOWN, Standing.PROBATION, Standing.NOT_CLAIMED)
# What people have not let in yet, of their own or by their orchestrator's.
WAITING = (Mode.DISCOVERED, Mode.TRIAL)
_CONSIDERED = (*WAITING, Mode.ACTIVE)
_WAITS = Q(mode__in=_CONSIDERED, orchestrator__mode__in=_CONSIDERED) & (
    Q(mode__in=WAITING) | Q(orchestrator__mode__in=WAITING)
)


def conditions(now: datetime, prefix: str = "") -> dict[Standing, Q]:
    """In order. `prefix`: the way to the offer from the model that is asked, such as "offers__"."""

    def q(**lookups: Any) -> Q:
        return Q(**{prefix + name: value for name, value in lookups.items()})

    is_over = q(health__until__lte=now)
    down = q(health__state=State.DOWN)
    return {
        Standing.OFF: ~q(mode=Mode.ACTIVE) | ~q(orchestrator__mode=Mode.ACTIVE) | q(ignored_until__gt=now),
        Standing.NOT_PROBED: q(advert=None) | q(advert__checked_at=None, health__probed_at=None),
        Standing.NOT_CLAIMED: q(advert__claimed=False),
        Standing.PROBATION: q(health__state=State.PROBATION) | (down & is_over),
        Standing.DOWN: down,
        Standing.DEGRADED: q(health__state=State.DEGRADED),
        Standing.READY: q(health__state=State.HEALTHY),
    }


def standing_case(now: datetime, prefix: str = "") -> Case:
    whens = [When(condition, then=Value(word.value)) for word, condition in conditions(now, prefix).items()]
    return Case(*whens, default=Value(Standing.UNTRIED.value), output_field=CharField())


def with_standing(offers: QuerySet[Any]) -> QuerySet[Any]:
    """Offers with `.standing`, the word."""
    annotated: QuerySet[Any] = offers.annotate(standing=standing_case(timezone.now()))
    return annotated


def with_counts(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Orchestrators or capabilities with `.ready_offers`, `.troubled_offers`, `.all_offers`."""
    word = standing_case(timezone.now(), "offers__")
    annotated: QuerySet[Any] = rows.alias(offer_standing=word).annotate(
        all_offers=Count("offers"),
        ready_offers=Count("offers", filter=Q(offer_standing__in=[each.value for each in USABLE])),
        troubled_offers=Count("offers", filter=Q(offer_standing__in=[each.value for each in TROUBLED])),
    )
    return annotated


def with_fit(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Orchestrators with `.worst_fit`, of the work they are used for; None: of none (R20, as `core.fit`)."""
    work = "offers__capability__"
    seconds = Coalesce(F(work + "typical_seconds"), F(work + "profile__latency_target_ms") / Value(1000.0))
    worst = Max(
        Case(
            When(
                Q(**{work + "stateful": True}) | GreaterThan(seconds, POOR_SECONDS), then=_FITS.index(Fit.POOR)
            ),
            When(GreaterThan(seconds, GOOD_SECONDS), then=_FITS.index(Fit.FAIR)),
            default=_FITS.index(Fit.GOOD),
        ),
        filter=Q(offers__isnull=False) & ~Q(offers__mode=Mode.RETIRED),
    )
    annotated: QuerySet[Any] = rows.annotate(worst_fit=worst)
    return annotated


def fit_word(row: Any) -> str:
    """Of a row of `with_fit`."""
    return "" if row.worst_fit is None else _FITS[row.worst_fit].value


def waiting() -> QuerySet[Offer]:
    """Those that want nothing but an approval: with what is draining or off, somebody has dealt already."""
    return Offer.objects.filter(_WAITS)


def waits(offer: Offer) -> bool:
    """Whether `waiting` has this one."""
    modes = {offer.mode, offer.orchestrator.mode}
    return modes <= {*_CONSIDERED} and bool(modes & {*WAITING})


def troubled() -> QuerySet[Any]:
    """Offers that should serve and do not."""
    return with_standing(Offer.objects.all()).filter(standing__in=[each.value for each in TROUBLED])
