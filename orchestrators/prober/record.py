"""What probes found, as rows: those that came in together are one short transaction.

OfferHealth changes only where its epoch is still the one we built on. Whoever was faster knows more
than we: a lost race is no error, and the offer is looked at again at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.db import transaction

from orchestrators.core.effects import EFFECTS
from orchestrators.core.hardware import Hardware, precision_of
from orchestrators.core.reputation import Kind
from orchestrators.models import Advert, Certificate, HealthSnapshot, OfferHealth, Revision
from orchestrators.prober.judgement import Judgement, Report
from orchestrators.prober.leases import moment, settled
from orchestrators.reputation import note
from orchestrators.scoreboard import Transition, row_values

# How often to note that a certificate is still the same.
SEEN_AGAIN = timedelta(minutes=1)
# What a look without a sample request leaves alone: it tells of no work.
_OF_WORK = ("last_outcome", "last_outcome_at")


@contextmanager
def writing() -> Iterator[None]:
    """Around the records of a batch, which then cost one commit."""
    with transaction.atomic():
        # nearly every statement fires the trigger on this row: taken first, no two writers can deadlock
        Revision.objects.select_for_update().filter(pk=1).first()
        yield


def record(judgement: Judgement, source: HealthSnapshot.Source = HealthSnapshot.Source.PROBE) -> Report | None:
    """Store one judgement; None when the row is no longer ours (the lease ran out, the offer is gone)."""
    report = _record_health(judgement)
    if report is None:
        return None
    _record_certificate(judgement)
    _record_advert(judgement)
    HealthSnapshot.objects.create(source=source, **_snapshot(judgement, report))
    if EFFECTS[judgement.outcome.cls].reputation:
        finding = judgement.finding
        note([finding.assignment.offer_id], Kind.MISMATCH, judgement.outcome.detail, finding.at)
    if EFFECTS[judgement.outcome.cls].reprobe_siblings:
        _probe_siblings(judgement)
    return report


def _record_health(judgement: Judgement) -> Report | None:
    assignment = judgement.finding.assignment
    ours = OfferHealth.objects.filter(offer_id=assignment.offer_id, lease_until=assignment.lease)
    # An unchanged row keeps its epoch, so that nobody is woken to read what he knows.
    epoch = assignment.epoch + judgement.is_news
    if ours.filter(epoch=assignment.epoch).update(epoch=epoch, **_health(judgement), **_times(judgement)):
        return judgement.report
    at_once = replace(judgement, next_probe=judgement.finding.at)
    if not ours.update(**_times(at_once)):
        return None
    state = OfferHealth.objects.values_list("state", flat=True).get(offer_id=assignment.offer_id)
    return replace(
        judgement.report, after=state, reason="its state changed meanwhile; to be probed again at once"
    )


def _health(judgement: Judgement) -> dict[str, Any]:
    assignment = judgement.finding.assignment
    columns = row_values(
        Transition(
            assignment.offer_id,
            assignment.epoch,
            assignment.health.state,
            judgement.health,
            judgement.latency,
            judgement.outcome,
            judgement.finding.at,
        )
    )
    looked_only = judgement.finding.sample is None and judgement.outcome.is_success
    return {name: value for name, value in columns.items() if not (looked_only and name in _OF_WORK)}


def _times(judgement: Judgement) -> dict[str, Any]:
    finding = judgement.finding
    at = moment(finding.at)
    sampled = {} if finding.sample is None else {"sampled_at": at}
    return {"probed_at": at, **sampled, **settled(finding.assignment.lease, moment(judgement.next_probe))}


def _record_advert(judgement: Judgement) -> None:
    finding, claim = judgement.finding, judgement.claim
    direct = finding.assignment.target.protocol == "direct"
    if finding.sighting is None and not direct:
        return
    # The trigger compares: the same claim and price again wake nobody.
    Advert.objects.filter(offer_id=finding.assignment.offer_id).update(
        claimed=claim.claimed,
        price=None if direct else judgement.price,
        capacity=claim.capacity,
        largest_capacity=claim.largest,
        empty_streak=claim.empty_streak,
        falling=claim.falling,
        model=judgement.model,
        **_hardware(judgement),
        detail=finding.sighting.detail if finding.sighting else "",
        checked_at=moment(finding.at),
    )


def _hardware(judgement: Judgement) -> dict[str, Any]:
    """What was told this time; what was not stays as told last, but for another model's number format."""
    sighting, before = judgement.finding.sighting, judgement.finding.assignment.model
    seen = sighting.hardware if sighting else Hardware()
    told = {
        "gpu": seen.gpu,
        "vram_mib": seen.total,
        "vram_free_mib": seen.free,
        "precision": seen.precision or precision_of(judgement.model),
    }
    is_new = bool(before) and judgement.model != before
    return {
        name: value
        for name, value in told.items()
        if value not in ("", None) or (name == "precision" and is_new)
    }


def _record_certificate(judgement: Judgement) -> None:
    """At first sight it is trusted; from then on only people change what is."""
    finding = judgement.finding
    assignment, seen, at = finding.assignment, finding.fingerprint, moment(finding.at)
    if not seen:
        return
    if not assignment.seen:
        first = Certificate(orchestrator_id=assignment.orchestrator_id, trusted=seen, seen=seen, seen_at=at)
        Certificate.objects.bulk_create([first], ignore_conflicts=True)
    elif seen != assignment.seen or assignment.seen_at is None or at - assignment.seen_at > SEEN_AGAIN:
        Certificate.objects.filter(pk=assignment.orchestrator_id).update(seen=seen, seen_at=at)


def _probe_siblings(judgement: Judgement) -> None:
    """Out of memory evicts other models: their sample requests are due, whenever they were last sent (R64)."""
    assignment = judgement.finding.assignment
    siblings = OfferHealth.objects.filter(offer__orchestrator=assignment.orchestrator_id)
    siblings.exclude(offer_id=assignment.offer_id).update(
        next_probe_at=moment(judgement.finding.at), sampled_at=None
    )


def _snapshot(judgement: Judgement, report: Report) -> dict[str, Any]:
    finding = judgement.finding
    return {
        "offer_id": finding.assignment.offer_id,
        "at": moment(finding.at),
        "outcome": judgement.outcome.cls.value,
        "before": report.before,
        "after": report.after,
        "claimed": judgement.claim.claimed,
        "latency_ms": report.latency_ms,
        "cold": judgement.outcome.cold,
        "price": report.price or "",
        "capacity": report.capacity,
        "detail": report.reason[:500],
    }
