"""One leased offer as plain values: all that its probe needs, read at one moment."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from math import inf
from typing import Any

from orchestrators.core import latency as latencies
from orchestrators.core.advert import Claim
from orchestrators.core.classify import Setting
from orchestrators.core.clocks import has_come
from orchestrators.core.contract import Contract
from orchestrators.core.health import Health, State
from orchestrators.core.latency import Latency
from orchestrators.core.price import Price
from orchestrators.core.signature import Signature
from orchestrators.models import Capability, Offer
from orchestrators.upstream.base import Target

# A call of a gateway this long ago may still hold the slots that a token does not show.
CALLED_LATELY = 5.0
# A lease is two minutes: no probe may outlast it.
LONGEST_SAMPLE = 90.0
# The row keeps a mean and no count: it stands for a usual series.
SERIES = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """`timeout`: seconds for the whole of it."""

    worker_path: bytes
    content_type: str
    body: bytes
    timeout: float


@dataclass(frozen=True, slots=True)
class Assignment:
    """`lease`: the mark of our writes. `health`, `epoch`: the row we build on. `sample`: None if not due.
    `target_latency`: seconds, of its profile. `price`: what people decided (direct) or what it last quoted.
    `seen`: the latest fingerprint on record, "" for none.
    """

    offer_id: int
    orchestrator_id: int
    orchestrator: str
    capability: str
    lease: datetime
    target: Target
    setting: Setting
    health: Health
    epoch: int
    latency: Latency
    target_latency: float
    claim: Claim
    price: Price | None
    model: str
    ours_in_flight: bool
    sample: Sample | None
    seen: str
    seen_at: datetime | None


def load(offer_ids: Iterable[int]) -> list[Offer]:
    """The offers with all that `assign` reads, in one query."""
    related = ("orchestrator__certificate", "capability__profile", "advert", "health")
    return list(Offer.objects.select_related(*related).filter(pk__in=list(offer_ids)))


def assign(
    offer: Offer, lease: datetime, *, signatures: tuple[Signature, ...], now: float, interval: float
) -> Assignment:
    """Raises whatever a spoilt row raises: ValueError for a contract or a sample that is none."""
    capability, row, advert = offer.capability, offer.health, offer.advert
    certificate = getattr(offer.orchestrator, "certificate", None)
    health, latency = row.as_health(), _latency(offer)
    target_seconds = capability.profile.latency_target_ms / 1000
    fresh = health.last_success_at is not None and now - health.last_success_at <= capability.profile.fresh_for
    return Assignment(
        offer_id=offer.pk,
        orchestrator_id=offer.orchestrator_id,
        orchestrator=offer.orchestrator.name,
        capability=capability.slug,
        lease=lease,
        target=Target(
            service_uri=offer.orchestrator.service_uri,
            protocol=offer.orchestrator.protocol,
            wire_name=offer.name_on_wire,
            path=offer.path,
            tls=offer.orchestrator.tls,
            fingerprint=certificate.trusted if certificate else "",
        ),
        setting=Setting(
            protocol=offer.orchestrator.protocol,
            contract=_contract(json.dumps(capability.response, sort_keys=True)),
            path_known=True,
            cold_over=inf if fresh else latencies.cold_threshold(latency, target_seconds),
            signatures=signatures,
        ),
        health=health,
        epoch=row.epoch,
        latency=latency,
        target_latency=target_seconds,
        claim=Claim(
            advert.claimed, advert.capacity, advert.largest_capacity, advert.empty_streak, advert.falling
        ),
        price=offer.price if offer.orchestrator.protocol == "direct" else advert.price,
        model=advert.model,
        ours_in_flight=row.called_at is not None and now - row.called_at.timestamp() <= CALLED_LATELY,
        sample=sample_of(capability) if _is_due(offer, health, now=now, interval=interval) else None,
        seen=certificate.seen if certificate else "",
        seen_at=certificate.seen_at if certificate else None,
    )


def _is_due(offer: Offer, health: Health, *, now: float, interval: float) -> bool:
    """Samples cost money: rarely for an offer that is well, at every probe for one that is in trouble."""
    if offer.capability.sample_request is None:
        return False
    sampled_at = offer.health.sampled_at
    if sampled_at is None or health.state not in (State.HEALTHY, State.DEGRADED) or health.cause is not None:
        return True
    every = max(offer.capability.profile.fresh_for, 10 * interval)
    return has_come(sampled_at.timestamp() + every, now, every)


def sample_of(capability: Capability) -> Sample:
    """Its sample request. Raises ValueError for a body that cannot be sent."""
    sample: dict[str, Any] = capability.sample_request or {}
    content_type = sample.get("content_type", "application/json")
    timeout = capability.effective("attempt_timeout") + capability.effective("cold_grace")
    return Sample(
        worker_path=sample.get("path", "").encode("ascii"),
        content_type=content_type,
        body=_body(content_type.partition(";")[0].strip().lower(), sample.get("body", "")),
        timeout=min(timeout, LONGEST_SAMPLE),
    )


def _body(media_type: str, body: object) -> bytes:
    """JSON as it stands, text as text; anything else, such as a picture, is written as base64."""
    if media_type == "application/json" or media_type.endswith("+json"):
        return json.dumps(body).encode()
    if not isinstance(body, str):
        raise ValueError(f"The sample request's body must be a text for {media_type}.")
    if media_type.startswith("text/"):
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise ValueError(f"The sample request's body must be base64 for {media_type}: {error}.") from error


def _latency(offer: Offer) -> Latency:
    warm, cold = offer.health.warm_ms, offer.health.cold_ms
    mean = None if warm is None else warm / 1000
    return Latency(
        ewma=mean, mean=mean, samples=0 if warm is None else SERIES, cold=None if cold is None else cold / 1000
    )


@lru_cache(maxsize=512)
def _contract(response: str) -> Contract:
    """Compiling a schema takes milliseconds, and thousands of offers share a few."""
    return Capability(response=json.loads(response)).contract()
