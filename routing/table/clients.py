"""Keys and networks -> clients, with this worker's share of their limits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
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
    """Rows of keys and clients, and what clients are limited to: capabilities by client."""

    keys: list[Any]
    clients: list[Any]
    limited: Mapping[int, set[int]]


def read() -> Callers:
    """Keys before clients before what these may call: one that comes in between is at worst not there yet,
    never there without its limits."""
    named = ("digest", "client_id", "expires_at", "scope", "networks")
    keys = list(ApiKey.objects.filter(revoked_at=None).values_list(*named))
    limits = tuple(f"tier__{name}" for name in _LIMITS)
    clients = Client.objects.filter(is_active=True)
    rows = list(clients.values_list("networks", "id", "name", "tier__slug", *limits))
    limited = defaultdict(set)
    for client, capability in Client.capabilities.through.objects.values_list("client_id", "capability_id"):
        limited[client].add(capability)
    return Callers(keys, rows, dict(limited))


def known_by(
    callers: Callers, slugs: Mapping[int, str], workers: int
) -> tuple[dict[str, KeyEntry], tuple[tuple[Network, ClientEntry], ...]]:
    """Clients by the digest of their keys, and by their networks. `slugs`: of the capabilities there are."""
    clients = {}
    for _, *row in callers.clients:
        limited = callers.limited.get(row[0])
        allowed = None if limited is None else frozenset(slugs[each] for each in limited if each in slugs)
        clients[row[0]] = _client(row, allowed, workers)
    found = [(network, clients[row[0]]) for texts, *row in callers.clients for network in _readable(texts)]
    keys = {
        digest: KeyEntry(
            clients[client_id],
            None if expires_at is None else expires_at.timestamp(),
            scope,
            tuple(_readable(networks)) if networks else None,
        )
        for digest, client_id, expires_at, scope, networks in callers.keys
        if client_id in clients
    }
    return keys, tuple(sorted(found, key=lambda each: -each[0].prefixlen))


def _readable(texts: Iterable[str]) -> Iterator[Network]:
    """One that somebody wrote into the database and that cannot be read admits nobody."""
    for text in texts:
        with suppress(ValueError):
            yield ip_network(text)


def _client(row: Iterable[Any], allowed: frozenset[str] | None, workers: int) -> ClientEntry:
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
        capabilities=allowed,
        daily_budget=None if daily is None else daily // workers,
        monthly_budget=None if monthly is None else monthly // workers,
    )
