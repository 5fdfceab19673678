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
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

import msgspec
from django.db import connection
from django.db.models import Model

from orchestrators.core.outcome import OutcomeClass
from orchestrators.models.fields import exact_wei
from routing.journal.records import JobRecord
from routing.journal.sample import Sample
from routing.models import Attempt, Job, OfferDay, UsageHour

T = TypeVar("T")
Row = tuple[Any, ...]
Sums = defaultdict[tuple[int, str, str], list[int]]  # the key begins with wall seconds

AT_A_TIME = 64  # lines: under half a millisecond

_JOB = (
    *("request_id", "at", "client", "capability", "worker_path", "code", "status", "orchestrator"),
    *("attempts_made", "ms", "bytes_in", "bytes_out", "wei", "policy", "decision", "trace", "model_id"),
)
_ATTEMPT = (
    *("job_id", "number", "at", "orchestrator", "capability", "outcome", "status", "ms"),
    *("cold", "held_against", "detail"),
)
_HOUR = ("hour", "client", "capability")
_SUMS = ("requests", "failures", "milliseconds", "bytes_in", "bytes_out", "wei")
_DAY = ("day", "orchestrator", "capability")
_SPENT = ("attempts", "failures", "milliseconds", "wei")
# An attempt that ended like this was not in vain: an answer came, or nobody waited for it any more.
_ANSWERED = frozenset(
    {
        *(OutcomeClass.OK, OutcomeClass.SLOW, OutcomeClass.COLD_START),
        *(OutcomeClass.CLIENT_ERROR, OutcomeClass.CANCELLED),
    }
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
    attempts: list[Row] = []
    hours: Sums = defaultdict(lambda: [0] * len(_SUMS))
    days: Sums = defaultdict(lambda: [0] * len(_SPENT))
    for record in patiently(records):
        _count(record, hours[int(record.at) // 3600 * 3600, record.client, record.capability])
        _count_offers(record, days)
        if sample.keeps(record):
            jobs.append(_job(record, vendor))
            attempts.extend(_attempts(record, vendor))
    with connection.cursor() as cursor:
        _insert(cursor, Job, _JOB, jobs)
        _insert(cursor, Attempt, _ATTEMPT, attempts)
        cursor.executemany(_add_up(UsageHour, _HOUR, _SUMS), _totals(hours, _moment, vendor))
        cursor.executemany(_add_up(OfferDay, _DAY, _SPENT), _totals(days, _date, vendor))


def _totals(sums: Sums, when: Callable[[float, str], str], vendor: str) -> list[Row]:
    """Sorted, so that two workers cannot deadlock on the rows."""
    return [
        (when(at, vendor), *names, *amounts[:-1], exact_wei(amounts[-1], vendor))
        for (at, *names), amounts in sorted(sums.items())
    ]


def _count(record: JobRecord, sums: list[int]) -> None:
    sums[0] += 1
    sums[1] += record.status >= 500 or record.code == "broken"
    sums[2] += record.ms
    sums[3] += record.bytes_in
    sums[4] += record.bytes_out
    sums[5] += record.wei


def _count_offers(record: JobRecord, days: Sums) -> None:
    day = int(record.at) // 86400 * 86400
    for each in record.attempts:
        sums = days[day, each.orchestrator, record.capability]
        sums[0] += 1
        sums[1] += each.outcome not in _ANSWERED
        sums[2] += each.ms
    if record.wei:
        days[day, record.orchestrator, record.capability][3] += record.wei


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
        record.model_id[:_MODEL_ID] or None,
    )


def _attempts(record: JobRecord, vendor: str) -> Iterator[Row]:
    for number, each in enumerate(record.attempts, 1):
        yield (
            record.request_id,
            number,
            _moment(each.at, vendor),
            each.orchestrator,
            record.capability,
            each.outcome,
            each.status,
            each.ms,
            each.cold,
            each.held_against,
            each.detail[:_DETAIL],
        )


def _moment(at: float, vendor: str) -> str:
    """As Django writes moments: into SQLite, UTC without saying so."""
    micros = datetime.fromtimestamp(at, UTC).microsecond
    text = f"{_second(int(at))}.{micros:06d}" if micros else _second(round(at))
    return text if vendor == "sqlite" else f"{text}+00:00"


@lru_cache(maxsize=16)  # calls come one after the other
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _date(at: float, vendor: str) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _insert(cursor: Any, model: type[Model], columns: Sequence[str], rows: Sequence[Row]) -> None:
    names = ", ".join(map(connection.ops.quote_name, columns))
    table = f"{connection.ops.quote_name(model._meta.db_table)} ({names})"
    if connection.vendor == "sqlite":
        _insert_together(f"INSERT INTO {table} VALUES ", f"({', '.join('?' * len(columns))})", rows)
        return
    with connection.wrap_database_errors, cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _insert_together(insert: str, places: str, rows: Sequence[Row]) -> None:
    """Many rows a statement: between two statements the interpreter is taken from the event loop. With the
    driver's own cursor: Django's looks for places in the text anew each time, 6 us of a record."""
    with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
        for at in range(0, len(rows), AT_A_TIME):
            some = rows[at : at + AT_A_TIME]
            cursor.execute(insert + ", ".join([places] * len(some)), [*chain.from_iterable(some)])


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
