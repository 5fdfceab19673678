"""Whom to ask: who may be asked at all, and in which order. The price of a good result decides.

`sift` applies what is true only now: what the request wants, how the offers fare, which seats are free.
Every refusal has a reason. `rank` orders what is left, first by class:

    ready         healthy, known warm, fresh, quick to start
    second        degraded, unknown, cold, stale, slow to start, short of slots, or beside poor-fit work
    probation     was down, or has just failed, and has to prove itself
    last resort   nobody else is left: the one whose time comes soonest

and within a class by the adjusted price in wei, but that who is slow to start comes last there:

    (price x expected seconds + value of a second x expected latency) / probability of success

The value of a second is the whole strategy: 0 asks the cheapest, a very large one the fastest. Of those in
the best class that are about as good as its best, two are drawn and the cheaper goes first (power of two
choices), so that load spreads among equals, and to dearer ones as calls in flight make the cheap ones dear.
`share` limits the traffic of an offer without excluding it: it is its weight in that drawing, and the
chance to take part at all. Beside a ready offer, each that could become one (unknown, on probation, not
seen warm lately) goes first in half a percent of the calls: else nothing would ever be learnt of it, and
the first that answered would keep all the traffic. Nothing here depends on the order of the input, nor
does any dice fall here.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Iterable, Sequence
from enum import IntEnum, StrEnum
from itertools import accumulate, islice
from math import inf
from operator import attrgetter

import msgspec
from msgspec.structs import force_setattr, replace

from orchestrators.core.health import State
from orchestrators.core.outcome import OutcomeClass
from orchestrators.core.price import Price, Unit

# How many pixels a call will take is not known before it: offers priced by pixel are compared for one
# frame of this size. They never meet offers of another unit, so only the value of a second feels it.
PIXELS_TYPICAL = 1024 * 1024

# An unknown offer gets at least this share, or it would stay unknown; so does every unproven one.
_SHARE_OF_UNKNOWN = 0.005

# Equals for the drawing: within 15 % of the least adjusted price. Dearer ones wait for failover, or until
# the calls in flight have made the cheaper ones as dear.
_NEAR = 1.15

# An offer that always fails ranks as this unlikely to succeed: dear, yet comparable.
_LEAST_SUCCESS = 0.01

# So far the classes lie apart in the first number of an order: beyond any adjusted price. Behind all others of
# its class is whoever took more than 10 s to start (R50): where all are cold, its client would wait longest.
_CLASS = 1e100
_BEHIND = 0.5e100


class Rank(IntEnum):
    READY = 0
    SECOND = 1
    PROBATION = 2
    LAST_RESORT = 3


# see OutcomeClass
_HEALTHY, _DOWN, _ON_PROBATION = State.HEALTHY, State.DOWN, State.PROBATION
_READY, _SECOND = Rank.READY, Rank.SECOND


class Why(StrEnum):
    """Why an offer is not asked. Clients see how often each occurred, operators which offer it was."""

    PRICE_CEILING = "price_ceiling"
    PRICE_UNIT = "price_unit"
    BAD_QUOTE = "bad_quote"
    NOT_CLAIMED = "not_claimed"
    MODE_OFFER = "mode_offer"
    MODE_ORCHESTRATOR = "mode_orchestrator"
    DOWN = "down"
    BUSY = "busy"
    NO_SEAT = "no_seat"
    TRIED = "tried"
    EXCLUDED = "excluded"
    NOT_INCLUDED = "not_included"
    REJECTED = "rejected"
    API_MISMATCH = "api_mismatch"
    PAYMENT = "payment"


# A wrong answer or a refused credential does not get better by being the only choice: no last resort.
_EXEMPT = {OutcomeClass.REJECTED: Why.REJECTED, OutcomeClass.API_MISMATCH: Why.API_MISMATCH}
_RESORTS = frozenset({Why.DOWN, Why.BUSY, Why.NOT_CLAIMED})


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """One offer at this moment: what was decided and claimed, then how it fares.

    `units`: how much of the price's unit a call is expected to take (see `units_of`).
    `seats`: calls it may have in flight from this worker. `share`: 0 to 1.
    `poor_fit`: its orchestrator also does long or stateful work, which slows every other job there (R22).
    `falling`: its free slots ran low, though not by our calls (R54). `heavy`: for real time, where its model's
    number format is not known to be a light one; it breaks ties (R55).
    `reputation`: of its orchestrator, 0 to 100; it is part of `failure` already. `value_of_second`: wei.

    `warm`: known to have its model loaded. `latency`: expected seconds. `failure`: probability, 0 to 1.
    `busy_until` (0: it is not), `down_until`: times on the caller's clock; a down without an end lasts until a
    probe ends it. `cause`: of the down.
    `doubted`: its latest answer was a fault, and another call is already finding out what that means.
    `flags`: what its latencies say against it (see `core.latency.flags`); they are part of `state` already.
    `last_resort`: asked because nobody else is left.

    Derived, once for all the requests that meet it: `order`, by which candidates are sorted: class, as a number
    that is the price in the best one (floats are compared in a third of the time), adjusted price in wei (a
    float, because it only orders; the price itself stays exact), the lighter model before the heavier, offer
    id; and the class itself. `usual`: nothing but the request may be against it, and it takes part in every
    drawing.
    """

    offer_id: int
    orchestrator: str
    service_uri: str
    price: Price
    units: float
    seats: int
    share: float
    poor_fit: bool = False
    falling: bool = False
    heavy: bool = False
    reputation: float = 100.0
    value_of_second: int = 0
    # how it fares
    state: State = State.UNKNOWN
    warm: bool = False
    stale: bool = False
    slow_start: bool = False
    latency: float = 0.0
    failure: float = 0.0
    in_flight: int = 0
    claimed: bool = True
    busy_until: float = 0.0
    down_until: float | None = None
    cause: OutcomeClass | None = None
    doubted: bool = False
    flags: frozenset[str] = frozenset()
    last_resort: bool = False
    order: tuple[float, float, bool, int, Rank] = (0.0, 0.0, False, 0, Rank.READY)
    usual: bool = False

    def __post_init__(self) -> None:
        price, success = self.price, 1.0 - self.failure
        cost = price.wei / price.units * self.units + self.value_of_second * self.latency
        adjusted = cost / (success if success > _LEAST_SUCCESS else _LEAST_SUCCESS)
        rank = _class_of(self)
        first = adjusted if rank is _READY else rank * _CLASS + (_BEHIND if self.slow_start else 0.0)
        force_setattr(self, "order", (first, adjusted, self.heavy, self.offer_id, rank))
        has_seat = self.claimed and self.in_flight < self.seats
        is_fit = has_seat and self.state is not _DOWN and not self.busy_until
        force_setattr(self, "usual", is_fit and self.share >= 1.0)

    @property
    def rank(self) -> Rank:
        return self.order[4]

    @property
    def adjusted(self) -> float:
        """Wei of a good result."""
        return self.order[1]


class Refused(msgspec.Struct, frozen=True, gc=False):
    """An offer passed over. `detail` is for the operator; `until`: when that may end, if it is known."""

    offer_id: int
    orchestrator: str
    why: Why
    detail: str
    until: float | None = None


_ORDER = attrgetter("order")


def choose(
    candidates: Sequence[Candidate],
    now: float,
    stateful: bool,
    draws: tuple[float, float, float],
    tried: frozenset[int] = frozenset(),
    include: Collection[str] = (),
    exclude: Collection[str] = (),
    has_waited: bool = False,
) -> tuple[list[Candidate], list[Refused]]:
    """Whom to ask, best first, and why not the others: `sift`, the last resort, `rank`.

    The one choice of live traffic, of its explanation and of the simulation; arguments as of those three.
    The last resort is for a request that nobody was asked for yet, not a fourth chance.
    """
    if not (tried or include or exclude):
        for each in candidates:
            if not each.usual:
                break
        else:  # as nearly always
            return rank(candidates, draws, not stateful, True), []
    kept, refused = sift(candidates, tried, include, exclude, now)
    if kept or tried:
        return rank(kept, draws, not stateful), refused
    resort = last_resort(candidates, refused, has_waited=has_waited)
    return ([] if resort is None else [replace(resort, last_resort=True)]), refused


def sift(
    candidates: Collection[Candidate],
    tried: frozenset[int],
    include: Collection[str],
    exclude: Collection[str],
    now: float,
) -> tuple[list[Candidate], list[Refused]]:
    """Part those who may be asked now from those who may not, each with its reason.

    `include` and `exclude` hold service URIs as exact strings; an empty `include` means all.
    """
    has_wishes = tried or include or exclude
    kept, refused = [], []
    for candidate in candidates:
        if candidate.usual and not has_wishes:
            kept.append(candidate)
            continue
        unwanted = has_wishes and _unwanted(candidate, tried, include, exclude)
        verdict = unwanted or _unfit(candidate, now)
        if verdict:
            refused.append(Refused(candidate.offer_id, candidate.orchestrator, *verdict))
        else:
            kept.append(candidate)
    return kept, refused


_Verdict = tuple[Why, str, float | None]


def _unwanted(
    candidate: Candidate, tried: frozenset[int], include: Collection[str], exclude: Collection[str]
) -> _Verdict | None:
    """What this request has against it. Exclusion is looked at first: a URI on both lists is excluded."""
    if candidate.offer_id in tried:
        return Why.TRIED, "was asked for this request already", None
    if candidate.service_uri in exclude:
        return Why.EXCLUDED, "the request excludes its orchestrator", None
    if include and candidate.service_uri not in include:
        return Why.NOT_INCLUDED, "the request includes other orchestrators only", None
    return None


def _unfit(candidate: Candidate, now: float) -> _Verdict | None:
    """What its live state has against it; what lasts longest comes first."""
    until = candidate.down_until
    if candidate.state is State.DOWN and (until is None or now < until):
        why = Why.DOWN if candidate.cause is None else _EXEMPT.get(candidate.cause, Why.DOWN)
        return why, _describe_down(candidate, now), until
    if not candidate.claimed:
        return Why.NOT_CLAIMED, "its orchestrator does not claim the capability", None
    if now < candidate.busy_until:
        wait = candidate.busy_until - now
        return Why.BUSY, f"asked to be left alone for {wait:.1f} s more", candidate.busy_until
    if candidate.in_flight >= candidate.seats:
        return Why.NO_SEAT, f"{candidate.in_flight} in flight, {candidate.seats} allowed", None
    return None


def _describe_down(candidate: Candidate, now: float) -> str:
    until = candidate.down_until
    end = "until a probe succeeds" if until is None else f"for {until - now:.1f} s more"
    return f"down after {candidate.cause or 'faults'}, {end}"


def last_resort(
    candidates: Iterable[Candidate], refused: Iterable[Refused], *, has_waited: bool = False
) -> Candidate | None:
    """The one to ask when `sift` kept nobody: of the down, busy and not claimed the soonest to be fit.

    Ties go to the lower offer id. Nobody, while one only lacks a seat and the request has not waited for
    it, or while the soonest has a call in flight: a last resort takes one call at a time.
    """
    reasons = {refusal.offer_id: refusal for refusal in refused}
    if not has_waited and lacks_seat(reasons.values()):
        return None
    left = [
        (inf if refusal.until is None else refusal.until, candidate.offer_id, candidate)
        for candidate in candidates
        if (refusal := reasons.get(candidate.offer_id)) and refusal.why in _RESORTS
    ]
    if not left:
        return None
    candidate = min(left)[-1]
    return candidate if candidate.in_flight == 0 else None


def lacks_seat(refused: Iterable[Refused]) -> bool:
    """True if one of them would be asked if only it had a free seat."""
    return any(each.why is Why.NO_SEAT for each in refused)


def soonest(refused: Iterable[Refused], now: float) -> float | None:
    """Seconds until the first of the refused may be fit again, for Retry-After; None if nobody knows."""
    times = [refusal.until for refusal in refused if refusal.until is not None]
    return max(0.0, min(times) - now) if times else None


def rank(
    kept: Iterable[Candidate],
    draws: tuple[float, float, float],
    explore: bool = True,
    usual: bool = False,
) -> list[Candidate]:
    """Order the candidates, best first; every one of them is in the answer.

    `draws`, each in [0, 1): two choose the pair, the third decides who takes part in the drawing.
    `explore`: the unproven may go first now and then; not where a call gets one attempt only.
    `usual`: all of them are known to be.
    """
    ordered = sorted(kept, key=_ORDER)
    number = len(ordered)
    if number < 2:
        return ordered
    turn = (1.0 - draws[2]) / _SHARE_OF_UNKNOWN
    if turn < number and explore and (explored := _explored(ordered, int(turn))):
        ordered.remove(explored)
        return [explored, *ordered]
    reach: list[float] = []
    for each in () if usual else ordered:
        if each.share < 1.0:  # else all take part, as nearly always
            ordered, reach = _taking_part(ordered, draws[2])
            number = len(reach)
            break
    least, price, _, _, _ = ordered[0].order
    limit = _NEAR * price
    bound = (limit if least == price else least, limit, True, inf)
    near = bisect(ordered, bound, 0, number, key=_ORDER)
    if near == 1:
        return ordered
    if reach:
        first, second = _two_by_share(reach[:near], draws)
    else:  # two different ones, each as likely as any other
        first, second = int(draws[0] * near), int(draws[1] * (near - 1))
        if second >= first:
            second += 1
    if second < first:  # of equals the lighter, then whichever was drawn first
        one, other = ordered[first].order, ordered[second].order
        if one[1] != other[1] or one[2] is not other[2]:
            first = second
    if first:
        ordered.insert(0, ordered.pop(first))
    return ordered


def units_of(unit: Unit, typical_seconds: float) -> float:
    """How much of it a usual call takes: its seconds; of the other units one request, or a frame's pixels."""
    if unit is Unit.SECOND:
        return typical_seconds
    return PIXELS_TYPICAL if unit is Unit.PIXEL else 1


def _class_of(candidate: Candidate) -> Rank:
    state = candidate.state
    if candidate.last_resort:
        return Rank.LAST_RESORT
    # Still marked down, yet sifted in: its time is over, so it is on probation.
    if candidate.doubted or state is _ON_PROBATION or state is _DOWN:
        return Rank.PROBATION
    if state is not _HEALTHY or not candidate.warm or candidate.stale or _known_worse(candidate):
        return _SECOND
    return _READY


def _known_worse(candidate: Candidate) -> bool:
    return candidate.slow_start or candidate.poor_fit or candidate.falling


def _explored(ordered: Sequence[Candidate], turn: int) -> Candidate | None:
    """The unproven one whose turn it is, at the upper end of the dice; usually none."""
    if ordered[0].rank is not Rank.READY:
        return None
    return next(islice(filter(_is_unproven, ordered), turn, None), None)


def _is_unproven(candidate: Candidate) -> bool:
    """Not ready only because nobody has seen it well lately: nothing speaks against it."""
    worse = candidate.state is State.DEGRADED or candidate.doubted or _known_worse(candidate)
    return candidate.rank is not Rank.READY and not worse


def _taking_part(ordered: list[Candidate], draw: float) -> tuple[list[Candidate], list[float]]:
    """The same, first those of the best class who take part in the drawing; and for each of these, how far its
    part of the line reaches on which the draws fall.

    An offer takes part in its share of the calls. Where nobody would, or all are unknown, all do: a share
    limits traffic, it never leaves a request without an orchestrator.
    """
    best = bisect(ordered, ((ordered[0].rank + 1) * _CLASS,), key=_ORDER)
    weighed = [(each, _weight(each)) for each in ordered[:best]]
    pool = [each for each in weighed if draw < each[1]]
    if not pool or all(each.state is State.UNKNOWN for each in ordered):
        return ordered, [*accumulate([1.0] * best)]
    held_back = [each for each, weight in weighed if draw >= weight]
    reach = accumulate(weight for _, weight in pool)
    return [*(each for each, _ in pool), *held_back, *ordered[best:]], [*reach]


def _weight(candidate: Candidate) -> float:
    return max(candidate.share, _SHARE_OF_UNKNOWN) if candidate.state is State.UNKNOWN else candidate.share


def _two_by_share(reach: Sequence[float], draws: Sequence[float]) -> tuple[int, int]:
    """Draw two different ones of those that have a reach.

    The second draw falls on what is left of the line once the first one's part is cut out of it.
    """
    last = len(reach) - 1  # a rounded sum may point past the end
    first = bisect(reach, draws[0] * reach[last], 0, last)
    start = reach[first - 1] if first else 0.0
    cut = reach[first] - start
    target = draws[1] * (reach[last] - cut)
    if target >= start:
        target += cut
    return first, bisect(reach, target, 0, last)
