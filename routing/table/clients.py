"""Keys and networks -> clients, with this worker's share of their limits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from orchestrators.core.addresses import Network
from routing.core.limits import Rate
from routing.models import ApiKey, Client
from routing.table.facts import ClientEntry, KeyEntry
from routing.table.offers import part

_LIMITS = ("requests_per_minute", "burst", "max_in_flight", "daily_budget", "monthly_budget")


@dataclass(frozen=True, slots=True)
class Callers:
    keys: dict[str, KeyEntry]
    networks: tuple[tuple[Network, ClientEntry], ...]


def read_callers(workers: int) -> Callers:
    """Keys before clients before what these may call: one that comes in between is at worst not there yet,
    never there without its limits."""
    named = ("digest", "client_id", "expires_at", "scope", "networks")
    keys = list(ApiKey.objects.filter(revoked_at=None).values_list(*named))
    limits = tuple(f"tier__{name}" for name in _LIMITS)
    rows = list(
        Client.objects.filter(is_active=True).values_list("networks", "id", "name", "tier__slug", *limits)
    )
    allowed = defaultdict(set)
    for client_id, slug in Client.capabilities.through.objects.values_list("client_id", "capability__slug"):
        allowed[client_id].add(slug)
    clients = {row[0]: _client(row, allowed.get(row[0]), workers) for _, *row in rows}
    found = [(network, clients[row[0]]) for texts, *row in rows for network in _readable(texts)]
    return Callers(
        {
            digest: KeyEntry(
                clients[client_id],
                None if expires_at is None else expires_at.timestamp(),
                scope,
                tuple(_readable(networks)) if networks else None,
            )
            for digest, client_id, expires_at, scope, networks in keys
            if client_id in clients
        },
        tuple(sorted(found, key=lambda each: -each[0].prefixlen)),
    )


def _readable(texts: Iterable[str]) -> Iterator[Network]:
    """One that somebody wrote into the database and that cannot be read admits nobody."""
    for text in texts:
        with suppress(ValueError):
            yield ip_network(text)


def _client(row: Iterable[Any], allowed: set[str] | None, workers: int) -> ClientEntry:
    client_id, name, tier, per_minute, burst, in_flight, daily, monthly = row
    rate = None
    if per_minute:
        burst = burst or max(1, per_minute // 10)
        rate = Rate(part(per_minute, workers), part(burst, workers))
    return ClientEntry(
        id=client_id,
        name=name,
        tier=tier,
        rate=rate,
        max_in_flight=part(in_flight, workers) if in_flight else None,
        capabilities=frozenset(allowed) if allowed else None,
        daily_budget=None if daily is None else daily // workers,
        monthly_budget=None if monthly is None else monthly // workers,
    )
