"""The log of calls, a page at a time: newest first, each searched so far back (models/reach.py), never counted.

A page begins where another ended (keyset): at a moment and a request id, not at a number. So page ten
thousand costs what the first does, and calls that come meanwhile move nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from orchestrators.models import reach
from routing.core.refusal import STATUS
from routing.models import Job

PAGE = 50
FAILED = "failed"  # beside the codes: any of those for which the gateway or its orchestrators are to blame
FAILURES = ("broken", *(code.value for code, status in STATUS.items() if status >= 500))
CODES = ("ok", "client_error", "cancelled", "broken", *(code.value for code in STATUS))
_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class BadQuestion(ValueError):
    """Names the parameter and the remedy."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the log is asked for; "" is anything. `before`, `after`: the end of another page (see `place`).

    `since`, `until`: UTC, as people and links write them.
    """

    code: str = ""
    capability: str = ""
    client: str = ""
    orchestrator: str = ""
    since: str = ""
    until: str = ""
    before: str = ""
    after: str = ""

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> Asked:
        """Without what no database looks for (NUL)."""
        given = {each.name: parameters.get(each.name, "") for each in fields(cls)}
        return cls(**{name: text[:80].replace("\0", "").strip() for name, text in given.items()})

    @property
    def upwards(self) -> bool:
        return bool(self.after) and not self.before

    @property
    def names(self) -> dict[str, str]:
        """Of the filters by name, those that are set."""
        told = {name: getattr(self, name) for name in ("code", "capability", "client", "orchestrator")}
        return {name: value for name, value in told.items() if value}

    @property
    def filters(self) -> dict[str, str]:
        """Everything but the place in the log."""
        span = {"since": self.since, "until": self.until}
        return self.names | {name: value for name, value in span.items() if value}


@dataclass(frozen=True, slots=True)
class Page:
    """`older`, `newer`: where the neighbouring pages begin, "" where there is none.

    `searched`: as far as this moment, where that is not to the end; the next page goes on from there.
    """

    jobs: list[Job]
    older: str = ""
    newer: str = ""
    searched: datetime | None = None


def page(asked: Asked) -> Page:
    """At most two queries. Raises BadQuestion, django.db.Error."""
    span = _span(asked)
    end = reach.end_of(span) if asked.names else None
    found = list(_wanted(span, asked, end)[: PAGE + 1])
    jobs, more = found[:PAGE], len(found) > PAGE
    came_from = asked.before or asked.after
    back = place(jobs[0]) if came_from and jobs else came_from
    on = place(jobs[-1]) if more else "" if end is None else _beyond(end, asked)
    searched = None if more else end
    if asked.upwards:
        return Page(jobs[::-1], older=back, newer=on, searched=searched)
    return Page(jobs, older=on, newer=back, searched=searched)


def place(job: Job) -> str:
    """Where a page ends: "<microseconds>-<request id>"."""
    return f"{_microseconds(job.at)}-{job.pk}"


def _beyond(end: datetime, asked: Asked) -> str:
    """Where all calls of that moment have been seen; every request id comes after the empty one."""
    return f"{_microseconds(end) + asked.upwards}-"


def _microseconds(at: datetime) -> int:
    return (at - _ZERO) // _MICROSECOND


def moment(name: str, text: str) -> datetime:
    """Of a date or a moment in UTC. Raises BadQuestion."""
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadQuestion(f"{name}: {text[:40]!r} is no date or time, such as 2026-11-25T12:00.") from None


def _span(asked: Asked) -> QuerySet[Job]:
    """In the order of reading, from the moment at which the other page ended. By `at` alone: no row is read."""
    rows = Job.objects.order_by("at" if asked.upwards else "-at")
    if asked.since:
        rows = rows.filter(at__gte=moment("since", asked.since))
    if asked.until:
        rows = rows.filter(at__lt=moment("until", asked.until))
    if asked.upwards:
        return rows.filter(at__gte=_place_of("after", asked.after)[0])
    return rows.filter(at__lte=_place_of("before", asked.before)[0]) if asked.before else rows


def _wanted(span: QuerySet[Job], asked: Asked, end: datetime | None) -> QuerySet[Job]:
    """What was asked for of those until that moment, without what the other page showed of the first one."""
    rows = span.defer("decision").filter(**_names(asked))
    if asked.upwards:
        at, key = _place_of("after", asked.after)
        rows = rows.filter(Q(at__gt=at) | Q(pk__gt=key)).order_by("at", "pk")
        return rows if end is None else rows.filter(at__lte=end)
    if asked.before:
        at, key = _place_of("before", asked.before)
        rows = rows.filter(Q(at__lt=at) | Q(pk__lt=key))
    rows = rows.order_by("-at", "-pk")
    return rows if end is None else rows.filter(at__gte=end)


def _names(asked: Asked) -> dict[str, Any]:
    if asked.code != FAILED:
        return asked.names
    return {name: value for name, value in asked.names.items() if name != "code"} | {"code__in": FAILURES}


def _place_of(name: str, text: str) -> tuple[datetime, str]:
    number, dash, key = text.partition("-")
    if not (dash and number.isascii() and number.isdecimal() and len(number) <= 17):
        raise BadQuestion(f"{name}: {text[:40]!r} is no place in the log; begin at its first page.")
    return _ZERO + int(number) * _MICROSECOND, key
