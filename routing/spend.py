"""What was spent, and by whom: the exact sums of UsageHour and OfferDay over a span of days (UTC)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import QuerySet, Sum

from orchestrators.models.fields import WeiSum
from routing.models import OfferDay, UsageHour

LONGEST = 92  # days
HOURLY = 2  # days; longer spans are told by day
DAY = timedelta(days=1)
BREAKDOWNS = ("time", "capability", "client", "orchestrator")
COLUMNS = ("name", "calls", "failures", "seconds", "wei")


class BadSpan(ValueError):
    """Names the parameter and the remedy."""


@dataclass(frozen=True, slots=True)
class Span:
    """`first` to `last`, both included; of one capability or client, where it is named."""

    first: date
    last: date
    capability: str = ""
    client: str = ""

    @classmethod
    def read(cls, parameters: Mapping[str, str], today: date) -> Span:
        """`from`, `to`: ISO dates. Omitted: the latest seven days. Raises BadSpan."""
        last = _date("to", parameters, today)
        first = _date("from", parameters, last - 6 * DAY)
        if first > last:
            raise BadSpan("to: must not be before from.")
        if (last - first).days >= LONGEST:
            raise BadSpan(f"from: at most {LONGEST} days are told at once; /api/usage.csv tells a year by day.")
        names = {name: parameters.get(name, "")[:63].replace("\0", "") for name in ("capability", "client")}
        return cls(first, last, **names)

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def begins(self) -> datetime:
        return datetime.combine(self.first, time(), UTC)

    @property
    def ends(self) -> datetime:
        """The first moment after it."""
        return datetime.combine(self.last + DAY, time(), UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """`calls`: of an orchestrator its attempts. `failures`: of these the ones that came to nothing.
    `begins`: of a row of time."""

    name: str
    calls: int
    failures: int
    milliseconds: int
    wei: int
    begins: datetime | None = None


def breakdown(of: str, span: Span) -> list[Row]:
    """By one of BREAKDOWNS; one query. The dearest first; times in order, none left out."""
    if of == "time":
        return _by_time(span)
    source = _days(span) if of == "orchestrator" else _hours(span)
    calls = "attempts" if of == "orchestrator" else "requests"
    rows = [Row(name, *sums) for name, *sums in _summed(source, of, calls)]
    return sorted((row for row in rows if row.name), key=lambda row: (-row.wei, -row.calls, row.name))


def total(rows: list[Row]) -> Row:
    added = (sum(getattr(row, name) for row in rows) for name in ("calls", "failures", "milliseconds", "wei"))
    return Row("", *added)


def _by_time(span: Span) -> list[Row]:
    hourly = span.days <= HOURLY
    step = timedelta(hours=1) if hourly else DAY
    places = [[0, 0, 0, 0] for _ in range((span.ends - span.begins) // step)]
    for hour, *sums in _summed(_hours(span), "hour", "requests"):
        place = places[(hour - span.begins) // step]
        place[:] = [old + more for old, more in zip(place, sums, strict=True)]
    moments = (span.begins + number * step for number in range(len(places)))
    form = "%Y-%m-%d %H:00" if hourly else "%Y-%m-%d"
    return [Row(f"{at:{form}}", *_four(sums), begins=at) for at, sums in zip(moments, places, strict=True)]


def _four(sums: list[int]) -> tuple[int, int, int, int]:
    calls, failures, milliseconds, wei = sums
    return calls, failures, milliseconds, wei


def _summed(source: QuerySet[Any], key: str, calls: str) -> QuerySet[Any, tuple[Any, ...]]:
    sums = (Sum(calls), Sum("failures"), Sum("milliseconds"), WeiSum("wei"))
    rows: QuerySet[Any, tuple[Any, ...]] = source.order_by().values_list(key).annotate(*sums)
    return rows


def _hours(span: Span) -> QuerySet[UsageHour]:
    rows = UsageHour.objects.filter(hour__gte=span.begins, hour__lt=span.ends)
    names = {"capability": span.capability, "client": span.client}
    return rows.filter(**{name: value for name, value in names.items() if value})


def _days(span: Span) -> QuerySet[OfferDay]:
    rows = OfferDay.objects.filter(day__gte=span.first, day__lte=span.last)
    return rows.filter(capability=span.capability) if span.capability else rows


def _date(name: str, parameters: Mapping[str, str], default: date) -> date:
    text = parameters.get(name)
    try:
        read = date.fromisoformat(text) if text else default
        read - LONGEST * DAY, read + DAY  # the calendar has ends
        return read
    except (ValueError, OverflowError):
        raise BadSpan(f"{name}: {str(text)[:40]!r} is no date such as 2026-11-25.") from None
