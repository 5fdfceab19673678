"""The scoreboard: how every offer fares, in this process, right now.

    traffic --observe()--> Live --live()--> selection
                             |  ^
             collect, write  |  | adopt        (the writing and reading in a thread, never on the loop)
                             v  |
                          OfferHealth rows

Plain memory, changed by the pure functions of `core` alone. Between processes only changes of state
travel: each is written at once, by compare-and-swap on the row's epoch; who loses the race takes the
winner's state. Averages and counters stay local: every process learns them from its own traffic.

Clock: wall time in seconds, because what is observed here is also stored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import inf
from typing import Any, NamedTuple

from django.db import connection
from django.db import transaction as db_transaction
from django.db.models import F, Max
from msgspec import Struct, structs

from orchestrators import reputation
from orchestrators.core import health as healths
from orchestrators.core import latency as latencies
from orchestrators.core.effects import EFFECTS
from orchestrators.core.health import Health, Source, State
from orchestrators.core.latency import Latency
from orchestrators.core.outcome import Outcome, OutcomeClass
from orchestrators.core.reputation import Kind
from orchestrators.models import Advert, HealthSnapshot, Offer, OfferHealth, Orchestrator, Revision

SERVED_PATHS, LONGEST_PATH = 64, 256  # of an offer, and in bytes: clients choose them
ROLL_UP_AT = 3
ROLL_UP_WITHIN = 10.0
_WARM = (OutcomeClass.OK, OutcomeClass.SLOW)
_OK, _UNREACHABLE = OutcomeClass.OK, OutcomeClass.UNREACHABLE  # see there


@dataclass(slots=True)
class Live:
    """One offer as this process knows it; only the scoreboard and its seats change it."""

    health: Health = field(default_factory=Health)
    latency: Latency = field(default_factory=Latency)
    in_flight: int = 0
    epoch: int = 0  # of the row our state was last in step with
    unpublished: bool = False
    heard_at: float | None = None  # any news, ours or a prober's
    doubts: int = 0  # answers whose harm waits for the end of their request
    served: set[bytes] = field(default_factory=set)
    revoked_before: float = 0  # tables of a lower policy number do not know yet that it does not serve this
    seen: Any = None  # the last candidate that selection made of it
    seen_of: Any = None  # the entry it was made of, of one table
    until: float = 0.0  # when that reads otherwise; 0 where any of the above, but for `in_flight`, has changed


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state on its way to the database; later ones of the same offer replace it."""

    offer_id: int
    epoch: int  # of the row it builds on
    before: State
    health: Health
    latency: Latency
    outcome: Outcome
    at: float


@dataclass(frozen=True, slots=True)
class News:
    """What one `collect()` took: changes of state, claims, and offers whose siblings want a probe."""

    transitions: tuple[Transition, ...]
    claims: tuple[tuple[int, bool], ...]
    starved: tuple[int, ...]


class Written(NamedTuple):
    """`lost`: the rows on which another process was first. `policy`: the number of the first table that knows
    the claims."""

    lost: list[OfferHealth]
    policy: int


# Of each offer's row, as the database has it: what changes with any news.
Marks = dict[int, tuple[Any, ...]]


class Seat(Struct, eq=False, gc=False):
    """The right to have one call in flight at an offer, counted there. `release()` gives it back, once."""

    offer_id: int
    live: Live | None

    def release(self) -> None:
        if self.live is not None:
            self.live.in_flight -= 1
            self.live = None

    def __repr__(self) -> str:
        return f"<Seat at {self.offer_id} {'released' if self.live is None else 'taken'}>"


class Scoreboard:
    """`draw`: a number in [0, 1) for the jitter of a down time."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self.offers: defaultdict[int, Live] = defaultdict(Live)
        # keyed by offer, so a database that is away for a day costs no memory
        self._transitions: dict[int, Transition] = {}
        self._claims: dict[int, bool] = {}
        self.homes: Mapping[int, int] = {}  # offer -> orchestrator
        self._unreached: dict[int, dict[int, float]] = {}  # orchestrator -> its offers, and when
        self._starved: set[int] = set()

    def __repr__(self) -> str:
        down = sum(live.health.state is State.DOWN for live in self.offers.values())
        return f"<Scoreboard {len(self.offers)} offers, {self.in_flight} in flight, {down} down>"

    @property
    def in_flight(self) -> int:
        return sum(live.in_flight for live in self.offers.values())

    def live(self, offer_id: int) -> Live:
        return self.offers[offer_id]

    def glimpse(self, offers: Iterable[int]) -> Scoreboard:
        """How these fare now, as a board of its own: for a thread that must not touch this one."""
        seen = Scoreboard(self._draw)
        known = self.offers
        seen.offers.update((each, replace(known[each], until=0.0)) for each in offers if each in known)
        return seen

    def know(self, homes: Mapping[int, int]) -> None:
        """The offers a table has, each with its orchestrator; all others are forgotten."""
        self.homes = homes
        self.forget(homes)

    def forget(self, known: Container[int]) -> None:
        """Drop offers that no table knows any more, once they have nothing in flight."""
        for offer_id in [i for i, live in self.offers.items() if i not in known and not live.in_flight]:
            del self.offers[offer_id]

    def forget_epochs(self) -> None:
        """Another database took the place of the last: its numbers have nothing to do with ours."""
        for live in self.offers.values():
            live.epoch, live.revoked_before, live.until = -1, 0, 0.0

    def seat(self, offer_id: int, limit: int) -> Seat | None:
        live = self.offers[offer_id]
        if live.in_flight >= limit:
            return None
        live.in_flight += 1
        return Seat(offer_id, live)

    def observe(
        self,
        offer_id: int,
        outcome: Outcome,
        now: float,
        source: Source = Source.TRAFFIC,
        served: bytes | None = None,
    ) -> None:
        """One attempt's outcome; the only way traffic changes health. `served`: the worker path of a success: a
        404 there is a mismatch from now on."""
        live = self.offers[offer_id]
        before = live.health
        live.heard_at, live.until = now, 0.0
        live.latency = latencies.observe(live.latency, outcome, now)
        live.health = healths.step(before, outcome, source, now, self._draw())
        if served is not None and len(live.served) < SERVED_PATHS and len(served) <= LONGEST_PATH:
            live.served.add(served)
        if outcome.cls is not _OK and self._starves(offer_id, outcome.cls, now):
            self._starved.add(offer_id)
        if healths.is_news(before, live.health):
            earlier = self._transitions.get(offer_id)
            self._transitions[offer_id] = Transition(
                offer_id,
                live.epoch,
                earlier.before if earlier else before.state,
                live.health,
                live.latency,
                outcome,
                now,
            )
            live.unpublished = True

    def _starves(self, offer_id: int, cls: OutcomeClass, now: float) -> bool:
        """Whether its orchestrator's other capabilities want a probe."""
        return EFFECTS[cls].reprobe_siblings or (cls is _UNREACHABLE and self._rolls_up(offer_id, now))

    def _rolls_up(self, offer_id: int, now: float) -> bool:
        """Three capabilities of one orchestrator out of reach within 10 s: have a look at all the others.

        A look, no verdict: nothing is down by association (R59, R60).
        """
        home = self.homes.get(offer_id)
        if home is None:
            return False
        recent = {each: at for each, at in self._unreached.get(home, {}).items() if now - at <= ROLL_UP_WITHIN}
        is_new = offer_id not in recent
        recent[offer_id] = now
        self._unreached[home] = recent
        return is_new and len(recent) == ROLL_UP_AT

    def doubt(self, offer_id: int, more: int) -> None:
        """So many more answers of this offer whose harm waits for the end of their request."""
        live = self.live(offer_id)
        live.doubts += more
        live.until = 0.0

    def claim(self, offer_id: int, claimed: bool) -> None:
        """Its own word against the table's: a 503 'no capacity', or a success although not claimed.

        A revocation stands, whatever tables are built meanwhile, until `settle` knows which has it.
        """
        self._revoke(offer_id, 0 if claimed else inf)
        self._claims[offer_id] = claimed

    def _revoke(self, offer_id: int, before: float) -> None:
        live = self.live(offer_id)
        live.revoked_before = before
        live.until = 0.0

    # --- with the other processes: collect() on the loop, write() in a thread, settle() on the loop ---

    def collect(self) -> News | None:
        """What others should know; None when there is nothing. Keep it until `write` has succeeded."""
        if not (self._transitions or self._claims or self._starved):
            return None
        news = News(tuple(self._transitions.values()), tuple(self._claims.items()), tuple(self._starved))
        self._transitions, self._claims, self._starved = {}, {}, set()
        return news

    def settle(self, news: News, written: Written) -> None:
        """The news is stored. The state of rows on which someone else was first becomes ours."""
        for offer_id, claimed in news.claims:
            if not claimed and offer_id not in self._claims:
                self._revoke(offer_id, written.policy)
        beaten = {row.offer_id: row for row in written.lost}
        for transition in news.transitions:
            live = self.live(transition.offer_id)
            live.unpublished = transition.offer_id in self._transitions
            if transition.offer_id not in beaten:
                live.epoch = transition.epoch + 1
            later = self._transitions.get(transition.offer_id)
            if later is not None:
                epoch = live.epoch if transition.offer_id not in beaten else beaten[transition.offer_id].epoch
                self._transitions[transition.offer_id] = replace(later, epoch=epoch)
        self.adopt(beaten.values())

    def adopt(self, rows: Iterable[OfferHealth]) -> None:
        """Take over what others saw: states of a newer epoch, and the time of any news."""
        for row in rows:
            live = self.live(row.offer_id)
            live.until = 0.0
            for heard in (row.last_outcome_at, row.probed_at):
                if heard is not None:
                    live.heard_at = max(live.heard_at or 0.0, heard.timestamp())
            live.latency = latencies.heard(
                live.latency, mean=_seconds(row.warm_ms), cold=_seconds(row.cold_ms), warm_at=_warm_at(row)
            )
            if row.epoch > live.epoch and not live.unpublished:
                theirs = row.as_health()
                ours = live.health
                live.health = structs.replace(
                    theirs, busy_until=ours.busy_until, recent=ours.recent, faults=ours.faults
                )
                live.epoch = row.epoch

    def busy_offers(self) -> list[int]:
        """Offers with a call of ours in flight: their tokens may then well show no capacity."""
        return list(self.calls())

    def calls(self) -> dict[int, int]:
        """Calls of ours in flight, by offer, where there are any. Any thread may ask: it looks at a copy."""
        return {offer_id: live.in_flight for offer_id, live in list(self.offers.items()) if live.in_flight}


def moved_since(marks: Marks, offers: Container[int]) -> tuple[list[OfferHealth], Marks, float | None]:
    """The rows of these offers that are not as `marks` has them; the marks now; wall seconds of the last probe.

    Of thousands of rows few move between two looks, and objects cost ten times what the marks do.
    Raises django.db.Error when the database is away. Run in a thread.
    """
    table = OfferHealth._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT offer_id, epoch, probed_at, last_outcome_at, warm_ms FROM {table}")
        now = {row[0]: row[1:] for row in cursor.fetchall() if row[0] in offers}
    moved = [offer_id for offer_id, mark in now.items() if marks.get(offer_id) != mark]
    latest = OfferHealth.objects.aggregate(at=Max("probed_at"))["at"]
    rows = list(OfferHealth.objects.filter(pk__in=moved)) if moved else []
    return rows, now, None if latest is None else latest.timestamp()


def write(news: News, now: float) -> Written:
    """Store the news, all or nothing.

    Raises django.db.Error when the database is away. Run in a thread.
    """
    lost: list[int] = []
    with db_transaction.atomic():
        # every statement below fires the trigger on this row: taken first, no two writers can deadlock
        Revision.objects.select_for_update().filter(pk=1).first()
        for offer_id, claimed in news.claims:
            Advert.objects.filter(offer_id=offer_id).exclude(claimed=claimed).update(claimed=claimed)
        _make_rows(transition.offer_id for transition in news.transitions)
        for transition in news.transitions:
            rows = OfferHealth.objects.filter(offer_id=transition.offer_id, epoch=transition.epoch)
            if rows.update(epoch=transition.epoch + 1, **row_values(transition)):
                HealthSnapshot.objects.create(**snapshot_values(transition))
            else:
                lost.append(transition.offer_id)
            if EFFECTS[transition.outcome.cls].reputation:
                reputation.note([transition.offer_id], Kind.MISMATCH, transition.outcome.detail, now)
        if news.starved:
            homes = Orchestrator.objects.filter(offers__in=news.starved)
            # whenever their sample requests were last sent: what was in memory then may be gone
            OfferHealth.objects.filter(offer__orchestrator__in=homes).exclude(offer__in=news.starved).update(
                next_probe_at=_datetime(now), sampled_at=None
            )
        policy = Revision.objects.values_list("policy", flat=True).get(pk=1)
    return Written(list(OfferHealth.objects.filter(offer_id__in=lost)), policy)


def _make_rows(offers: Iterable[int]) -> None:
    """A direct offer may be called before any prober has seen it; its health needs a row to be kept in."""
    missing = Offer.objects.filter(pk__in=list(offers), health=None).values_list("pk", flat=True)
    OfferHealth.objects.bulk_create([OfferHealth(offer_id=pk) for pk in missing], ignore_conflicts=True)


def reset(offers: Iterable[int], now: float) -> int:
    """Forget what is held against these offers: as good as never tried, and due for a probe. How many.

    Every gateway follows within a second, since the epoch moves; what it has not published yet is lost.
    Raises django.db.Error.
    """
    with db_transaction.atomic():
        Revision.objects.select_for_update().filter(pk=1).first()  # before the trigger does: see `write`
        return OfferHealth.objects.filter(offer_id__in=list(offers)).update(
            state=State.UNKNOWN,
            since=_datetime(now),
            until=None,
            cause="",
            reason="",
            ejections=0,
            streak=0,
            epoch=F("epoch") + 1,
            sampled_at=None,
            next_probe_at=_datetime(now),
        )


def beat(offers: Iterable[int], now: float) -> None:
    """Note that a gateway has calls in flight at these offers. Run in a thread."""
    OfferHealth.objects.filter(offer_id__in=list(offers)).update(called_at=_datetime(now))


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _warm_at(row: OfferHealth) -> float | None:
    """When its latest success was, if that was a warm one."""
    if row.last_outcome not in _WARM or row.last_outcome_at is None:
        return None
    return row.last_outcome_at.timestamp()


def _datetime(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)


def row_values(transition: Transition) -> dict[str, Any]:
    """The columns of OfferHealth that a change of state writes."""
    health, latency = transition.health, transition.latency
    return {
        "state": health.state.value,
        "since": _datetime(health.since),
        "until": _datetime(health.until),
        "cause": health.cause.value if health.cause else "",
        "reason": health.reason[:500],
        "ejections": health.ejections,
        "streak": health.streak,
        "warm_ms": None if latency.mean is None else latency.mean * 1000,
        "cold_ms": None if latency.cold is None else latency.cold * 1000,
        "last_success_at": _datetime(health.last_success_at),
        "last_outcome": transition.outcome.cls.value,
        "last_outcome_at": _datetime(transition.at),
    }


def snapshot_values(transition: Transition) -> dict[str, Any]:
    """The same change, as a line of history."""
    outcome = transition.outcome
    return {
        "offer_id": transition.offer_id,
        "at": _datetime(transition.at),
        "source": HealthSnapshot.Source.TRAFFIC,
        "outcome": outcome.cls.value,
        "before": transition.before.value,
        "after": transition.health.state.value,
        "claimed": outcome.cls is not OutcomeClass.NOT_CLAIMED,
        "latency_ms": None if outcome.latency is None else outcome.latency * 1000,
        "cold": outcome.cold,
        "detail": outcome.detail[:500],
    }
