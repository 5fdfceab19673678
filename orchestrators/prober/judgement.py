"""What a finding means: the next health, claim and latency of an offer, and the words for a person.

Pure: the same rules as for live traffic, applied to one look and perhaps one sample request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from orchestrators.core import advert as adverts
from orchestrators.core import health as healths
from orchestrators.core import latency as latencies
from orchestrators.core.advert import Claim
from orchestrators.core.health import Health, Source, State
from orchestrators.core.latency import Latency
from orchestrators.core.outcome import Outcome, OutcomeClass, Speaker
from orchestrators.core.price import Price
from orchestrators.core.schedule import next_probe
from orchestrators.prober.contact import Finding
from orchestrators.upstream.base import Sighting


@dataclass(frozen=True, slots=True)
class Report:
    """One probe as the operator sees it. `latency_ms`: of the sample request, None without one."""

    orchestrator: str
    capability: str
    before: str
    after: str
    latency_ms: float | None
    price: str | None
    capacity: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """`outcome`: the sample's, or the look's where none was sent. `next_probe`: wall seconds."""

    finding: Finding
    health: Health
    latency: Latency
    claim: Claim
    price: Price | None
    model: str
    outcome: Outcome
    next_probe: float
    reason: str

    @property
    def is_news(self) -> bool:
        """A change that other processes must hear of."""
        before = self.finding.assignment.health
        return healths.is_news(before, self.health)

    @property
    def report(self) -> Report:
        assignment, seconds = self.finding.assignment, self.outcome.latency
        return Report(
            orchestrator=assignment.orchestrator,
            capability=assignment.capability,
            before=assignment.health.state.value,
            after=self.health.state.value,
            latency_ms=None if seconds is None else round(seconds * 1000, 1),
            price=None if self.price is None else str(self.price),
            capacity=self.claim.capacity,
            reason=self.reason,
        )


def judge(finding: Finding, *, interval: float, draw: Callable[[], float]) -> Judgement:
    """`draw`: numbers in [0, 1), for jitter."""
    assignment, look, sample, now = finding.assignment, finding.look, finding.sample, finding.at
    # A token says nothing about work; a container that calls itself faulty does.
    faulty = assignment.target.protocol == "direct" and look.cls is OutcomeClass.UPSTREAM_ERROR
    source = Source.PROBE if faulty and look.speaker is Speaker.CONTAINER else Source.LOOK
    health = healths.step(assignment.health, look, source=source, now=now, draw=draw())
    claim, price, model = _claimed(finding)
    latency = assignment.latency
    if sample is not None:
        latency = latencies.observe(latency, sample, now)
        sample = latencies.against_target(sample, latency, assignment.target_latency)
        health = healths.step(health, sample, source=Source.PROBE, now=now, draw=draw())
        claim = _by_work(claim, sample)
    judgement = Judgement(
        finding=finding,
        health=health,
        latency=latency,
        claim=claim,
        price=price,
        model=model,
        outcome=sample or look,
        next_probe=next_probe(health, interval=interval, now=now, draw=draw()),
        reason="",
    )
    return replace(judgement, reason="; ".join(_words(judgement))[:500])


def _claimed(finding: Finding) -> tuple[Claim, Price | None, str]:
    assignment, sighting = finding.assignment, finding.sighting
    claim, price, model = assignment.claim, assignment.price, assignment.model
    if assignment.target.protocol == "direct":
        return adverts.affirmed(claim), price, model  # claimed as configured
    if sighting is None:
        return claim, price, model
    if not finding.look.is_success:
        if _claims_nothing(finding.look):
            claim = adverts.next_claim(claim, 0, ours_in_flight=False)
        return claim, price, model
    claim = adverts.next_claim(claim, sighting.capacity, ours_in_flight=assignment.ours_in_flight)
    if is_a_quote(sighting):
        price = None if sighting.price is None else Price.parse(sighting.price)
    return claim, price, sighting.model or model


def _claims_nothing(look: Outcome) -> bool:
    """It answered, and not with what it offers: no such endpoint, or something that cannot be read. A server
    error says nothing of that, nor does a refusal that is about us."""
    cannot_be_read = look.cls is OutcomeClass.UPSTREAM_ERROR and (look.status or 500) < 500
    return look.cls is OutcomeClass.NOT_CLAIMED or cannot_be_read


def is_a_quote(sighting: Sighting) -> bool:
    """A token for an unknown capability has no capacity and price 0: that is no offer to work for free."""
    free = sighting.price is not None and Price.parse(sighting.price).wei == 0
    return not (free and not sighting.capacity)


def _by_work(claim: Claim, sample: Outcome) -> Claim:
    if sample.is_success:
        return adverts.affirmed(claim)
    return adverts.revoked(claim) if sample.cls is OutcomeClass.NOT_CLAIMED else claim


def _words(judgement: Judgement) -> Iterator[str]:
    """Sentences for the operator, the most useful first."""
    finding, health, outcome = judgement.finding, judgement.health, judgement.outcome
    assignment = finding.assignment
    if not outcome.is_success:
        yield _endpoint(finding)
    elif outcome.cold:
        yield "cold start"
    if health.reason and health.state not in (State.HEALTHY, State.UNKNOWN):
        yield health.reason
    if finding.put_off:
        yield "sample request put off: its orchestrator lets others run out of time"
    if not judgement.claim.claimed:
        yield "not claimed"
    elif finding.sighting is not None and finding.sighting.capacity == 0:
        yield "no free slot"
    elif judgement.claim.falling:
        yield f"its free slots fell to {judgement.claim.capacity} of {judgement.claim.largest}: ranked later"
    if finding.sighting is not None and assignment.target.protocol != "direct" and judgement.price is None:
        yield "bad quote: no price that could be paid"
    if assignment.model and judgement.model != assignment.model:
        yield f"implementation changed from {assignment.model!r} to {judgement.model!r}"


def _endpoint(finding: Finding) -> str:
    """R58: nobody there, and somebody there who is unwell, are two different calls to make."""
    look, sample = finding.look, finding.sample
    told = sample or look
    words = f"{told.cls}: {told.detail}" if told.detail else str(told.cls)
    if finding.sighting is None or told is look and look.cls is OutcomeClass.NOT_CLAIMED:
        return f"no endpoint: {words}"
    if sample is not None and sample.status == 404:
        return f"no endpoint at the sample request's path: {words}"
    if told.cls in (OutcomeClass.NOT_CLAIMED, OutcomeClass.REJECTED):
        return words
    if told.cls is OutcomeClass.COLD_START:
        return f"endpoint present, still loading: {words}"
    return f"endpoint present, unhealthy: {words}"
