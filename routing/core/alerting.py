"""Alerts: which rule is broken by what was read, and what becomes of the alerts that are open.

One alert is open per rule and subject, however often its cause is seen; it ends when the cause has not
been seen for a while, so that one which comes and goes is one alert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

LEAST_CALLS = 20  # below which a share of failures or a percentile says nothing
QUIET = 180.0  # seconds without its cause after which an alert is over

Jump = tuple[str, Fraction, Fraction]  # offer, price per unit before and now


class Kind(StrEnum):
    """What is watched; the comment says what a rule's threshold counts."""

    NOBODY = "nobody"  # -
    ERRORS = "errors"  # percent of the calls of the latest hours
    P95 = "p95"  # milliseconds, of the latest good calls
    SPEND = "spend"  # wei since midnight UTC
    PROBES = "probes"  # seconds since the latest probe
    PRICE = "price"  # percent more than an hour ago
    CERTIFICATE = "certificate"  # -


@dataclass(frozen=True, slots=True)
class Rule:
    """`capability`: "" for all."""

    id: int
    kind: Kind
    threshold: int = 0
    capability: str = ""


@dataclass(frozen=True, slots=True)
class Readings:
    """By capability: (eligible, offers), (failures, requests), (p95 in ms, calls), wei. `probe_age`: s."""

    eligible: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    failures: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    p95: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    spend: Mapping[str, int] = field(default_factory=dict)
    probe_age: float | None = None
    prices: tuple[Jump, ...] = ()
    certificates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that is broken. `value`: what was read, in the unit of the rule's threshold."""

    rule: int
    subject: str
    value: int = 0


@dataclass(frozen=True, slots=True)
class Open:
    """An alert. `seen_at`: when its cause was last seen, in epoch seconds."""

    id: int
    rule: int
    subject: str
    seen_at: float


@dataclass(frozen=True, slots=True)
class Steps:
    """What to do with the alerts: `begin` new ones, note that others were `seen` again, `end` some."""

    begin: tuple[Finding, ...]
    seen: tuple[tuple[int, Finding], ...]
    end: tuple[int, ...]


def judge(rules: list[Rule], readings: Readings) -> list[Finding]:
    return [
        Finding(rule.id, subject, value)
        for rule in rules
        for subject, value in _READERS[rule.kind](rule, readings)
    ]


def steps(found: list[Finding], opened: list[Open], now: float) -> Steps:
    """`now`: epoch seconds."""
    by_cause = {(each.rule, each.subject): each for each in found}
    known = {(each.rule, each.subject): each for each in opened}
    return Steps(
        begin=tuple(each for cause, each in by_cause.items() if cause not in known),
        seen=tuple((known[cause].id, each) for cause, each in by_cause.items() if cause in known),
        end=tuple(
            each.id for cause, each in known.items() if cause not in by_cause and now - each.seen_at >= QUIET
        ),
    )


# --- what each kind looks at -------------------------------------------------------------------------

Broken = Iterator[tuple[str, int]]


def _of(rule: Rule, slug: str) -> bool:
    return rule.capability in ("", slug)


def _nobody(rule: Rule, readings: Readings) -> Broken:
    """Where there are offers at all: a capability without any is being set up."""
    for slug, (eligible, offers) in readings.eligible.items():
        if _of(rule, slug) and offers and not eligible:
            yield slug, 0


def _errors(rule: Rule, readings: Readings) -> Broken:
    for slug, (failures, requests) in readings.failures.items():
        if _of(rule, slug) and requests >= LEAST_CALLS and 100 * failures > rule.threshold * requests:
            yield slug, round(Fraction(100 * failures, requests))


def _p95(rule: Rule, readings: Readings) -> Broken:
    for slug, (milliseconds, calls) in readings.p95.items():
        if _of(rule, slug) and calls >= LEAST_CALLS and milliseconds > rule.threshold:
            yield slug, milliseconds


def _spend(rule: Rule, readings: Readings) -> Broken:
    """Of all capabilities together, unless the rule names one."""
    total = sum(wei for slug, wei in readings.spend.items() if _of(rule, slug))
    if total > rule.threshold:
        yield rule.capability, total


def _probes(rule: Rule, readings: Readings) -> Broken:
    if readings.probe_age is not None and readings.probe_age > rule.threshold:
        yield "", int(readings.probe_age)


def _price(rule: Rule, readings: Readings) -> Broken:
    for offer, before, now in readings.prices:
        if before > 0 and (now - before) * 100 > before * rule.threshold:
            yield offer, int((now - before) * 100 / before)


def _certificate(rule: Rule, readings: Readings) -> Broken:
    for orchestrator in readings.certificates:
        yield orchestrator, 0


_READERS: Mapping[Kind, Callable[[Rule, Readings], Broken]] = {
    Kind.NOBODY: _nobody,
    Kind.ERRORS: _errors,
    Kind.P95: _p95,
    Kind.SPEND: _spend,
    Kind.PROBES: _probes,
    Kind.PRICE: _price,
    Kind.CERTIFICATE: _certificate,
}
