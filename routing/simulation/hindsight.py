"""Recorded decisions, decided again under another configuration: what a change would have changed.

A decision's record holds every candidate as it was weighed; refusals hold words only. So a draft can rank
the same candidates anew (value of a second, typical seconds, shares), and refuse some (modes, ceilings),
with the dice that fell then. It cannot bring back an offer that was refused: a higher ceiling shows nothing.
Records are those of failures, failovers and a sample of the rest, so they weigh trouble more than traffic does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from orchestrators.core.health import State
from orchestrators.core.price import Price
from routing.configuration.sections import read_ceiling
from routing.core.selection import Candidate, rank, units_of
from routing.decisions import unpack
from routing.models import Job
from routing.simulation.numbers import Configuration
from routing.table.facts import CapabilityPolicy

_ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class Choice:
    """Who went first. `wei`: price times expected seconds; `seconds`: expected latency."""

    orchestrator: str
    wei: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Replayed:
    """One decision, then and now; None: nobody could be asked. `refused`: by the draft alone, of how many."""

    request_id: str
    capability: str
    before: Choice | None
    after: Choice | None
    refused: int
    candidates: int


class Judge(Protocol):
    """A configuration, as far as it bears on a choice. Candidates as `unpack` tells them."""

    def policy(self, capability: str) -> CapabilityPolicy | None: ...

    def allows(self, candidate: Mapping[str, Any], job: Job) -> bool: ...

    def share(self, candidate: Mapping[str, Any], job: Job) -> float: ...


class Draft:
    """A configuration document as a judge."""

    def __init__(self, document: Mapping[str, list[Mapping[str, Any]]]) -> None:
        def by(section: str, key: str) -> dict[str, Mapping[str, Any]]:
            return {str(each[key]): each for each in document.get(section) or []}

        self._capabilities = by("capabilities", "slug")
        self._numbers = Configuration(by("profiles", "slug"), self._capabilities)
        self._tiers = by("tiers", "slug")
        self._clients = by("clients", "name")
        self._orchestrators = by("orchestrators", "name")

    def __repr__(self) -> str:
        return f"<Draft of {', '.join(self._capabilities)}>"

    def replay(self, job: Job) -> Replayed | None:
        return replay(job, self)

    def policy(self, capability: str) -> CapabilityPolicy | None:
        own = self._capabilities.get(capability)
        return None if own is None else self._numbers.numbers(str(own["profile"]), capability).policy

    def share(self, candidate: Mapping[str, Any], job: Job) -> float:
        offer = self._offer(candidate["orchestrator"], job.capability)
        return float(offer.get("share", candidate["terms"]["share"]))

    def allows(self, candidate: Mapping[str, Any], job: Job) -> bool:
        home = self._orchestrators.get(candidate["orchestrator"], {})
        offer = self._offer(candidate["orchestrator"], job.capability)
        if home.get("mode", _ACTIVE) != _ACTIVE or offer.get("mode", _ACTIVE) != _ACTIVE:
            return False
        return _affordable(Price.parse(candidate["terms"]["price"]), list(self._ceilings(job)))

    def _offer(self, orchestrator: str, capability: str) -> Mapping[str, Any]:
        offers = self._orchestrators.get(orchestrator, {}).get("offers") or []
        return next((each for each in offers if each.get("capability") == capability), {})

    def _ceilings(self, job: Job) -> Iterator[Price | None]:
        capability = self._capabilities[job.capability]
        if "price_ceiling" in capability:
            yield read_ceiling(capability["price_ceiling"])
        tier = self._tiers.get(str(self._clients.get(job.client, {}).get("tier")), {})
        own = tier.get("price_ceilings") or {}
        if job.capability in own:
            yield read_ceiling(own[job.capability])


def replay(job: Job, judge: Judge) -> Replayed | None:
    """None where the job keeps no decision, or the configuration does not know its capability."""
    policy = judge.policy(job.capability) if job.decision else None
    if policy is None:
        return None
    record = unpack(job.decision)
    before = record["candidates"]
    kept = [
        _candidate(number, each, policy, judge.share(each, job))
        for number, each in enumerate(before)
        if judge.allows(each, job)
    ]
    return Replayed(
        request_id=job.request_id,
        capability=job.capability,
        before=_recorded(before[0]) if before else None,
        after=_choice(kept, policy, record),
        refused=len(before) - len(kept),
        candidates=len(before),
    )


def _candidate(number: int, recorded: Mapping[str, Any], policy: CapabilityPolicy, share: float) -> Candidate:
    terms, against = recorded["terms"], recorded["terms"]["against"]
    price = Price.parse(terms["price"])
    return Candidate(
        offer_id=number,
        orchestrator=recorded["orchestrator"],
        service_uri="",
        price=price,
        units=units_of(price.unit, policy.typical_seconds),
        state=State(terms["state"]),
        warm=terms["warm"],
        stale="stale" in against,
        slow_start="slow_start" in against,
        latency=terms["latency_ms"] / 1000,
        failure=terms["failure"],
        in_flight=terms["in_flight"],
        seats=terms["seats"],
        share=share,
        claimed=True,
        busy_until=0.0,
        down_until=None,
        cause=None,
        poor_fit="poor_fit" in against,
        doubted="doubted" in against,
        falling="falling" in against,
        value_of_second=policy.value_of_second,
        last_resort=recorded["class"] == "last_resort",
    )


def _choice(kept: list[Candidate], policy: CapabilityPolicy, record: Mapping[str, Any]) -> Choice | None:
    draws = (*record["draws"], 0.0, 0.0, 0.0)[:3]
    ranked = rank(kept, draws=draws, explore=not policy.stateful)
    return _chosen(ranked[0]) if ranked else None


def summary(replayed: Iterable[Replayed]) -> dict[str, dict[str, Any]]:
    """By capability: how many decisions, and what of them would have been otherwise."""
    found: dict[str, list[Replayed]] = {}
    for each in replayed:
        found.setdefault(each.capability, []).append(each)
    return {slug: _summary(each) for slug, each in sorted(found.items())}


def _summary(replayed: list[Replayed]) -> dict[str, Any]:
    both = [(each.before, each.after) for each in replayed if each.before and each.after]
    moved: dict[str, int] = {}
    for then, now in both:
        if then.orchestrator != now.orchestrator:
            move = f"{then.orchestrator} -> {now.orchestrator}"
            moved[move] = moved.get(move, 0) + 1
    return {
        "decisions": len(replayed),
        "moved": dict(sorted(moved.items(), key=lambda each: (-each[1], each[0]))),
        "nobody_left": sum(each.before is not None and each.after is None for each in replayed),
        "candidates": sum(each.candidates for each in replayed),
        "refused": sum(each.refused for each in replayed),
        "wei": _means([then.wei for then, _ in both], [now.wei for _, now in both]),
        "seconds": _means([then.seconds for then, _ in both], [now.seconds for _, now in both]),
    }


def _means(before: list[float], after: list[float]) -> list[float] | None:
    return [sum(before) / len(before), sum(after) / len(after)] if before else None


def _affordable(price: Price, ceilings: list[Price | None]) -> bool:
    if not ceilings:
        return price.wei == 0
    return all(each is None or (each.unit is price.unit and price <= each) for each in ceilings)


def _recorded(candidate: Mapping[str, Any]) -> Choice:
    terms = candidate["terms"]
    wei = float(Price.parse(terms["price"]).per_unit * int(terms["units"] * 1000) / 1000)
    return Choice(candidate["orchestrator"], wei, terms["latency_ms"] / 1000)


def _chosen(first: Candidate) -> Choice:
    return Choice(first.orchestrator, float(first.price.per_unit) * first.units, first.latency)
