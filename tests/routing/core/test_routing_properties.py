"""What holds of every choice and every request, whatever the offers look like and whatever they answer.

A request is walked as the service walks it, but on paper: sift, rank, decide, one outcome, again. The
clock is a number; an attempt takes as long as the example says, at most its allowance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from orchestrators.core.health import State
from orchestrators.core.outcome import Outcome, OutcomeClass
from orchestrators.core.price import Price, Unit
from routing.core.budget import Budget
from routing.core.failover import Attempt, Deliver, GiveUp, Try, decide, requests_fault
from routing.core.selection import Candidate, Rank, Why, last_resort, rank, sift
from tests.routing.core.cast import ALDER
from tests.support import outcomes as strategies
from tests.support.outcomes import BOUNDED, START

NAMES = ("alder", "birch", "cedar")
TIMES = st.sampled_from([0.0, START - 5, START, START + 0.5, START + 60])
ROUNDING = 1e-6  # of clock readings: floats of 2e9 seconds

prices = st.builds(Price, st.integers(0, 10**12), st.integers(1, 10**6), st.sampled_from(Unit))


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """A fleet of which nobody may be asked proves little."""
    return st.sampled_from([usual] * 6 * len(others) + [*others])


@st.composite
def candidates(draw: st.DrawFn) -> Candidate:
    name = draw(st.sampled_from(NAMES))
    state = draw(mostly(State.HEALTHY, *State))
    down = state is State.DOWN
    return replace(
        ALDER,
        orchestrator=name,
        service_uri=f"https://{name}:8935",
        price=draw(prices),
        state=state,
        warm=draw(st.booleans()),
        stale=draw(st.booleans()),
        slow_start=draw(st.booleans()),
        poor_fit=draw(st.booleans()),
        falling=draw(st.booleans()),
        heavy=draw(st.booleans()),
        doubted=draw(st.booleans()),
        latency=draw(strategies.seconds),
        failure=draw(st.floats(0, 1)),
        in_flight=draw(mostly(0, 1, 2)),
        seats=draw(st.integers(1, 3)),
        share=draw(st.floats(0, 1)),
        claimed=draw(mostly(True, False)),
        busy_until=draw(mostly(0.0, START - 5, START, START + 0.5, START + 60)),
        down_until=draw(st.none() | TIMES) if down else None,
        cause=draw(st.sampled_from([None, *OutcomeClass])) if down else None,
        value_of_second=3 * 10**11,
    )


def numbered(offers: list[Candidate]) -> list[Candidate]:
    return [replace(offer, offer_id=number) for number, offer in enumerate(offers, 1)]


fleets = st.lists(candidates(), max_size=6).map(numbered)
alike = st.integers(0, 3)
# Down, busy or not claimed, each for one reason alone.
troubles = st.sampled_from(
    [
        {"claimed": False},
        {"busy_until": START + 60},
        *({"state": State.DOWN, "down_until": START + 5, "cause": cls} for cls in OutcomeClass),
    ]
)
troubled = st.lists(troubles.map(lambda trouble: replace(ALDER, **trouble)), min_size=1, max_size=4).map(
    numbered
)
wishes = mostly(set(), *({f"https://{name}:8935"} for name in NAMES))
dice = st.tuples(strategies.draws, strategies.draws, strategies.draws)
ample = Budget.of(START, retry_timeout=8.0, attempt_timeout=5.0, cold_grace=10.0)
budgets = st.builds(
    Budget.of,
    st.just(START),
    retry_timeout=mostly(8.0, 0.5),
    attempt_timeout=mostly(0.2, 5.0),
    cold_grace=mostly(0.0, 10.0),
    client_timeout=mostly(None, 0.1, 3.0),
    search_timeout=mostly(None, 0.1, 3.0),
)


@dataclass
class Walk:
    """One request on paper; `step` asserts what must hold of each step."""

    fleet: list[Candidate]
    budget: Budget
    most: int
    stateful: bool
    include: set[str]
    exclude: set[str]
    may_retry: bool
    now: float = START
    history: tuple[Attempt, ...] = ()

    def allowed(self) -> tuple[list[Candidate], Candidate | None]:
        """Those that may be asked now, and the last resort if there are none."""
        tried = frozenset(attempt.offer_id for attempt in self.history)
        kept, refused = sift(self.fleet, tried=tried, include=self.include, exclude=self.exclude, now=self.now)
        resort = None if kept or self.history else last_resort(self.fleet, refused)
        return kept, resort and replace(resort, last_resort=True)

    def next(self, draws: tuple[float, float, float]) -> Try | Deliver | GiveUp:
        kept, resort = self.allowed()
        return self.decided(rank([resort] if resort else kept, draws=draws))

    def decided(self, ranked: list[Candidate]) -> Try | Deliver | GiveUp:
        return decide(
            ranked,
            self.history,
            budget=self.budget,
            max_attempts=self.most,
            stateful=self.stateful,
            now=self.now,
            may_retry=self.may_retry,
        )

    def check(self, step: Try) -> None:
        chosen = step.candidate
        assert chosen.service_uri not in self.exclude
        assert not self.include or chosen.service_uri in self.include
        kept, resort = self.allowed()
        assert chosen in kept or chosen == resort
        self.check_limits(step)

    def check_limits(self, step: Try) -> None:
        assert step.candidate.offer_id not in {attempt.offer_id for attempt in self.history}
        assert len(self.history) < self.most
        assert self.now <= self.budget.retry_until
        assert 0 < step.timeout <= self.budget.attempt_timeout + self.budget.cold_grace
        assert self.now + step.timeout <= self.budget.deadline + ROUNDING
        assert not (self.stateful and any(attempt.outcome.began for attempt in self.history))
        assert not any(attempt.outcome.is_answer for attempt in self.history)

    def take(self, step: Try, outcome: Outcome, part: float) -> None:
        chosen = step.candidate
        self.now += step.timeout * part
        self.history += (Attempt(chosen.offer_id, chosen.orchestrator, outcome, step.timeout * part),)


walks = st.builds(
    Walk,
    fleet=st.lists(candidates(), min_size=2, max_size=6).map(numbered),
    budget=budgets,
    most=mostly(3, 1, 2, 4),
    stateful=mostly(False, True),
    include=wishes,
    exclude=wishes,
    may_retry=st.booleans(),
)
# What each attempt comes to: the outcome, the part of its time it took, and the dice before it.
outcomes = strategies.outcomes() | strategies.outcomes().filter(lambda outcome: not outcome.is_answer)
fates = st.lists(st.tuples(outcomes, st.sampled_from([0.0, 0.3, 1.0]), dice), min_size=5, max_size=5)


@BOUNDED
@given(walks, fates)
def test_every_request_ends_within_its_time(walk: Walk, fates: list[Any]) -> None:
    """R12, R62: nobody is asked twice, unwanted or too late; after the last attempt there is an end."""
    for outcome, part, draws in fates:
        step = walk.next(draws)
        if not isinstance(step, Try):
            break
        walk.check(step)
        walk.take(step, outcome, part)
    assert not isinstance(step, Try)
    assert walk.now <= walk.budget.deadline + ROUNDING
    assert len(walk.history) <= min(walk.most, len(walk.fleet))
    if isinstance(step, Deliver):
        last = walk.history[-1]
        assert last.outcome.is_answer or last.offer_id in requests_fault(walk.history)


@BOUNDED
@given(walks, fates)
def test_deciding_trusts_no_ranking(walk: Walk, fates: list[Any]) -> None:
    """Also where nothing was sifted, the same offer is asked once at most, in time, and there is an end."""
    for outcome, part, draws in fates:
        step = walk.decided(rank(walk.fleet, draws=draws))
        if not isinstance(step, Try):
            break
        walk.check_limits(step)
        walk.take(step, outcome, part)
    assert not isinstance(step, Try)


@BOUNDED
@given(walks, dice)
def test_an_allowed_offer_is_given_out(walk: Walk, draws: tuple[float, float, float]) -> None:
    """R14, R47: with no call in flight, nobody is refused while there is one that may be asked."""
    walk.fleet = [replace(offer, in_flight=0) for offer in walk.fleet]
    kept, resort = walk.allowed()
    step = walk.next(draws)
    assert isinstance(step, Try) == bool(kept or resort)
    if not kept:
        _, refused = sift(walk.fleet, tried=frozenset(), include=walk.include, exclude=walk.exclude, now=START)
        may_be_resorted_to = {Why.DOWN, Why.BUSY, Why.NOT_CLAIMED} & {each.why for each in refused}
        assert (resort is not None) == bool(may_be_resorted_to)


@BOUNDED
@given(troubled, dice)
def test_somebody_is_resorted_to(fleet: list[Candidate], draws: tuple[float, float, float]) -> None:
    """R47: where all are in trouble, one that time alone may heal is tried; not a wrong one, not a rejected."""
    walk = Walk(fleet, ample, 3, False, set(), set(), True)
    hopeless = (OutcomeClass.REJECTED, OutcomeClass.API_MISMATCH)
    heals = [each for each in fleet if each.state is not State.DOWN or each.cause not in hopeless]
    step = walk.next(draws)
    assert isinstance(step, Try) == bool(heals)
    assert not isinstance(step, Try) or replace(step.candidate, last_resort=False) in heals


@BOUNDED
@given(fleets, alike, dice, st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(
    fleet: list[Candidate], twins: int, draws: tuple[float, float, float], explore: bool, chance: Any
) -> None:
    """Also among offers that are alike in everything."""
    fleet = numbered([*fleet, *fleet[:1] * twins])
    shuffled = [*fleet]
    chance.shuffle(shuffled)
    assert rank(fleet, draws=draws, explore=explore) == rank(shuffled, draws=draws, explore=explore)
    parted, other = (
        sift(each, tried=frozenset({2}), include=(), exclude=(), now=START) for each in (fleet, shuffled)
    )
    assert last_resort(fleet, parted[1]) == last_resort(shuffled, other[1])
    for kept, otherwise in zip(parted, other, strict=True):
        assert {each.offer_id for each in kept} == {each.offer_id for each in otherwise}
        assert len(kept) == len(otherwise)


@BOUNDED
@given(fleets, dice)
def test_everyone_is_either_kept_or_refused_and_ranked_once(
    fleet: list[Candidate], draws: tuple[float, float, float]
) -> None:
    """R72: nobody is lost on the way; who goes first is of the best class, or explored from the next."""
    kept, refused = sift(fleet, tried=frozenset(), include=(), exclude=(), now=START)
    assert sorted([each.offer_id for each in kept] + [each.offer_id for each in refused]) == [
        each.offer_id for each in fleet
    ]
    ranked = rank(kept, draws=draws)
    assert sorted(each.offer_id for each in ranked) == sorted(each.offer_id for each in kept)
    classes = [each.rank for each in ranked]
    explored = classes[:1] != [min(classes, default=Rank.READY)]
    assert classes[explored:] == sorted(classes[explored:])
    for each in ranked:
        assert each.adjusted >= 0
