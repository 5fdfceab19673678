"""What follows from a course: the scorecard, and everything that is written down of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from msgspec import structs

from orchestrators import reputation
from orchestrators.changes import change_set
from orchestrators.core import health as healths
from orchestrators.core import latency as latencies
from orchestrators.core.health import Source
from orchestrators.core.price import Price
from orchestrators.core.scorecard import Evidence, Point, Scorecard, Verdict, mark, may_be_called, percentile
from orchestrators.models import HealthSnapshot, Mode, Offer, Orchestrator, Trial
from orchestrators.prober.assignment import Assignment
from orchestrators.prober.contact import Finding
from orchestrators.prober.judgement import Judgement, is_a_quote, judge
from orchestrators.prober.leases import moment
from orchestrators.prober.record import record
from orchestrators.trial.course import Course
from orchestrators.upstream.base import Sighting

# For the capability with this id: what the clients of each tier may pay (None: any price); none: undecided.
Ceilings = Callable[[int], tuple[Price | None, ...]]

# Of the offer's next ordinary probe.
INTERVAL = 30.0

_ceilings: list[Ceilings] = []


def ceilings_with(ceilings: Ceilings) -> None:
    """Who can say what clients may pay: asked at each trial. Until somebody is named, nothing is decided."""
    _ceilings[:] = [ceilings]


def ceilings_of(capability_id: int) -> tuple[Price | None, ...]:
    return _ceilings[0](capability_id) if _ceilings else ()


def price_of(assignment: Assignment, sighting: Sighting | None) -> Price | None:
    """What it asks: what people decided (direct), what it quotes, or else what it quoted last."""
    if assignment.target.protocol == "direct" or sighting is None or not is_a_quote(sighting):
        return assignment.price
    return None if sighting.price is None else Price.parse(sighting.price)


def affordable(assignment: Assignment, sighting: Sighting, ceilings: tuple[Price | None, ...]) -> bool:
    return may_be_called(price_of(assignment, sighting), ceilings)


def evidence(course: Course, *, target: float, ceilings: tuple[Price | None, ...], suggestion: str) -> Evidence:
    sighting = course.sighting
    return Evidence(
        look=course.look,
        price=price_of(course.assignment, sighting),
        target=target,
        calls=tuple(course.calls),
        waking=course.waking,
        woke_after=course.woke_after,
        woke_cold=course.woke_cold,
        cold_before=course.assignment.latency.cold,
        steps=tuple(course.steps),
        claimed=None if sighting is None else sighting.capacity,
        claimed_after=course.claimed_after,
        ceilings=ceilings,
        suggestion=suggestion,
    )


def store(course: Course, seen: Evidence, *, who: str) -> tuple[Trial, Scorecard]:
    """The trial, the offer's health, its orchestrator's reputation. Raises django.db.Error."""
    card = mark(seen)
    record(_as_a_probe(course), HealthSnapshot.Source.TRIAL)
    trial = Trial.objects.create(
        offer_id=course.assignment.offer_id,
        at=moment(course.at),
        who=who[:150],
        verdict=card.verdict,
        points=_told(card.points),
        cold_ms=course.woke_after * 1000 if course.woke_cold and course.woke_after is not None else None,
        warm_ms=percentile(seen.warm, 0.5) * 1000 if seen.warm else None,
        warm_p95_ms=percentile(seen.warm, 0.95) * 1000 if seen.warm else None,
        calls=len(course.calls) + sum(step.at_once for step in course.steps),
        capacity=seen.claimed,
        price=None if seen.price is None else str(seen.price),
    )
    for point in card.harms:
        if point.harm is not None:
            reputation.note([course.assignment.offer_id], point.harm, f"trial: {point.sentence}", course.at)
    return trial, card


def store_unrunnable(offer: Offer, error: Exception, *, who: str, now: float) -> tuple[Trial, Scorecard]:
    """A trial that could not even begin, because of what people wrote: nobody's reputation suffers."""
    card = Scorecard((Point("sample request", Verdict.FAIL, f"The trial could not be run: {error}"),))
    trial = Trial.objects.create(
        offer=offer, at=moment(now), who=who[:150], verdict=card.verdict, points=_told(card.points)
    )
    return trial, card


def advance(offer: Offer, *, who: str, why: str, via: str) -> bool:
    """After a pass: to `active`, whoever was on trial. True if that changed anything."""
    if Mode.TRIAL not in (offer.mode, offer.orchestrator.mode):
        return False
    with change_set(who, why, via) as changes:
        passed = Offer.objects.filter(pk=offer.pk, mode=Mode.TRIAL).update(mode=Mode.ACTIVE)
        if passed:
            changes.summary.append(f"{Mode.ACTIVE}: {offer}")
        home = Orchestrator.objects.filter(pk=offer.orchestrator_id, mode=Mode.TRIAL).update(mode=Mode.ACTIVE)
        if home:
            changes.summary.append(f"{Mode.ACTIVE}: {offer.orchestrator}")
            for other in _unproven(offer):
                Offer.objects.filter(pk=other.pk).update(mode=Mode.TRIAL)
                changes.summary.append(f"{Mode.TRIAL}: {other}")
    return bool(passed or home)


def _unproven(offer: Offer) -> list[Offer]:
    """Its orchestrator's other active offers whose latest trial is none, or failed."""
    others = Offer.objects.filter(orchestrator=offer.orchestrator_id, mode=Mode.ACTIVE).exclude(pk=offer.pk)
    latest = dict(Trial.objects.filter(offer__in=others).order_by("id").values_list("offer_id", "verdict"))
    related = others.select_related("orchestrator", "capability")
    return [each for each in related if latest.get(each.pk, Verdict.FAIL) == Verdict.FAIL]


def _as_a_probe(course: Course) -> Judgement:
    """As if the first call had been a probe's sample request, and the warm ones had followed it.

    Calls at once are left out: what they take depends on how many they are.
    """
    calls = course.calls[max(course.waking - 1, 0) :]
    first = calls[0] if calls else None
    if first is not None and course.woke_cold:  # the whole of it, answers that it was loading included
        first = structs.replace(first, cold=True, latency=course.woke_after)
    finding = Finding(course.assignment, course.look, course.sighting, first, course.fingerprint, course.at)
    judgement = judge(finding, interval=INTERVAL, draw=random.random)
    health, latency, last = judgement.health, judgement.latency, judgement.outcome
    for outcome in calls[1:]:
        health = healths.step(health, outcome, source=Source.PROBE, now=course.at, draw=random.random())
        latency = latencies.observe(latency, outcome, course.at)
        last = outcome
    return replace(judgement, health=health, latency=latency, outcome=last)


def _told(points: tuple[Point, ...]) -> list[dict[str, str]]:
    return [{"name": each.name, "verdict": each.verdict.value, "sentence": each.sentence} for each in points]
