"""Capabilities -> policies: a capability's own value where it has one, else its profile's."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

from orchestrators.core.contract import Contract
from orchestrators.models import Capability
from routing.table.facts import CapabilityPolicy
from routing.table.prices import stored

log = logging.getLogger(__name__)

_OWN_OR_PROFILE = ("max_attempts", "retry_timeout", "attempt_timeout", "cold_grace", "value_of_second")
_CAPABILITY = (
    *("id", "slug", "description", "stateful", "typical_seconds", "request", "response", "sample_request"),
    *_OWN_OR_PROFILE,
    *(f"profile__{name}" for name in _OWN_OR_PROFILE),
    *("max_in_flight", "profile__max_in_flight", "profile__slug", "profile__latency_target_ms"),
    *("profile__seat_wait", "profile__fresh_for", "suggestion"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """A capability on its way into the table."""

    policy: CapabilityPolicy
    max_in_flight: int
    suggestion: str


def read() -> list[dict[str, Any]]:
    """By slug."""
    rows = Capability.objects.order_by("slug").annotate(suggestion=stored("profile__suggested_ceiling"))
    return list(rows.values(*_CAPABILITY))


def row_of(capability: Capability) -> dict[str, Any]:
    """As `read` would find it, once saved."""
    row = {name: attrgetter(name.replace("__", "."))(capability) for name in _CAPABILITY[:-1]}
    return row | {"suggestion": str(capability.profile.suggested_ceiling)}


def plans_of(rows: Iterable[dict[str, Any]]) -> list[Plan]:
    return [_plan(row) for row in rows]


def _plan(row: dict[str, Any]) -> Plan:
    target = row["profile__latency_target_ms"] / 1000
    contract = _contract(row["slug"], json.dumps(row["response"], sort_keys=True))
    policy = CapabilityPolicy(
        id=row["id"],
        slug=row["slug"],
        description=row["description"],
        profile=row["profile__slug"],
        latency_target=target,
        seat_wait=row["profile__seat_wait"],
        fresh_for=row["profile__fresh_for"],
        typical_seconds=row["typical_seconds"] or target,
        stateful=row["stateful"],
        contract=contract,
        content_types=contract.content_types,
        sample_path=_sample_path(row["sample_request"]),
        request=_declared(row["request"]),
        response=_declared(row["response"]),
        **{name: _own_or_profile(row, name) for name in _OWN_OR_PROFILE},
    )
    return Plan(policy, _own_or_profile(row, "max_in_flight"), row["suggestion"])


def _own_or_profile(row: dict[str, Any], name: str) -> Any:
    return row[f"profile__{name}"] if row[name] is None else row[name]


@lru_cache(maxsize=1024)
def _contract(slug: str, response: str) -> Contract:
    """Compiling a schema costs more than all the rest of a capability; the same text is compiled once."""
    declared = json.loads(response)
    try:
        return Contract.of(tuple(declared.get("content_types", ())), declared.get("schema"))
    except (ValueError, AttributeError, TypeError) as exc:
        log.error("capability %s: its response contract cannot be used, answers go unchecked: %s", slug, exc)
        return Contract()


def _declared(said: object) -> dict[str, Any]:
    """Shown to clients, so nothing is taken over unseen from a row that was written past all validation."""
    members = said if isinstance(said, dict) else {}
    types, schema = members.get("content_types"), members.get("schema")
    return {
        "content_types": types if isinstance(types, list) else [],
        "schema": schema if isinstance(schema, dict) else None,
    }


def _sample_path(sample: object) -> bytes | None:
    if not isinstance(sample, dict):
        return None
    return str(sample.get("path", "")).lstrip("/").encode("ascii", "replace")
