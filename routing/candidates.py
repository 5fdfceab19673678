"""The offers of a lane as selection wants them: what was decided and claimed, with how they fare now.

Between two requests little changes for most offers, so a candidate is used again until something is heard
of its offer, or the clock alone makes it read otherwise (`_until`); where merely a call there began or ended,
that is all that is looked at. A request weighs a hundred offers and rebuilds the one or two that moved.
"""

from __future__ import annotations

from msgspec.structs import force_setattr, replace

from orchestrators.core import health as healths
from orchestrators.core import latency as latencies
from orchestrators.core.hardware import LIGHT
from orchestrators.core.health import State
from orchestrators.core.reputation import BEST
from orchestrators.scoreboard import Live, Scoreboard
from routing.core.selection import Candidate, units_of
from routing.table import CapabilityPolicy, Lane, OfferEntry

# What latencies alone say against an offer: still used, ranked later (R32, R35, R42).
WORSE = frozenset({"slow", "contention", "eviction"})


# The profile whose models are the better the lighter they are (R55).
REAL_TIME = "warm"

_HEALTHY, _DEGRADED = State.HEALTHY, State.DEGRADED  # see OutcomeClass


def view(lane: Lane, board: Scoreboard, policy_number: int, now: float) -> list[Candidate]:
    """`now`: wall seconds. `policy_number`: of the table the lane is from."""
    known, found = board.offers, []
    for offer in lane.offers:
        live = known[offer.id]
        seen: Candidate = live.seen
        if now >= live.until or live.seen_of is not offer:
            seen = candidate(offer, lane.policy, live, policy_number, now)
        elif seen.in_flight != live.in_flight:
            seen = live.seen = _counted(seen, offer, lane.policy, live)
        found.append(seen)
    return found


def candidate(
    offer: OfferEntry, policy: CapabilityPolicy, live: Live, policy_number: int, now: float
) -> Candidate:
    """A new one, which `view` uses again."""
    before: Candidate = live.seen if live.seen_of is offer else _unseen(offer, policy)
    health, latency, heard_at = healths.at(live.health, now), live.latency, live.heard_at
    target, fresh_for = policy.latency_target, policy.fresh_for
    flags = latencies.flags(latency, target)
    made = Candidate(  # by place: by name it takes five times as long
        before.offer_id,
        before.orchestrator,
        before.service_uri,
        before.price,
        before.units,
        before.seats,
        before.share,
        before.poor_fit,
        before.falling,
        before.heavy,
        before.reputation,
        before.value_of_second,
        _DEGRADED if flags and health.state is _HEALTHY and flags & WORSE else health.state,
        latencies.is_warm(latency, target, now, fresh_for),
        heard_at is not None and now - heard_at > fresh_for,
        "cold_over_10s" in flags,
        latencies.expected(latency, live.in_flight, offer.seats, target),
        1.0 - (1.0 - healths.failure_probability(health, now)) * offer.trust,
        live.in_flight,
        offer.claimed and policy_number >= live.revoked_before,
        health.busy_until if now < health.busy_until else 0.0,
        health.until,
        health.cause,
        _is_doubted(live),
        flags,
    )
    live.seen, live.seen_of, live.until = made, offer, _until(live, fresh_for, now)
    return made


def _counted(before: Candidate, offer: OfferEntry, policy: CapabilityPolicy, live: Live) -> Candidate:
    """With the calls that are in flight there now."""
    if live.in_flight < offer.seats > before.in_flight and not live.health.streak:  # as nearly always
        made: Candidate = before.__copy__()  # type: ignore[attr-defined]  # `copy` takes twice as long
        force_setattr(made, "in_flight", live.in_flight)  # nothing is derived from how many
        return made
    return replace(
        before,
        latency=latencies.expected(live.latency, live.in_flight, offer.seats, policy.latency_target),
        in_flight=live.in_flight,
        doubted=_is_doubted(live),
    )


def _is_doubted(live: Live) -> bool:
    return live.doubts > 0 or (live.in_flight > 0 and live.health.streak > 0)


def _unseen(offer: OfferEntry, policy: CapabilityPolicy) -> Candidate:
    """What was decided and claimed of it."""
    return Candidate(
        offer_id=offer.id,
        orchestrator=offer.orchestrator,
        service_uri=offer.target.service_uri,
        price=offer.price,
        units=units_of(offer.price.unit, policy.typical_seconds),
        seats=offer.seats,
        share=offer.share,
        poor_fit=offer.poor_fit,
        falling=offer.falling,
        heavy=policy.profile == REAL_TIME and offer.precision not in LIGHT,
        reputation=offer.reputation,
        value_of_second=policy.value_of_second,
    )


def evidence(offer: OfferEntry, policy: CapabilityPolicy, live: Live, now: float) -> list[str]:
    """What ranks this offer lower, and what that rests on: sentences for the operator."""
    health, heard_at = healths.at(live.health, now), live.heard_at
    told = [health.reason] if health.reason else []
    told += latencies.evidence(live.latency, policy.latency_target).values()
    if heard_at is not None and now - heard_at > policy.fresh_for:
        told.append(
            f"stale: nothing was heard of it for {now - heard_at:.0f} s, fresh is {policy.fresh_for:.0f} s"
        )
    if health.streak and live.in_flight:
        told.append("its latest answer was a fault, and a call in flight is finding out what that means")
    if offer.falling:
        told.append("its free slots fell to half of the most it claimed, and have not risen")
    if offer.poor_fit:
        told.append("its orchestrator also does long or stateful work, which slows every other job there")
    if policy.profile == REAL_TIME and offer.precision and offer.precision not in LIGHT:
        told.append(f"its model computes in {offer.precision}: between equals a lighter one goes first")
    if offer.reputation < BEST:
        told.append(f"its orchestrator's reputation is {offer.reputation:.0f} of {BEST:.0f}")
    return told


def _until(live: Live, fresh_for: float, now: float) -> float:
    """When the clock alone changes it next: a down ends, a contact leaves the window, warmth or news age."""
    until, heard_at, warm_at = healths.next_change(live.health, now), live.heard_at, live.latency.last_warm_at
    if heard_at is not None and now <= heard_at + fresh_for < until:
        until = heard_at + fresh_for
    if warm_at is not None and warm_at != heard_at and now <= warm_at + fresh_for < until:
        until = warm_at + fresh_for
    return until
