"""Reputation, in the database: what moved it is appended here, and scores are made of it.

A score is never stored: it is the pure function of its events and the clock. An event moves the policy
number (it changes whom routing prefers), recovery does not: who builds a routing table takes the scores anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

from orchestrators.core import reputation
from orchestrators.core.reputation import FORGOTTEN_AFTER, POINTS, SAME_TROUBLE, Event, Kind
from orchestrators.models import Offer, ReputationEvent


def note(offer_ids: Iterable[int], kind: Kind, detail: str, now: float) -> int:
    """Hold something against the orchestrators of these offers; how many events that made.

    The same kind of trouble with an offer counts once an hour: one bad container answers many calls, and
    several processes tell of it. `now`: wall seconds. An offer that is gone is passed over.
    Raises django.db.Error when the database is away. Run in a thread.
    """
    wanted = set(offer_ids)
    told = ReputationEvent.objects.filter(offer__in=wanted, kind=kind, at__gt=_moment(now - SAME_TROUBLE))
    homes = Offer.objects.filter(pk__in=wanted - set(told.values_list("offer_id", flat=True)))
    events = [
        ReputationEvent(
            orchestrator_id=home,
            offer_id=pk,
            at=_moment(now),
            kind=kind,
            points=POINTS[kind],
            detail=detail[:500],
        )
        for pk, home in homes.values_list("pk", "orchestrator_id")
    ]
    ReputationEvent.objects.bulk_create(events)
    return len(events)


def scores(now: float) -> dict[int, float]:
    """By orchestrator, 0 to 100; whoever is missing has 100. One query. `now`: wall seconds."""
    found: defaultdict[int, list[Event]] = defaultdict(list)
    recent = ReputationEvent.objects.filter(at__gt=_moment(now - FORGOTTEN_AFTER)).order_by("at")
    for home, kind, points, at in recent.values_list("orchestrator_id", "kind", "points", "at"):
        found[home].append(Event(Kind(kind), points, at.timestamp()))
    return {home: reputation.score(events, now) for home, events in found.items()}


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
