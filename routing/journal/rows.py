"""Records -> rows of Job and Attempt, and the sums of UsageHour and OfferDay.

The statements are written here, not left to the ORM: this runs beside the event loop, and building model
objects for every line would take the interpreter from it.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import cache, lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
from django.db import connection
from django.db.models import Model

from orchestrators.core.outcome import OutcomeClass
from orchestrators.models.fields import exact_wei
from routing.journal.records import AttemptRecord, JobRecord
from routing.journal.sample import Sample
from routing.models import Attempt, Job, OfferDay, UsageHour

T = TypeVar("T")
Row = tuple[Any, ...]
Calls = dict[tuple[float, str, str], list[JobRecord]]  # by hour since 1970, client, capability
Sums = dict[tuple[float, str, str], list[int]]  # the key begins with wall seconds

AT_A_TIME = 64  # lines: under half a millisecond

_JOB = (
    *("request_id", "at", "client", "capability", "worker_path", "code", "status", "orchestrator"),
    *("attempts_made", "ms", "bytes_in", "bytes_out", "wei", "policy", "decision", "trace"),
)
_JOB_NAMED = (*_JOB, "model_id")
_ATTEMPT = (
    *("job_id", "number", "at", "orchestrator", "capability", "outcome", "status", "ms"),
    *("cold", "held_against", "detail"),
)
_HOUR = ("hour", "client", "capability")
_SUMS = ("requests", "failures", "milliseconds", "bytes_in", "bytes_out", "wei")
_DAY = ("day", "orchestrator", "capability")
_SPENT = ("attempts", "failures", "milliseconds", "wei")
_MS, _BYTES_IN, _BYTES_OUT, _WEI = map(attrgetter, ("ms", "bytes_in", "bytes_out", "wei"))
# An attempt that ended like this was not in vain: an answer came, or nobody waited for it any more.
_ANSWERED = frozenset(
    each.value
    for each in (
        *(OutcomeClass.OK, OutcomeClass.SLOW, OutcomeClass.COLD_START),
        *(OutcomeClass.CLIENT_ERROR, OutcomeClass.CANCELLED),
    )
)
# Texts that others write; all other columns of text hold names and words of ours.
_PATH = Job._meta.get_field("worker_path").max_length
_MODEL_ID = Job._meta.get_field("model_id").max_length
_DETAIL = Attempt._meta.get_field("detail").max_length

_encode = msgspec.json.Encoder().encode
_pause = threading.Event()


def patiently(items: Iterable[T]) -> Iterator[T]:
    """The items, with pauses in which the event loop gets the interpreter; a thread that works on without
    one keeps it for 5 ms at a time."""
    for number, item in enumerate(items, 1):
        yield item
        if not number % AT_A_TIME:
            _pause.wait(0.0001)


def store(records: Iterable[JobRecord], sample: Sample) -> None:
    """Plain inserts: a request id seen before is an error, the last guard against applying twice."""
    vendor = connection.vendor
    jobs: list[Row] = []
    named: list[Row] = []  # its client named a model, as few do: a NULL costs 0.4 us, a column left out nothing
    attempts: list[Row] = []
    calls: Calls = defaultdict(list)
    for record in patiently(records):
        calls[record.at // 3600, record.client, record.capability].append(record)
        if sample.keeps(record):
            row = _job(record, vendor)
            if record.model_id:
                named.append((*row, record.model_id[:_MODEL_ID]))
            else:
                jobs.append(row)
            for number, each in enumerate(record.attempts, 1):
                attempts.append(_attempt(record, number, each, vendor))
    hours, days = _totals(_hours(calls), _moment, vendor), _totals(_days(calls), _date, vendor)
    with connection.cursor() as cursor:
        _insert(cursor, Job, _JOB, jobs)
        _insert(cursor, Job, _JOB_NAMED, named)
        _insert(cursor, Attempt, _ATTEMPT, attempts)
        cursor.executemany(_add_up(UsageHour, _HOUR, _SUMS), hours)
        cursor.executemany(_add_up(OfferDay, _DAY, _SPENT), days)


def _hours(calls: Calls) -> Sums:
    return {
        (hour * 3600, client, capability): [
            len(some),
            sum(1 for each in some if each.status >= 500 or each.code == "broken"),
            *(sum(map(amount, some)) for amount in (_MS, _BYTES_IN, _BYTES_OUT, _WEI)),
        ]
        for (hour, client, capability), some in calls.items()
    }


def _days(calls: Calls) -> Sums:
    days: Sums = defaultdict(lambda: [0] * len(_SPENT))
    for (hour, _, capability), some in calls.items():
        day = hour // 24 * 86400
        asked: dict[str, list[AttemptRecord]] = defaultdict(list)
        spent: dict[str, int] = defaultdict(int)
        for record in patiently(some):
            for each in record.attempts:
                asked[each.orchestrator].append(each)
            if record.wei:
                spent[record.orchestrator] += record.wei
        for orchestrator, attempts in asked.items():
            sums = days[day, orchestrator, capability]
            sums[0] += len(attempts)
            sums[1] += sum(1 for each in attempts if each.outcome not in _ANSWERED)
            sums[2] += sum(map(_MS, attempts))
        for orchestrator, wei in spent.items():
            days[day, orchestrator, capability][3] += wei
    return days


def _totals(sums: Sums, when: Callable[[float, str], str], vendor: str) -> list[Row]:
    """Sorted, so that two workers cannot deadlock on the rows."""
    return [
        (when(at, vendor), *names, *amounts[:-1], exact_wei(amounts[-1], vendor))
        for (at, *names), amounts in sorted(sums.items())
    ]


def _job(record: JobRecord, vendor: str) -> Row:
    return (
        record.request_id,
        _moment(record.at, vendor),
        record.client,
        record.capability,
        record.worker_path[:_PATH],
        record.code,
        record.status,
        record.orchestrator,
        len(record.attempts),
        record.ms,
        record.bytes_in,
        record.bytes_out,
        exact_wei(record.wei, vendor),
        record.policy,
        _encode(record.decision).decode() if record.decision else "{}",
        record.trace or None,
    )


def _attempt(record: JobRecord, number: int, each: AttemptRecord, vendor: str) -> Row:
    return (
        record.request_id,
        number,
        _moment(each.at, vendor),
        each.orchestrator,
        record.capability,
        each.outcome,
        each.status,
        each.ms,
        +each.cold,  # a number: for a bool sqlite3 looks for an adapter, 0.5 us
        +each.held_against,
        each.detail[:_DETAIL],
    )


def _moment(at: float, vendor: str) -> str:
    """As Django writes moments: into SQLite, UTC without saying so."""
    second = int(at)
    micros = round((at - second) * 1e6)
    digits = str(1_000_000 + micros)[1:]  # in half the time that `:06d` takes
    text = f"{_second(second)}.{digits}" if 0 < micros < 1_000_000 else _second(round(at))
    return text if vendor == "sqlite" else f"{text}+00:00"


@lru_cache(maxsize=16)  # calls come one after the other
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _date(at: float, vendor: str) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _insert(cursor: Any, model: type[Model], columns: Sequence[str], rows: Sequence[Row]) -> None:
    if connection.vendor == "sqlite":
        _insert_together(model, columns, rows)
    elif rows:
        with connection.wrap_database_errors, cursor.copy(f"COPY {_into(model, columns)} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def _insert_together(model: type[Model], columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Many rows a statement: between two statements the interpreter is taken from the event loop. With the
    driver's own cursor: Django's looks for places in the text anew each time, 6 us of a record. Powers of two:
    few statements, which the driver keeps prepared."""
    with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
        at = 0
        while left := len(rows) - at:
            number = min(AT_A_TIME, 1 << left.bit_length() - 1)
            values = [*chain.from_iterable(rows[at : at + number])]
            cursor.execute(_insert_of(model, columns, number), values)
            at += number


@cache
def _insert_of(model: type[Model], columns: Sequence[str], rows: int) -> str:
    places = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {_into(model, columns)} VALUES {', '.join([places] * rows)}"


def _into(model: type[Model], columns: Sequence[str]) -> str:
    quote = connection.ops.quote_name
    return f"{quote(model._meta.db_table)} ({', '.join(map(quote, columns))})"


@cache
def _add_up(model: type[Model], key: Sequence[str], sums: Sequence[str]) -> str:
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    plus = {column: f"{table}.{quote(column)} + excluded.{quote(column)}" for column in sums}
    if connection.vendor == "sqlite":
        plus["wei"] = f"wei_sum({table}.wei, excluded.wei)"
    columns = (*key, *sums)
    return (
        f"INSERT INTO {table} ({', '.join(map(quote, columns))}) VALUES ({_places(columns)}) "
        f"ON CONFLICT ({', '.join(map(quote, key))}) "
        f"DO UPDATE SET {', '.join(f'{quote(column)} = {term}' for column, term in plus.items())}"
    )


def _places(columns: Sequence[str]) -> str:
    return ", ".join(["%s"] * len(columns))
