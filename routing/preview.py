"""Who would serve a capability now, and with a change that nobody has saved: two routing tables side by side.

Shares come from the function that live traffic draws by, over an even spread of dice. The last day is told by
deciding its recorded calls again (`simulation.hindsight`), once by each table. Plain values; nothing is blocked
here, and of a million calls a bounded sample is read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from django.conf import settings
from django.db.models import Subquery, Value
from django.db.models.functions import Coalesce
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from orchestrators.core.price import Price
from orchestrators.display.amounts import amount, price_in_words
from orchestrators.display.amounts import price as priced
from orchestrators.display.sentences import told as retold
from orchestrators.models import Offer
from orchestrators.scoreboard import Scoreboard
from routing import table as tables
from routing.candidates import view
from routing.core.selection import Candidate, Rank, Refused, choose, units_of
from routing.dashboard import current
from routing.explain import CHEAPEST, stored_board
from routing.models import Job
from routing.simulation.hindsight import Choice, Replayed, replay
from routing.table import CapabilityPolicy, Lane, OfferEntry, RoutingTable

DRAWS = 160
# Multiples of these, less their whole part, fill a cube evenly (the R3 sequence of M. Roberts).
_STEPS = (0.8191725134, 0.6710436067, 0.5497004779)
DAY = timedelta(hours=24)
LATEST = 5_000  # calls looked through for recorded decisions
REPLAYED = 300  # of these, decided again
FEW = 2


@dataclass(frozen=True, slots=True)
class Turn:
    """An offer that may be asked now, or with the change. `now`, `then`: its share of first attempts, from 0 to
    1; None: not asked. `against`: why not, with the change.
    """

    orchestrator: str
    candidate: Candidate
    second_class: bool
    now: float | None
    then: float | None
    against: str


@dataclass(frozen=True, slots=True)
class Excluded:
    """Asked neither now nor then. `detail`: the reason with the change."""

    orchestrator: str
    detail: str


@dataclass(frozen=True, slots=True)
class Replay:
    """`calls`: decided again. `cost` (wei a call) and `p95` (seconds) of those somebody served, `unserved`: now
    and with the change."""

    calls: int
    looked_at: int
    cost: tuple[float, float] | None
    p95: tuple[float, float] | None
    unserved: tuple[int, int]
    moved: int


@dataclass(frozen=True, slots=True)
class Preview:
    """`above`: offers above the ceiling, of how many; for clients without a tier's own, with the change.
    `cheapest`: why the cheapest is first, or not, with the change. `tiers`: of each tier with a ceiling of its
    own, how many may be asked now and then."""

    slug: str
    cheapest: str
    above: tuple[int, int]
    turns: list[Turn]
    excluded: list[Excluded]
    tiers: list[tuple[str, int, int]]
    warnings: list[str]
    replay: Replay | None


@dataclass(frozen=True, slots=True)
class Gain:
    """What letting in the offers of `names` brings a capability. `turns`: who may be asked, and how often
    first, now and then. `refused`: of those let in, who would not be asked all the same, and why."""

    slug: str
    turns: list[Turn]
    refused: list[Refused]
    names: Collection[str]

    @property
    def others(self) -> int:
        """Who may be asked besides."""
        return sum(each.orchestrator not in self.names for each in self.turns)

    @property
    def moved(self) -> list[Turn]:
        """Those let in, and those who are asked first now or then; the rest comes after them."""
        return [each for each in self.turns if each.now is None or each.now or each.then]

    @property
    def rest(self) -> int:
        return len(self.turns) - len(self.moved)


class Judging:
    """A routing table as a judge of recorded decisions."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table
        self._tiers = {key.client.name: key.client.tier for key in table.keys.values()}
        self._offers: dict[tuple[str, str | None], dict[str, float]] = {}

    def __repr__(self) -> str:
        return f"<Judging by {self._table!r}>"

    def policy(self, capability: str) -> CapabilityPolicy | None:
        return self._table.policies.get(capability)

    def allows(self, candidate: Mapping[str, Any], job: Job) -> bool:
        lane = self._lane(job)
        if lane is None or candidate["orchestrator"] not in self._shares(job, lane):
            return False
        price, ceiling = Price.parse(candidate["terms"]["price"]), lane.ceiling
        if ceiling is None:
            return lane.ceiling_decided or price.wei == 0
        return price.wei == 0 or (price.unit is ceiling.unit and price <= ceiling)

    def share(self, candidate: Mapping[str, Any], job: Job) -> float:
        lane = self._lane(job)
        recorded = float(candidate["terms"]["share"])
        return recorded if lane is None else self._shares(job, lane).get(candidate["orchestrator"], recorded)

    def _lane(self, job: Job) -> Lane | None:
        return self._table.lane(job.capability, self._tiers.get(job.client))

    def _shares(self, job: Job, lane: Lane) -> dict[str, float]:
        """Of the offers that are active, before any ceiling: prices are judged as they were then."""
        key = (job.capability, self._tiers.get(job.client))
        if key not in self._offers:
            self._offers[key] = {
                each.orchestrator: each.share for each in self._table.offers_of(job.capability)
            }
        return self._offers[key]


def preview(
    capability: int, before: RoutingTable, after: RoutingTable, board: Scoreboard, now: datetime
) -> Preview | None:
    """Of the capability with this id; None if either table does not know it. Raises django.db.Error."""
    old, new = _slug(before, capability), _slug(after, capability)
    if old is None or new is None:
        return None
    first, second = _Side(before, old, None, board, now), _Side(after, new, None, board, now)
    return Preview(
        slug=new,
        cheapest=_cheapest(after.offers_of(new), second),
        above=second.above,
        turns=sorted(_turns(first, second), key=_order),
        excluded=[
            Excluded(each.orchestrator, each.detail)
            for each in second.refused
            if each.offer_id not in first.asked and each.offer_id not in second.asked
        ],
        tiers=list(_tiers(before, after, old, new, board, now)),
        warnings=list(_warnings(new, first, second)),
        replay=None if before is after else _replayed(old, new, before, after, now),
    )


def gains(offers: Iterable[Offer], share: float, now: datetime) -> list[Gain]:
    """If these were let in with this share (0 to 1), by capability. Two queries. Raises django.db.Error."""
    approved: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for each in offers:
        approved[each.capability.slug][each.pk] = each.orchestrator.name
    (rows, before), board = current(), stored_board()
    shares = {key: share for names in approved.values() for key in names}
    after = tables.assemble(rows.approving(shares), settings.WEB_CONCURRENCY)
    return [_gain(slug, names, before, after, board, now) for slug, names in sorted(approved.items())]


def _gain(
    slug: str,
    approved: Mapping[int, str],
    before: RoutingTable,
    after: RoutingTable,
    board: Scoreboard,
    now: datetime,
) -> Gain:
    first, second = _Side(before, slug, None, board, now), _Side(after, slug, None, board, now)
    return Gain(
        slug=slug,
        turns=sorted(_turns(first, second), key=_order),
        refused=[each for each in second.refused if each.offer_id in approved],
        names=approved.values(),
    )


class _Side:
    """A lane as it is now: who may be asked, how often first, and who may not."""

    def __init__(
        self, table: RoutingTable, slug: str, tier: str | None, board: Scoreboard, now: datetime
    ) -> None:
        lane = table.lane(slug, tier)
        assert lane is not None  # every policy has one
        moment, policy = now.timestamp(), lane.policy
        self.policy = policy
        candidates = view(lane, board, policy_number=table.revision, now=moment)

        def chosen(draws: tuple[float, float, float]) -> tuple[list[Any], list[Refused]]:
            return choose(
                candidates,
                now=moment,
                stateful=policy.stateful,
                draws=draws,
            )

        ranked, refused = chosen(CHEAPEST)
        self.asked = {each.offer_id: each for each in ranked}
        self.refused = [*lane.refused, *(each for each in refused if each.offer_id not in self.asked)]
        self.above = lane.ceiling_excluded
        self.is_resort = any(each.rank is Rank.LAST_RESORT for each in ranked)
        self._first = Counter(_firsts(chosen)) if ranked else Counter[int]()

    @property
    def eligible(self) -> int:
        return 0 if self.is_resort else len(self.asked)

    def share(self, offer_id: int) -> float | None:
        return self._first[offer_id] / DRAWS if offer_id in self.asked else None


def _firsts(chosen: Callable[[tuple[float, float, float]], tuple[list[Any], Any]]) -> Iterator[int]:
    for place in range(1, DRAWS + 1):
        one, two, three = (place * step % 1 for step in _STEPS)
        yield chosen((one, two, three))[0][0].offer_id


def _order(turn: Turn) -> tuple[bool, float, float, str]:
    """Who is out comes last."""
    return turn.then is None, -(turn.then or 0.0), -(turn.now or 0.0), turn.orchestrator


def _turns(first: _Side, second: _Side) -> Iterator[Turn]:
    against = {each.offer_id: each.detail for each in second.refused}
    for offer_id in {**first.asked, **second.asked}:
        shown = second.asked.get(offer_id) or first.asked[offer_id]
        yield Turn(
            orchestrator=shown.orchestrator,
            candidate=shown,
            second_class=shown.rank is not Rank.READY,
            now=first.share(offer_id),
            then=second.share(offer_id),
            against=against.get(offer_id, ""),
        )


def _cheapest(offers: Sequence[OfferEntry], side: _Side) -> str:
    """Of the active offers with a known price, for a usual call."""
    seconds = side.policy.typical_seconds

    def cost(offer: OfferEntry) -> tuple[Fraction, int]:
        return offer.price.per_unit * Fraction(units_of(offer.price.unit, seconds)), offer.id

    best = min(offers, key=cost, default=None)
    if best is None:
        return ""
    told = {"name": best.orchestrator, "price": price_in_words(best.price)}
    mine, first = side.asked.get(best.id), next(iter(side.asked.values()), None)
    if mine is None or first is None:
        against = next((each.detail for each in side.refused if each.offer_id == best.id), "")
        said = _("The cheapest, {name} at {price}, is not asked: {against}.")
        return format_html(said, name=best.orchestrator, price=priced(best.price), against=retold(against))
    if mine is first:
        return _("The cheapest, %(name)s at %(price)s, is asked first.") % told
    told["first"] = first.orchestrator
    if mine.rank is not first.rank:
        return _("The cheapest, %(name)s at %(price)s, is asked later: %(first)s is in better health.") % told
    told |= {"counts": amount(round(mine.adjusted)), "least": amount(round(first.adjusted))}
    said = _(
        "The cheapest, %(name)s at %(price)s, is asked later: with waiting and failures reckoned in, "
        "a call there counts as %(counts)s, and %(least)s at %(first)s."
    )
    return said % told


def _tiers(
    before: RoutingTable, after: RoutingTable, old: str, new: str, board: Scoreboard, now: datetime
) -> Iterator[tuple[str, int, int]]:
    tiers = {
        tier for table, slug in ((before, old), (after, new)) for each, tier in table.lanes if each == slug
    }
    for tier in sorted(each for each in tiers if each is not None):
        sides = [_Side(table, slug, tier, board, now) for table, slug in ((before, old), (after, new))]
        yield tier, sides[0].eligible, sides[1].eligible


def _warnings(slug: str, first: _Side, second: _Side) -> Iterator[str]:
    if second.eligible == 0 < first.eligible:
        yield _("With this change nobody can serve %(slug)s: its callers get 503.") % {"slug": slug}
    elif second.eligible < min(FEW, first.eligible):
        yield _("With this change only one orchestrator can serve %(slug)s.") % {"slug": slug}
    gone = len(first.asked.keys() - second.asked.keys())
    if gone and second.eligible:
        said = ngettext(
            "%(gone)s offer would not be asked any more.", "%(gone)s offers would not be asked any more.", gone
        )
        yield said % {"gone": gone}


def _replayed(old: str, new: str, before: RoutingTable, after: RoutingTable, now: datetime) -> Replay | None:
    """None where no decision is on record."""
    lately = Job.objects.filter(capability=old, at__gte=now - DAY).order_by("-at")
    since = Coalesce(Subquery(lately.values("at")[LATEST - 1 : LATEST]), Value(now - DAY))
    jobs = list(lately.filter(at__gte=since).exclude(decision={})[:REPLAYED])
    then = _decided(jobs, Judging(before), old)
    changed = _decided(jobs, Judging(after), new)
    pairs = list(zip(then, changed, strict=True))
    if not pairs:
        return None
    both = [(one.after, other.after) for one, other in pairs if one.after and other.after]
    return Replay(
        calls=len(pairs),
        looked_at=LATEST,
        cost=_both(both, lambda choices: sum(each.wei for each in choices) / len(choices)),
        p95=_both(both, _p95),
        unserved=(sum(each.after is None for each in then), sum(each.after is None for each in changed)),
        moved=sum(one.orchestrator != other.orchestrator for one, other in both),
    )


def _decided(jobs: Iterable[Job], judge: Judging, slug: str) -> list[Replayed]:
    """By the capability's name in that table; those nobody could be asked for then stay so."""
    found = []
    for job in jobs:
        job.capability = slug
        replayed = replay(job, judge)
        if replayed is not None and replayed.before is not None:
            found.append(replayed)
    return found


def _both(
    pairs: Sequence[tuple[Choice, Choice]], of: Callable[[list[Choice]], float]
) -> tuple[float, float] | None:
    return (of([one for one, _ in pairs]), of([other for _, other in pairs])) if pairs else None


def _p95(choices: list[Choice]) -> float:
    return sorted(each.seconds for each in choices)[int(0.95 * (len(choices) - 1))]


def _slug(table: RoutingTable, capability: int) -> str | None:
    return next((slug for slug, policy in table.policies.items() if policy.id == capability), None)
