"""What clients used: the exact sums of UsageHour, by hour, day or month, for those who may ask.

Times are UTC. A span may hold a year of days or a month of hours: what is summed here was summed by the
hour before, so a year of one client's calls to twenty capabilities is at most 175,200 rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from routing.models import UsageHour

SUMS = ("requests", "failures", "milliseconds", "bytes_in", "bytes_out", "wei")
COLUMNS = ("from", "client", "capability", "requests", "failures", "seconds", "bytes_in", "bytes_out", "wei")
_STEPS = {"hour": "%Y-%m-%dT%H:00:00Z", "day": "%Y-%m-%d", "month": "%Y-%m"}
_LONGEST = {"hour": timedelta(days=31), "day": timedelta(days=366), "month": timedelta(days=3 * 366)}


class BadSpan(ValueError):
    """Names the parameter and the remedy."""


@dataclass(frozen=True, slots=True)
class Span:
    """From `since` until before `until`, told by `step`: hour, day or month."""

    since: datetime
    until: datetime
    step: str

    @classmethod
    def read(cls, parameters: Mapping[str, str], now: datetime) -> Span:
        """`since`, `until`: ISO 8601; `by`: a step. Omitted: this month until now, by day."""
        step = parameters.get("by") or "day"
        if step not in _STEPS:
            raise BadSpan(f"by: {step[:20]!r} is none of {', '.join(_STEPS)}.")
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        since = _moment("since", parameters, month)
        until = _moment("until", parameters, now)
        if not since < until:
            raise BadSpan("until: must be later than since.")
        if until - since > _LONGEST[step]:
            raise BadSpan(f"since: at most {_LONGEST[step].days} days can be told by {step}.")
        return cls(since, until, step)


def read(span: Span, client: str | None = None) -> list[dict[str, Any]]:
    """A row for each step, client and capability, in this order. Raises django.db.Error."""
    rows = UsageHour.objects.filter(hour__gte=span.since, hour__lt=span.until)
    if client is not None:
        rows = rows.filter(client=client)
    form = _STEPS[span.step]
    sums: defaultdict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0] * len(SUMS))
    for hour, owner, capability, *amounts in rows.values_list("hour", "client", "capability", *SUMS).iterator():
        key = (hour.astimezone(UTC).strftime(form), owner, capability)
        sums[key] = [total + amount for total, amount in zip(sums[key], amounts, strict=True)]
    return [_row(*key, *amounts) for key, amounts in sorted(sums.items())]


def document(span: Span, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """`wei` as text, since it may be more than a JSON number holds."""
    return {
        "since": span.since.isoformat(),
        "until": span.until.isoformat(),
        "by": span.step,
        "usage": rows,
        "total": total(rows),
    }


def total(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All rows added up, in the same words."""
    added = {
        name: sum(int(row[name]) for row in rows) for name in ("requests", "failures", "bytes_in", "bytes_out")
    }
    seconds = round(sum(row["seconds"] for row in rows), 3)
    return added | {"seconds": seconds, "wei": str(sum(int(row["wei"]) for row in rows))}


def _row(begins: str, client: str, capability: str, *amounts: int) -> dict[str, Any]:
    requests, failures, milliseconds, bytes_in, bytes_out, wei = amounts
    values = (requests, failures, milliseconds / 1000, bytes_in, bytes_out, str(wei))
    return dict(zip(COLUMNS, (begins, client, capability, *values), strict=True))


def _moment(name: str, parameters: Mapping[str, str], default: datetime) -> datetime:
    text = parameters.get(name)
    if not text:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadSpan(f"{name}: {text[:40]!r} is no ISO 8601 date or time, such as 2026-11-25.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
