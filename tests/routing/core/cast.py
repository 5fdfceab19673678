"""The cast of these scenes: Alder is warm and dear, Birch cheap and cold, Cedar broken."""

from __future__ import annotations

from msgspec.structs import replace

from orchestrators.core.health import State
from orchestrators.core.outcome import Outcome, OutcomeClass, Speaker
from orchestrators.core.price import Price
from routing.core.failover import Attempt
from routing.core.selection import Candidate

ALDER = Candidate(
    offer_id=1,
    orchestrator="alder",
    service_uri="https://alder:8935",
    price=Price.parse("100 wei/second"),
    units=1.0,
    state=State.HEALTHY,
    warm=True,
    stale=False,
    slow_start=False,
    latency=0.2,
    failure=0.0,
    in_flight=0,
    seats=2,
    share=1.0,
    claimed=True,
    busy_until=0.0,
    down_until=None,
    cause=None,
)
BIRCH = replace(
    ALDER,
    offer_id=2,
    orchestrator="birch",
    service_uri="https://birch:8935",
    price=Price.parse("10 wei/second"),
    warm=False,
)
CEDAR = replace(
    ALDER,
    offer_id=3,
    orchestrator="cedar",
    service_uri="https://cedar:8935",
    state=State.DOWN,
    down_until=1030.0,
    cause=OutcomeClass.TIMEOUT,
)


def outcome(cls: OutcomeClass, status: int | None = None, *, began: bool = True) -> Outcome:
    """An outcome in its usual speaker's words: with a status it is the container that speaks."""
    speaker = Speaker.TRANSPORT if status is None else Speaker.CONTAINER
    return Outcome(cls, speaker, status=status, began=began)


def attempt(
    candidate: Candidate, cls: OutcomeClass, status: int | None = None, *, began: bool = True
) -> Attempt:
    return Attempt(candidate.offer_id, candidate.orchestrator, outcome(cls, status, began=began), seconds=0.12)
