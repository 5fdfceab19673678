"""The offers of a lane as selection wants them: what was decided and claimed, with how they fare now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrators.core import health as healths
from orchestrators.core import latency as latencies
from orchestrators.scoreboard import Live, Scoreboard
from routing.core.selection import Candidate, Ranked, Refused
from routing.table import CapabilityPolicy, Lane, OfferEntry


def view(lane: Lane, board: Scoreboard, *, policy_number: int, now: float) -> list[Candidate]:
    """`now`: wall seconds. `policy_number`: of the table the lane is from."""
    return [candidate(offer, lane.policy, board.live(offer.id), policy_number, now) for offer in lane.offers]


def candidate(
    offer: OfferEntry, policy: CapabilityPolicy, live: Live, policy_number: int, now: float
) -> Candidate:
    health = healths.at(live.health, now)
    return Candidate(
        offer_id=offer.id,
        orchestrator=offer.orchestrator,
        service_uri=offer.target.service_uri,
        price=offer.price,
        state=health.state,
        warm=is_warm(live, policy, now),
        stale=live.heard_at is not None and now - live.heard_at > policy.fresh_for,
        slow_start="cold_over_10s" in latencies.flags(live.latency, policy.latency_target),
        latency=latencies.expected(live.latency, live.in_flight, policy.latency_target),
        failure=healths.failure_probability(health, now),
        in_flight=live.in_flight,
        seats=offer.seats,
        share=offer.share,
        claimed=offer.claimed and live.revoked_under != policy_number,
        busy_until=health.busy_until,
        down_until=health.until,
        cause=health.cause,
    )


def is_warm(live: Live, policy: CapabilityPolicy, now: float) -> bool:
    return latencies.is_warm(live.latency, target=policy.latency_target, now=now, idle=policy.fresh_for)


def decision_record(ranked: Iterable[Ranked], refused: Iterable[Refused]) -> dict[str, Any]:
    """A choice as JSON, for jobs and `explain`: every candidate's terms, every refusal's reason."""
    return {
        "candidates": [
            {
                "orchestrator": each.candidate.orchestrator,
                "class": each.rank.name.lower(),
                "terms": _terms(each),
            }
            for each in ranked
        ],
        "refused": [
            {"orchestrator": each.orchestrator, "reason": each.why.value, "detail": each.detail}
            for each in refused
        ],
    }


def _terms(ranked: Ranked) -> dict[str, Any]:
    terms, candidate = ranked.terms, ranked.candidate
    return {
        "price": str(terms.price),
        "units": terms.seconds,
        "latency_ms": round(terms.latency * 1000, 1),
        "value_of_second_wei": terms.value_of_second,
        "failure": round(terms.failure, 4),
        "adjusted_wei": round(terms.adjusted),
        "state": candidate.state.value,
        "warm": candidate.warm,
        "in_flight": candidate.in_flight,
        "seats": candidate.seats,
        "share": candidate.share,
    }
