"""What several sources say of one endpoint, field by field, each value with the source it comes from.

A trusted source counts before one that is not, what a source says now before what it used to say, and then
the name decides: an order that does not change with the minute in which somebody was asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from orchestrators.core.discovery.entry import Entry

_FIELDS = ("eth_address", "region", "score")


@dataclass(frozen=True, slots=True)
class Claim:
    """One source's last good word on one endpoint. `current`: it stands in the source's latest answer."""

    source: str
    trusted: bool
    current: bool
    entry: Entry


@dataclass(frozen=True, slots=True)
class Fact:
    """`others`: (value, source) of those who say something else."""

    value: object
    source: str
    others: tuple[tuple[object, str], ...] = ()


def in_order(claims: Iterable[Claim]) -> list[Claim]:
    """Who counts first."""
    return sorted(claims, key=lambda each: (not each.trusted, not each.current, each.source))


def key_of(service_uri: str) -> tuple[str, str, int]:
    """What makes two service URIs the same place. A row that holds no URL is a place of its own."""
    try:
        parts = urlsplit(service_uri)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", service_uri, 0
    return parts.scheme, (parts.hostname or "").rstrip("."), port


def merged(claims: Iterable[Claim]) -> dict[str, Fact]:
    """The facts that anybody tells, by name of field."""
    ordered = in_order(claims)
    facts = {field: _fact([(getattr(each.entry, field), each.source) for each in ordered]) for field in _FIELDS}
    return {field: fact for field, fact in facts.items() if fact is not None}


def conflicts(facts: dict[str, Fact]) -> Iterator[str]:
    for field, fact in facts.items():
        if fact.others:
            others = ", ".join(f"{value} by {source}" for value, source in fact.others)
            yield f"{field.replace('_', ' ')} {fact.value} by {fact.source} counts; {others}"


def _fact(said: list[tuple[object, str]]) -> Fact | None:
    told = [(value, source) for value, source in said if value not in (None, "")]
    if not told:
        return None
    (value, source), *rest = told
    return Fact(value, source, tuple(each for each in rest if each[0] != value))
