"""The offers of a lane as selection wants them: what was decided and claimed, with how they fare now."""

from __future__ import annotations

from orchestrators.core import health as healths
from orchestrators.core import latency as latencies
from orchestrators.core.health import State
from orchestrators.core.reputation import trust
from orchestrators.scoreboard import Live, Scoreboard
from routing.core.selection import Candidate
from routing.table import CapabilityPolicy, Lane, OfferEntry

# What latencies alone say against an offer: still used, ranked later (R32, R35, R42).
WORSE = frozenset({"slow", "contention", "eviction"})


def view(lane: Lane, board: Scoreboard, *, policy_number: int, now: float) -> list[Candidate]:
    """`now`: wall seconds. `policy_number`: of the table the lane is from."""
    return [candidate(offer, lane.policy, board.live(offer.id), policy_number, now) for offer in lane.offers]


def candidate(
    offer: OfferEntry, policy: CapabilityPolicy, live: Live, policy_number: int, now: float
) -> Candidate:
    health = healths.at(live.health, now)
    flags = latencies.flags(live.latency, policy.latency_target)
    return Candidate(
        offer_id=offer.id,
        orchestrator=offer.orchestrator,
        service_uri=offer.target.service_uri,
        price=offer.price,
        state=State.DEGRADED if flags and health.state is State.HEALTHY and flags & WORSE else health.state,
        warm=is_warm(live, policy, now),
        stale=live.heard_at is not None and now - live.heard_at > policy.fresh_for,
        slow_start="cold_over_10s" in flags,
        latency=latencies.expected(live.latency, live.in_flight, offer.seats, policy.latency_target),
        failure=1 - (1 - healths.failure_probability(health, now)) * trust(offer.reputation),
        in_flight=live.in_flight,
        seats=offer.seats,
        share=offer.share,
        claimed=offer.claimed and live.revoked_under != policy_number,
        busy_until=health.busy_until,
        down_until=health.until,
        cause=health.cause,
        poor_fit=offer.poor_fit,
        reputation=offer.reputation,
        doubted=live.doubts > 0 or (health.streak > 0 and live.in_flight > 0),
    )


def is_warm(live: Live, policy: CapabilityPolicy, now: float) -> bool:
    return latencies.is_warm(live.latency, target=policy.latency_target, now=now, idle=policy.fresh_for)
