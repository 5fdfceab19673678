"""One orchestrator for people, capability by capability; and what would be missed if offers got no more calls.

Plain values. Who would be asked is decided by the functions of live traffic, on the routing table; how it went
is told of sums and of the latest calls and probes, so nothing here grows with the history.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import F, QuerySet, Sum

from orchestrators.core.effects import EFFECTS, OnHealth
from orchestrators.core.health import State
from orchestrators.core.outcome import OutcomeClass
from orchestrators.core.price import Price
from orchestrators.display.states import Tone
from orchestrators.models import HealthSnapshot, Offer, Orchestrator
from orchestrators.scoreboard import Scoreboard
from orchestrators.standing import waits, with_standing
from routing.dashboard import current_table, percentile
from routing.explain import chosen, stored_board
from routing.metrics import sharing
from routing.metrics.gauges import under_way
from routing.models import Attempt, OfferDay
from routing.runtime import Runtime
from routing.table import Lane, RoutingTable

DAY = timedelta(hours=24)
CALLS = 1_000  # the latest of an orchestrator
LOOKS = 48  # the latest of each offer
FAILURES = 8
_GOOD = frozenset({OnHealth.PROOF, OnHealth.START})
_BAD = frozenset({OnHealth.FAULT, OnHealth.DOWN, OnHealth.SHUT})


@dataclass(slots=True)
class Record:
    """How the latest calls went. `took`: milliseconds of the good ones."""

    calls: int = 0
    faults: int = 0
    took: list[int] = field(default_factory=list)

    def add(self, outcome: str, ms: int) -> None:
        effect = OnHealth.FAULT if outcome not in EFFECTS else EFFECTS[OutcomeClass(outcome)].on_health
        self.calls += 1
        self.faults += effect in _BAD
        if effect in _GOOD:
            self.took.append(ms)

    @property
    def p50(self) -> int | None:
        return percentile(self.took, 0.5)

    @property
    def p95(self) -> int | None:
        return percentile(self.took, 0.95)


@dataclass(frozen=True, slots=True)
class Line:
    """One offer as it is `at` a moment. `place`: its turn among `eligible` if a request came then; None: it
    would not be asked, and `refusal` says why. `price` and `ceiling` of clients without a tier's own. `seats`:
    calls at once. `served`, `of`: its part of its capability's answers, since yesterday. `looks`: tones of the
    latest, oldest first.
    """

    offer: Any
    record: Record
    place: int | None
    eligible: int
    refusal: str
    price: Price | None
    ceiling: Price | None
    in_flight: int
    seats: int
    served: int
    of: int
    looks: list[Tone]
    ignored: bool
    at: datetime

    @property
    def health(self) -> Any:
        return getattr(self.offer, "health", None)

    @property
    def why(self) -> str:
        """Its own latest trouble first, then what routing has against it, then what it said of itself."""
        said = getattr(getattr(self.offer, "advert", None), "detail", "")
        return getattr(self.health, "reason", "") or self.refusal or said

    @property
    def of_ceiling(self) -> tuple[float, float] | None:
        """(price, ceiling), where both are known and of one unit."""
        if self.price is None or self.ceiling is None or self.price.unit is not self.ceiling.unit:
            return None
        return float(self.price.per_unit), float(self.ceiling.per_unit)

    @property
    def waits(self) -> bool:
        return waits(self.offer)

    @property
    def breaker(self) -> str:
        """closed: calls go there; open: they do not; half-open: a few find out, also once `until` is over."""
        state = State(getattr(self.health, "state", State.UNKNOWN))
        is_over = state is State.DOWN and self.health.until is not None and self.health.until <= self.at
        if is_over or state is State.PROBATION:
            return "half-open"
        return "open" if state is State.DOWN else "closed"


@dataclass(frozen=True, slots=True)
class Loss:
    """What a capability would miss. `served`, `of`: answers since yesterday; `others`: who could be asked."""

    slug: str
    served: int
    of: int
    others: int
    in_flight: int


def fleet(home: Orchestrator, now: datetime) -> dict[str, Any]:
    """What an orchestrator's page shows. Raises django.db.Error."""
    related = ("orchestrator", "capability", "advert", "health")
    offers = list(with_standing(home.offers.select_related(*related).order_by("capability__slug")))
    records, failures, whole = _records(home.name, now)
    calls = shares([each.capability.slug for each in offers], now)
    looks = _looks(offers)
    table, board, busy = current_table(), stored_board(), in_flight()
    lines = [
        _line(each, home.name, records, calls, looks[each.pk], _judged(table, board, each, now), busy, now)
        for each in offers
    ]
    return {
        "lines": lines,
        "record": whole,
        "failures": failures,
        "in_flight": sum(each.in_flight for each in lines),
        "served": sum(each.served for each in lines),
        "of": sum(each.of for each in lines),
    }


def losses(offers: Iterable[Offer], now: datetime) -> list[Loss]:
    """If these got no more calls; by capability. Four queries. Raises django.db.Error."""
    by_slug: defaultdict[str, list[Offer]] = defaultdict(list)
    for each in offers:
        by_slug[each.capability.slug].append(each)
    calls, table, board, busy = shares(by_slug, now), current_table(), stored_board(), in_flight()
    found = []
    for slug, mine in sorted(by_slug.items()):
        names, keys = {each.orchestrator.name for each in mine}, {each.pk for each in mine}
        lane = table.lane(slug, None)
        ranked = chosen(lane, board, revision=table.revision, now=now.timestamp())[0] if lane else []
        found.append(
            Loss(
                slug=slug,
                served=sum(calls[slug][name] for name in names),
                of=calls[slug].total(),
                others=sum(each.offer_id not in keys for each in ranked),
                in_flight=sum(busy[slug, name] for name in names),
            )
        )
    return found


def shares(slugs: Collection[str], now: datetime) -> Mapping[str, Counter[str]]:
    """Whose answers those of each capability were, yesterday (UTC) and today; one query, of sums."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    days = OfferDay.objects.filter(day__gte=(now - DAY).astimezone(UTC).date(), capability__in=set(slugs))
    answered = days.order_by().values_list("capability", "orchestrator").annotate(
        answered=Sum(F("attempts") - F("failures"))
    )  # fmt: skip
    for slug, name, number in answered:
        found[slug][name] = number
    return found


def in_flight() -> Counter[tuple[str, ...]]:
    """Calls under way, by capability and orchestrator: of this worker now, of the others a second ago."""
    own = under_way(Runtime.running) if Runtime.running else ()
    return sharing.total("byocgw_calls_under_way", own, time.time())


def _line(
    offer: Any,
    name: str,
    records: Mapping[str, Record],
    calls: Mapping[str, Counter[str]],
    looks: list[Tone],
    judged: tuple[Lane | None, int | None, int, str],
    busy: Counter[tuple[str, ...]],
    now: datetime,
) -> Line:
    slug = offer.capability.slug
    lane, place, eligible, refusal = judged
    entry = next((each for each in lane.offers if each.id == offer.pk), None) if lane else None
    quoted = getattr(getattr(offer, "advert", None), "price", None)
    return Line(
        offer=offer,
        record=records.get(slug, Record()),
        place=place,
        eligible=eligible,
        refusal=refusal,
        price=entry.price if entry else offer.price or quoted,
        ceiling=lane.ceiling if lane else None,
        in_flight=busy[slug, name],
        seats=entry.seats * settings.WEB_CONCURRENCY if entry else 0,
        served=calls[slug][name],
        of=calls[slug].total(),
        looks=looks,
        ignored=offer.ignored_until is not None and offer.ignored_until > now,
        at=now,
    )


def _judged(
    table: RoutingTable, board: Scoreboard, offer: Offer, now: datetime
) -> tuple[Lane | None, int | None, int, str]:
    """(lane, place, how many may be asked, why this one may not)."""
    lane = table.lane(offer.capability.slug, None)
    if lane is None:
        return None, None, 0, ""
    ranked, refused = chosen(lane, board, revision=table.revision, now=now.timestamp())
    place = next((turn for turn, each in enumerate(ranked, 1) if each.offer_id == offer.pk), None)
    told = next((each.detail for each in refused if each.offer_id == offer.pk), "")
    return lane, place, len(ranked), told


def _records(name: str, now: datetime) -> tuple[dict[str, Record], list[Attempt], Record]:
    """By capability, the latest faults, and all together; one query."""
    rows = Attempt.objects.filter(orchestrator=name, at__gte=now - DAY).order_by("-at")[:CALLS]
    found: defaultdict[str, Record] = defaultdict(Record)
    whole, failures = Record(), list[Attempt]()
    for each in rows:
        found[each.capability].add(each.outcome, each.ms)
        before = whole.faults
        whole.add(each.outcome, each.ms)
        if whole.faults > before and len(failures) < FAILURES:
            failures.append(each)
    return found, failures, whole


def _looks(offers: list[Any]) -> Mapping[int, list[Tone]]:
    """Oldest first; one query."""
    found: defaultdict[int, list[Tone]] = defaultdict(list)
    rows = HealthSnapshot.objects.order_by("-at", "-id").values_list("offer_id", "outcome")
    together, values = _together([rows.filter(offer=each.pk)[:LOOKS] for each in offers])
    if values:
        for offer_id, outcome in _asked(together, values):
            found[offer_id].insert(0, _tone(outcome))
    return found


def _tone(outcome: str) -> Tone:
    effect = EFFECTS[OutcomeClass(outcome)].on_health if outcome in EFFECTS else OnHealth.FAULT
    return "good" if effect is OnHealth.PROOF else "bad" if effect in _BAD else "idle"


def _together(queries: list[QuerySet[Any, Any]]) -> tuple[str, list[Any]]:
    """Several limited queries as one; Django's own union has none with a limit on SQLite."""
    told = [each.query.sql_with_params() for each in queries]
    sql = " UNION ALL ".join(f"SELECT * FROM ({part}) AS part" for part, _ in told)
    return sql, [value for _, values in told for value in values]


def _asked(sql: str, values: list[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows: list[Any] = cursor.fetchall()
        return rows
