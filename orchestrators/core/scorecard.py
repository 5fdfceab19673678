"""What a trial found out about an offer, point by point, each with a verdict and a sentence.

    answers       does it answer at all, every time                  fail: nobody, or more than one fault
    contract      are its answers what the capability promises       fail: one that is not
    cold start    from the first call to the first good answer       warn: over 10 s; never a fault
    latency       warm, against the profile's target                 warn: p95 above; fail: p50 far above
    steadiness    the same work takes the same time                  warn: a GPU shared with others
    concurrency   calls at once, within the capacity it claims       warn: it only queues; fail: it breaks
    capacity      are the free slots that its token claims free      fail: refused while it claims them
    price         against the ceilings that clients have             fail: nobody may pay it

What could not be measured has no line. The whole is as good as its worst point: a warning is for people
to read, a failure keeps traffic away. Ranking deals with the slow and the unsteady by itself, later.

Only what an orchestrator is to blame for hurts its reputation: not its price, not a sample request that it
is right to refuse, not being busy with other people's work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, sqrt

from orchestrators.core.outcome import Outcome, OutcomeClass
from orchestrators.core.price import Price
from orchestrators.core.reputation import Kind

_LONG_START = 10.0
_FAR_ABOVE = 4.0  # times the target: no ranking makes up for it
_UNEVEN = 0.5  # of the mean, as for live traffic
_NOTICEABLE = 0.1  # of the target: a deviation below it is nobody's concern
_QUEUES = 3.0  # times the warm latency: calls at once mostly wait for each other
_EXCUSED = 1  # fault among the calls one after the other
_FULL = frozenset({OutcomeClass.BUSY, OutcomeClass.NOT_CLAIMED})
_FAULTS = frozenset(
    {
        OutcomeClass.TIMEOUT,
        OutcomeClass.UNREACHABLE,
        OutcomeClass.CONTAINER_CRASH,
        OutcomeClass.GPU_OOM,
        OutcomeClass.UPSTREAM_ERROR,
    }
)


class Verdict(StrEnum):
    """From good to bad."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Point:
    """`sentence`: for the operator. `harm`: what a failure does to the orchestrator's reputation."""

    name: str
    verdict: Verdict
    sentence: str
    harm: Kind | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """So many calls at once, and what became of each."""

    at_once: int
    outcomes: tuple[Outcome, ...]

    @property
    def latencies(self) -> tuple[float, ...]:
        return tuple(_seconds(self.outcomes))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a trial saw. Seconds throughout.

    `look`: the token's or the health's outcome. `calls`: one after the other; `waking` of them, the first
    ones, until the first good answer, which came `woke_after` seconds after the first was sent (None: never).
    `woke_cold`: the model had to be loaded for it. `cold_before`: the latest cold start on record.
    `steps`: the ramp, fewest at once first. `claimed`: free slots at the beginning, None where the protocol
    has no such word; `claimed_after`: at a look after a step that was refused.
    `ceilings`: what the clients of each tier may pay, None any price; none at all means that nothing is
    decided, for which `suggestion` stands. `target`: the profile's p95.
    """

    look: Outcome
    price: Price | None
    target: float
    calls: tuple[Outcome, ...] = ()
    waking: int = 0
    woke_after: float | None = None
    woke_cold: bool = False
    cold_before: float | None = None
    steps: tuple[Step, ...] = ()
    claimed: int | None = None
    claimed_after: int | None = None
    ceilings: tuple[Price | None, ...] = ()
    suggestion: str = ""

    @property
    def warm(self) -> tuple[float, ...]:
        """Latencies of the warm successes, one call at a time."""
        return tuple(_seconds(self.calls[self.waking :] if self.woke_cold else self.calls))


@dataclass(frozen=True, slots=True)
class Scorecard:
    points: tuple[Point, ...]

    @property
    def verdict(self) -> Verdict:
        verdicts = {point.verdict for point in self.points}
        return next(each for each in (Verdict.FAIL, Verdict.WARN, Verdict.PASS) if each in verdicts)

    @property
    def wrong(self) -> tuple[Point, ...]:
        return tuple(point for point in self.points if point.verdict is not Verdict.PASS)

    @property
    def harms(self) -> tuple[Point, ...]:
        """The points that cost reputation, one of each kind."""
        return tuple({point.harm: point for point in reversed(self.points) if point.harm}.values())


def mark(evidence: Evidence) -> Scorecard:
    """Every point that can be told from the evidence, in the order of the table above."""
    found = (point(evidence) for point in _POINTS)
    return Scorecard(tuple(point for point in found if point is not None))


def may_be_called(price: Price | None, ceilings: Sequence[Price | None]) -> bool:
    """False if no client may pay this: such an offer is not called, not even for a trial (R13).

    Where no ceiling is decided, a trial is a person's way to find out; a missing price is no price to pay.
    """
    return price is not None and (not ceilings or any(_within(price, each) for each in ceilings))


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of at least one value; `share` within (0, 1]."""
    return sorted(values)[ceil(share * len(values)) - 1]


def _answers(seen: Evidence) -> Point | None:
    if not seen.calls:
        if seen.look.is_success:
            return None
        harm = None if seen.look.cls is OutcomeClass.REJECTED else Kind.FAILED_TRIAL
        return Point("answers", Verdict.FAIL, f"Nobody to try: {_told(seen.look)}.", harm)
    if seen.woke_after is None:
        last = seen.calls[-1]
        harm = Kind.FAILED_TRIAL if last.cls in _FAULTS else None
        return Point("answers", Verdict.FAIL, f"Not one good answer: {_told(last)}.", harm)
    later = seen.calls[seen.waking - 1 :]
    bad = [each for each in later if not each.is_success and each.cls is not OutcomeClass.API_MISMATCH]
    if not bad:
        return Point("answers", Verdict.PASS, f"All {len(later)} calls in a row were answered.")
    faults = sum(each.cls in _FAULTS for each in bad)
    text = f"{len(bad)} of {len(later)} calls in a row went unanswered, the last: {_told(bad[-1])}."
    if faults <= _EXCUSED:
        return Point("answers", Verdict.WARN, text)
    return Point("answers", Verdict.FAIL, text, Kind.FAILED_TRIAL)


def _contract(seen: Evidence) -> Point | None:
    every = [*seen.calls, *(outcome for step in seen.steps for outcome in step.outcomes)]
    broken = [each for each in every if each.cls is OutcomeClass.API_MISMATCH]
    if broken:
        text = (
            f"{len(broken)} of {len(every)} answers were not what the capability promises: {_told(broken[0])}."
        )
        return Point("contract", Verdict.FAIL, text, Kind.MISMATCH)
    if seen.woke_after is None:
        return None
    return Point("contract", Verdict.PASS, "Every answer was what the capability promises.")


def _cold_start(seen: Evidence) -> Point | None:
    if seen.woke_after is None:
        return None
    seconds, told = seen.cold_before, "Warm already; its latest cold start on record took"
    if seen.woke_cold:
        seconds, told = seen.woke_after, "From the first call to the first good answer:"
    if seconds is None:
        return Point("cold start", Verdict.PASS, f"Warm already: the first answer took {_ms(seen.woke_after)}.")
    text = f"{told} {_ms(seconds)}"
    if seconds > _LONG_START:
        return Point("cold start", Verdict.WARN, f"{text}, over {_LONG_START:.0f} s: ranked later.")
    return Point("cold start", Verdict.PASS, f"{text}.")


def _latency(seen: Evidence) -> Point | None:
    if not seen.warm:
        return None
    p50, p95 = percentile(seen.warm, 0.5), percentile(seen.warm, 0.95)
    text = f"p50 {_ms(p50)}, p95 {_ms(p95)} of {len(seen.warm)} warm calls; the target is {_ms(seen.target)}."
    if p50 > _FAR_ABOVE * seen.target:
        return Point("latency", Verdict.FAIL, f"Far too slow for its profile: {text}")
    if p95 >= seen.target:
        return Point("latency", Verdict.WARN, f"Slow for its profile: {text}")
    return Point("latency", Verdict.PASS, text)


def _steadiness(seen: Evidence) -> Point | None:
    if len(seen.warm) < 3:
        return None
    mean = sum(seen.warm) / len(seen.warm)
    deviation = sqrt(sum((each - mean) ** 2 for each in seen.warm) / len(seen.warm))
    text = f"a deviation of {_ms(deviation)} around {_ms(mean)}"
    if deviation > max(_UNEVEN * mean, _NOTICEABLE * seen.target):
        return Point("steadiness", Verdict.WARN, f"Uneven, {text}: its GPU may be shared with others.")
    return Point("steadiness", Verdict.PASS, f"Steady: {text}.")


def _concurrency(seen: Evidence) -> Point | None:
    if not seen.steps or not seen.warm:
        return None
    for step in seen.steps:
        broken = [each for each in step.outcomes if each.cls in _FAULTS]
        if broken:
            text = f"{len(broken)} of {step.at_once} calls at once failed: {_told(broken[0])}."
            return Point("concurrency", Verdict.FAIL, text, Kind.FAILED_TRIAL)
    clean = [step for step in seen.steps if len(step.latencies) == step.at_once]
    if not clean:
        return Point(
            "concurrency", Verdict.WARN, f"Not measured: {seen.steps[0].at_once} at once were too many."
        )
    usual, most = percentile(seen.warm, 0.5), clean[-1]
    p50 = percentile(most.latencies, 0.5)
    text = f"{most.at_once} at once take {_ms(p50)} each, one alone {_ms(usual)}"
    if p50 > max(_QUEUES * usual, seen.target):
        return Point("concurrency", Verdict.WARN, f"They wait for each other: {text}.")
    return Point("concurrency", Verdict.PASS, f"{text[0].upper()}{text[1:]}.")


def _capacity(seen: Evidence) -> Point | None:
    if seen.claimed == 0:
        if seen.woke_after is None:
            text = "It claims no free slot: it is full, or does not know the capability."
            return Point("capacity", Verdict.FAIL, text)
        return Point("capacity", Verdict.WARN, "It claimed no free slot, and answered all the same.")
    if seen.claimed is None or seen.woke_after is None:
        return None
    refused = [step for step in seen.steps if any(each.cls in _FULL for each in step.outcomes)]
    if not refused:
        most = max((step.at_once for step in seen.steps), default=1)
        return Point(
            "capacity", Verdict.PASS, f"Free slots claimed: {seen.claimed}; calls taken at once: {most}."
        )
    at_once = refused[0].at_once
    text = f"It claimed {seen.claimed} free slots and refused {at_once} calls at once"
    if seen.claimed_after is not None and seen.claimed_after < at_once:
        return Point(
            "capacity", Verdict.WARN, f"{text}; it has {seen.claimed_after} left: others may have come."
        )
    return Point("capacity", Verdict.FAIL, f"{text}.", Kind.DISHONEST_CAPACITY)


def _price(seen: Evidence) -> Point | None:
    price = seen.price
    if price is None:
        return (
            Point("price", Verdict.FAIL, "No price that could be paid is known.")
            if seen.look.is_success
            else None
        )
    if not seen.ceilings:
        if price.wei == 0:
            return Point("price", Verdict.PASS, "It is free.")
        hint = f"; the profile suggests {seen.suggestion}" if seen.suggestion else ""
        return Point(
            "price", Verdict.WARN, f"{price}, and no ceiling is decided: clients use free offers only{hint}."
        )
    within = [each for each in seen.ceilings if _within(price, each)]
    if not within:
        limits = ", ".join(sorted({str(each) for each in seen.ceilings}))
        return Point(
            "price", Verdict.FAIL, f"{price} is above what anybody may pay ({limits}); it was not called."
        )
    if len(within) < len(seen.ceilings):
        return Point("price", Verdict.WARN, f"{price} is above the ceiling of some tiers.")
    limit = within[0]
    told = "and there is no ceiling" if limit is None else f"within the ceiling of {limit}"
    return Point("price", Verdict.PASS, f"{price}, {told}.")


_POINTS: tuple[Callable[[Evidence], Point | None], ...] = (
    _answers,
    _contract,
    _cold_start,
    _latency,
    _steadiness,
    _concurrency,
    _capacity,
    _price,
)


def _within(price: Price, ceiling: Price | None) -> bool:
    return ceiling is None or (price.unit is ceiling.unit and price <= ceiling)


def _seconds(outcomes: Sequence[Outcome]) -> Iterator[float]:
    for outcome in outcomes:
        if outcome.is_success and outcome.latency is not None:
            yield outcome.latency


def _told(outcome: Outcome) -> str:
    return f"{outcome.cls} ({outcome.detail})" if outcome.detail else str(outcome.cls)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds < 10 else f"{seconds:,.1f} s"
