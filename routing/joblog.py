"""The log of calls, a page at a time: newest first, by an index whatever is asked for, and never counted.

A page begins where another ended (keyset): at a moment and a request id, not at a number. So page ten
thousand costs what the first does, and calls that come meanwhile move nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

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
    """`older`, `newer`: where the neighbouring pages begin, "" where there is none."""

    jobs: list[Job]
    older: str
    newer: str


def page(asked: Asked) -> Page:
    """At most two queries. Raises BadQuestion, django.db.Error."""
    upwards = bool(asked.after) and not asked.before
    found = _found(_rows(asked, upwards=upwards), asked)
    more = len(found) > PAGE
    jobs = found[:PAGE]
    if upwards:
        jobs.reverse()
    has_older, has_newer = (bool(jobs), more) if upwards else (more, bool(asked.before))
    return Page(
        jobs,
        older=place(jobs[-1]) if jobs and has_older else "",
        newer=place(jobs[0]) if jobs and has_newer else "",
    )


def place(job: Job) -> str:
    """Where a page ends: "<microseconds>-<request id>"."""
    return f"{(job.at - _ZERO) // _MICROSECOND}-{job.pk}"


def moment(name: str, text: str) -> datetime:
    """Of a date or a moment in UTC. Raises BadQuestion."""
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadQuestion(f"{name}: {text[:40]!r} is no date or time, such as 2026-11-25T12:00.") from None


def _rows(asked: Asked, *, upwards: bool) -> QuerySet[Job]:
    names = {name: value for name, value in asked.names.items() if value != FAILED or name != "code"}
    rows = Job.objects.filter(**names)
    if asked.since:
        rows = rows.filter(at__gte=moment("since", asked.since))
    if asked.until:
        rows = rows.filter(at__lt=moment("until", asked.until))
    if upwards:
        at, key = _place_of("after", asked.after)
        # the first condition alone is one that an index is searched by
        return rows.filter(Q(at__gte=at), Q(at__gt=at) | Q(pk__gt=key)).order_by("at", "pk")
    if asked.before:
        at, key = _place_of("before", asked.before)
        rows = rows.filter(Q(at__lte=at), Q(at__lt=at) | Q(pk__lt=key))
    return rows.order_by("-at", "-pk")


def _place_of(name: str, text: str) -> tuple[datetime, str]:
    number, dash, key = text.partition("-")
    if not (dash and number.isascii() and number.isdecimal() and len(number) <= 17):
        raise BadQuestion(f"{name}: {text[:40]!r} is no place in the log; begin at its first page.")
    return _ZERO + int(number) * _MICROSECOND, key


def _found(rows: QuerySet[Job], asked: Asked) -> list[Job]:
    if asked.code != FAILED:
        return list(rows.defer("decision")[: PAGE + 1])
    downwards = str(rows.query.order_by[0]).startswith("-")
    places = sorted(_first_of_each(rows), reverse=downwards)[: PAGE + 1]
    # Sorted here: PostgreSQL, asked for an order too, reads all jobs in it until it has met every key.
    found = Job.objects.filter(pk__in=[key for _, key in places]).order_by().defer("decision")
    return sorted(found, key=lambda job: (job.at, job.pk), reverse=downwards)


def _first_of_each(rows: QuerySet[Job]) -> list[tuple[Any, str]]:
    """A page of every code of failure, by the index of codes: (the database's word for the moment, key). One
    query that asked for them all would sort every failure there is, or read past every success."""
    parts: list[str] = []
    values: list[Any] = []
    for code in FAILURES:
        sql, given = rows.filter(code=code).values_list("at", "pk")[: PAGE + 1].query.sql_with_params()
        parts.append(f"SELECT * FROM ({sql}) AS of_{code}")
        values += given
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), values)
        return list(cursor.fetchall())
