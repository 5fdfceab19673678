"""What a capability is to its clients: a contract, without orchestrators and models; and its tag."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse, JsonResponse
from django.utils.http import parse_etags, quote_etag

from orchestrators.core.price import Price, Unit
from routing.candidates import view as candidates_of
from routing.core.selection import sift
from routing.table import Lane

if TYPE_CHECKING:
    from routing.api.inference import DataPlaneView

FREE = Price(0, 1, Unit.SECOND)
LONGEST_TAGS = 4000  # characters of a field of tags that are looked at: some hundred of ours


def contract(view: DataPlaneView, slug: str) -> dict[str, Any]:
    """Raises the refusals 404 and 403. Times in the units that their names say."""
    lane = view.lane(slug)
    policy = lane.policy
    return {
        "capability": slug,
        "description": policy.description,
        "profile": policy.profile,
        "available": _is_available(view, lane),
        "request": policy.request,
        "response": policy.response,
        "stateful": policy.stateful,
        "attempts": 1 if policy.stateful else policy.max_attempts,
        "timeout_seconds": policy.retry_timeout + policy.attempt_timeout + policy.cold_grace,
        "latency_target_ms": policy.latency_target * 1000,
        "typical_seconds": policy.typical_seconds,
        "max_body_bytes": view.runtime.max_body,
        "price_at_most": _price(lane),
    }


def tagged(view: DataPlaneView, document: dict[str, Any]) -> HttpResponse:
    """The document with a strong ETag; 304 for a client that has this one already (RFC 9110, 13.1.2)."""
    answer: HttpResponse = JsonResponse(document)
    etag = quote_etag(hashlib.sha256(answer.content).hexdigest()[:32])
    known = parse_etags(view.field(b"if-none-match")[:LONGEST_TAGS])
    if "*" in known or any(each.removeprefix("W/") == etag for each in known):
        answer = HttpResponse(status=304)
        del answer["content-type"]
    for name, value in (
        ("etag", etag),
        ("cache-control", "private, no-cache"),
        ("vary", "authorization"),
        ("x-request-id", view.request_id),
    ):
        answer[name] = value
    return answer


def _is_available(view: DataPlaneView, lane: Lane) -> bool:
    now = time.time()
    candidates = candidates_of(lane, view.runtime.board, policy_number=view.table.revision, now=now)
    kept, _ = sift(candidates, tried=frozenset(), include=(), exclude=(), now=now)
    return bool(kept)


def _price(lane: Lane) -> dict[str, str] | None:
    """The ceiling of this client's tier, never an orchestrator's price. None: any price."""
    ceiling = lane.ceiling if lane.ceiling_decided else FREE
    if ceiling is None:
        return None
    return {"wei": str(ceiling.wei), "units": str(ceiling.units), "unit": ceiling.unit.value}
