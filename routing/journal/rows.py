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
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Model

from orchestrators.core.outcome import OutcomeClass
from orchestrators.models.fields import exact_wei
from routing.journal.records import AttemptRecord, LineRecord
from routing.journal.sample import Sample
from routing.models import Attempt, Job, OfferDay, UsageHour

T = TypeVar("T")
Row = tuple[Any, ...]
Values = list[Any]  # of rows, one after the other
Sums = dict[tuple[float, str, str], list[int]]  # the key begins with wall seconds

AT_A_TIME = 32  # lines: under half a millisecond
ROWS = 64  # a statement

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

_DIGITS = [f"{number:03d}" for number in range(1000)]  # `:06d` takes four times as long, for every moment
_pause = threading.Event()


def patiently(items: Iterable[T]) -> Iterator[T]:
    """The items, with pauses in which the event loop gets the interpreter; a thread that works on without
    one keeps it for 5 ms at a time."""
    for number, item in enumerate(items, 1):
        yield item
        if not number % AT_A_TIME:
            _pause.wait(0.0001)


def store(records: Iterable[LineRecord], sample: Sample) -> None:
    """Plain inserts: a request id seen before is an error, the last guard against applying twice."""
    vendor = connection.vendor
    moments = _Moments(vendor)
    jobs: Values = []
    named: Values = []  # its client named a model, as few do: a NULL costs 0.4 us, a column left out nothing
    attempts: Values = []
    hours: Sums = defaultdict(lambda: [0] * len(_SUMS))
    days: Sums = defaultdict(lambda: [0] * len(_SPENT))
    for record in patiently(records):
        _add(record, hours, days)
        if sample.keeps(record):
            row = _job(record, moments, vendor)
            if record.model_id:
                named += (*row, record.model_id[:_MODEL_ID])
            else:
                jobs += row
            for number, each in enumerate(record.attempts, 1):
                attempts += _attempt(record, number, each, moments)
    with connection.cursor() as cursor:
        _insert(cursor, Job, _JOB, jobs)
        _insert(cursor, Job, _JOB_NAMED, named)
        _insert(cursor, Attempt, _ATTEMPT, attempts)
        cursor.executemany(_add_up(UsageHour, _HOUR, _SUMS), _totals(hours, moments.text, vendor))
        cursor.executemany(_add_up(OfferDay, _DAY, _SPENT), _totals(days, _date, vendor))


def _add(record: LineRecord, hours: Sums, days: Sums) -> None:
    """Into the sums of its hour, and of the day of each orchestrator it asked."""
    at, capability = record.at, record.capability
    sums = hours[at // 3600 * 3600, record.client, capability]
    sums[0] += 1
    if record.status >= 500 or record.code == "broken":
        sums[1] += 1
    sums[2] += record.ms
    sums[3] += record.bytes_in
    sums[4] += record.bytes_out
    sums[5] += record.wei
    day = at // 86400 * 86400
    for each in record.attempts:
        sums = days[day, each.orchestrator, capability]
        sums[0] += 1
        if each.outcome not in _ANSWERED:
            sums[1] += 1
        sums[2] += each.ms
    if record.wei:
        days[day, record.orchestrator, capability][3] += record.wei


def _totals(sums: Sums, when: Callable[[float], str], vendor: str) -> list[Row]:
    """Sorted, so that two workers cannot deadlock on the rows."""
    return [
        (when(at), *names, *amounts[:-1], exact_wei(amounts[-1], vendor))
        for (at, *names), amounts in sorted(sums.items())
    ]


def _job(record: LineRecord, moments: _Moments, vendor: str) -> Row:
    return (
        record.request_id,
        moments.text(record.at),
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
        _decision(record),
        record.trace or None,
    )


def _decision(record: LineRecord) -> str:
    text = str(record.decision, "utf-8")
    if text[0] != "{":
        raise ValueError("Its decision is no object.")
    return text


def _attempt(record: LineRecord, number: int, each: AttemptRecord, moments: _Moments) -> Row:
    return (
        record.request_id,
        number,
        moments.text(each.at),
        each.orchestrator,
        record.capability,
        each.outcome,
        each.status,
        each.ms,
        +each.cold,  # a number: for a bool sqlite3 looks for an adapter, 0.5 us
        +each.held_against,
        each.detail[:_DETAIL],
    )


class _Moments:
    """Moments as Django writes them: into SQLite, UTC without saying so. Calls come one after the other, so the
    text of the latest second is kept."""

    def __init__(self, vendor: str) -> None:
        self._zone = "" if vendor == "sqlite" else "+00:00"
        self._keep(0.0)

    def text(self, at: float) -> str:
        micros = round((at - self._second) * 1e6)
        if not 0 < micros < 1_000_000:
            self._keep(at // 1.0)
            micros = round((at - self._second) * 1e6)
            if not 0 < micros < 1_000_000:
                return _second(round(at)) + self._zone
        return f"{self._text}.{_DIGITS[micros // 1000]}{_DIGITS[micros % 1000]}{self._zone}"

    def _keep(self, second: float) -> None:
        self._second, self._text = second, _second(int(second))


@lru_cache(maxsize=16)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _insert(cursor: Any, model: type[Model], columns: Sequence[str], values: Values) -> None:
    width = len(columns)
    if connection.vendor == "sqlite":
        _insert_together(model, columns, values)
    elif values:
        with connection.wrap_database_errors, cursor.copy(f"COPY {_into(model, columns)} FROM STDIN") as copy:
            for at in range(0, len(values), width):
                copy.write_row(values[at : at + width])


def _insert_together(model: type[Model], columns: Sequence[str], values: Values) -> None:
    """Many rows a statement: between two statements the interpreter is taken from the event loop. With the
    driver's own cursor: Django's looks for places in the text anew each time, 6 us of a record. Powers of two:
    few statements, which the driver keeps prepared."""
    width = len(columns)
    with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
        at = 0
        while left := (len(values) - at) // width:
            rows = min(ROWS, 1 << left.bit_length() - 1)
            cursor.execute(_insert_of(model, columns, rows), values[at : at + rows * width])
            at += rows * width


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
