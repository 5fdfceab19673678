"""Runs of calls -> rows of Job and Attempt, and the sums of UsageHour and OfferDay.

The statements are written here, not left to the ORM: this runs beside the event loop, and building model
objects for every line would take the interpreter from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Model

from orchestrators.core.outcome import OutcomeClass
from orchestrators.models.fields import exact_wei
from routing.journal.runs import ATTEMPT, ATTEMPT_ALIKE, JOB, JOB_ALIKE, Moments, Row, Run, Values, runs_of
from routing.journal.sample import Sample
from routing.models import Attempt, Job, OfferDay, UsageHour

Sums = dict[tuple[float, str, str], list[int]]  # the key begins with wall seconds
Alike = tuple[Row, Values]  # what rows have in common, and what is their own

ROWS = 128  # a statement
FEW = 16  # rows that are not worth a statement of their own

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


def store(lines: Sequence[bytes], sample: Sample) -> None:
    """Plain inserts: a request id seen before is an error, the last guard against applying twice."""
    vendor = connection.vendor
    moments = Moments(vendor)
    runs = runs_of(lines, sample, moments)
    hours: Sums = defaultdict(lambda: [0] * len(_SUMS))
    days: Sums = defaultdict(lambda: [0] * len(_SPENT))
    for run in runs:
        _add(run, hours, days)
    kept = [run for run in runs if run.kept]
    # The driver's own cursor: Django's looks for places in the text anew each time.
    with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
        _insert(cursor, Job, JOB_ALIKE, JOB, [(_job(run), _exact(run.jobs, vendor)) for run in kept])
        _insert(cursor, Attempt, ATTEMPT_ALIKE, ATTEMPT, [each for run in kept for each in _attempts(run)])
        cursor.executemany(_add_up(UsageHour, _HOUR, _SUMS), _totals(hours, moments.text, vendor))
        cursor.executemany(_add_up(OfferDay, _DAY, _SPENT), _totals(days, _date, vendor))


def _add(run: Run, hours: Sums, days: Sums) -> None:
    """Into the sums of its hour, and of the day of each orchestrator it asked."""
    client, capability, _, code, status, _, _ = run.alike
    day = run.hour // 24 * 86400
    sums = hours[run.hour * 3600, client, capability]
    failed = status >= 500 or code == "broken"
    jobs, attempts, width = run.jobs, run.attempts, len(ATTEMPT)
    for at in range(0, len(jobs), len(JOB)):
        _, _, served_by, ms, bytes_in, bytes_out, wei, _, _ = jobs[at : at + len(JOB)]
        sums[0] += 1
        sums[1] += failed
        sums[2] += ms
        sums[3] += bytes_in
        sums[4] += bytes_out
        if wei:
            sums[5] += wei
            days[day, served_by, capability][3] += wei
    for place, (outcome, *_) in enumerate(run.tried):
        in_vain = outcome not in _ANSWERED
        for at in range(place * width, len(attempts), len(run.tried) * width):
            spent = days[day, attempts[at + 2], capability]
            spent[0] += 1
            spent[1] += in_vain
            spent[2] += attempts[at + 3]


def _totals(sums: Sums, when: Callable[[float], str], vendor: str) -> list[Row]:
    """Sorted, so that two workers cannot deadlock on the rows."""
    return [
        (when(at), *names, *amounts[:-1], exact_wei(amounts[-1], vendor))
        for (at, *names), amounts in sorted(sums.items())
    ]


def _job(run: Run) -> Row:
    client, capability, path, code, status, policy, model_id = run.alike
    named = model_id[:_MODEL_ID] or None
    return client, capability, path[:_PATH], code, status, policy, named, len(run.tried)


def _exact(jobs: Values, vendor: str) -> Values:
    for at in range(JOB.index("wei"), len(jobs), len(JOB)):
        if jobs[at] >= 2**63:
            jobs[at] = exact_wei(jobs[at], vendor)
    return jobs


def _attempts(run: Run) -> Iterator[Alike]:
    capability, width, tried = run.alike[1], len(ATTEMPT), run.tried
    alike = [
        # Numbers: for a bool sqlite3 looks for an adapter.
        (number, outcome, status, +cold, +held_against, detail[:_DETAIL], capability)
        for number, (outcome, status, cold, held_against, detail) in enumerate(tried, 1)
    ]
    if len(alike) == 1:
        yield alike[0], run.attempts
        return
    for row in range(len(run.attempts) // width):
        yield alike[row % len(alike)], run.attempts[row * width : (row + 1) * width]


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _insert(
    cursor: Any, model: type[Model], alike: Sequence[str], own: Sequence[str], runs: Sequence[Alike]
) -> None:
    if connection.vendor == "sqlite":
        _insert_together(cursor, model, alike, own, runs)
    elif runs:
        width = len(own)
        with cursor.copy(f"COPY {_into(model, (*alike, *own))} FROM STDIN") as copy:
            for shared, values in runs:
                for at in range(0, len(values), width):
                    copy.write_row((*shared, *values[at : at + width]))


def _insert_together(
    cursor: Any, model: type[Model], alike: Sequence[str], own: Sequence[str], runs: Sequence[Alike]
) -> None:
    """Many rows a statement: between two statements the interpreter is taken from the event loop. In the order
    of time, or pages of the indexes would be left half empty."""
    width, columns = len(own), (*alike, *own)
    loose: Values = []
    for shared, values in runs:
        done = 0
        if len(values) >= FEW * width:
            _execute(cursor, model, (), columns, (), loose, 1)
            loose = []
            done = _execute(cursor, model, alike, own, shared, values, FEW)
        for at in range(done, len(values), width):
            loose += (*shared, *values[at : at + width])
    _execute(cursor, model, (), columns, (), loose, 1)


def _execute(
    cursor: Any,
    model: type[Model],
    alike: Sequence[str],
    own: Sequence[str],
    shared: Row,
    values: Values,
    few: int,
) -> int:
    """Insert them but for fewer than `few` rows; where those begin. Powers of two: few statements, which the
    driver keeps prepared."""
    width, at = len(own), 0
    while (left := (len(values) - at) // width) >= few:
        rows = min(ROWS, 1 << left.bit_length() - 1)
        cursor.execute(_insert_of(model, alike, own, rows), [*shared, *values[at : at + rows * width]])
        at += rows * width
    return at


@cache
def _insert_of(model: type[Model], alike: Sequence[str], own: Sequence[str], rows: int) -> str:
    shared = [f"?{number}" for number in range(1, len(alike) + 1)]
    places = f"({', '.join([*shared, *'?' * len(own)])})"
    return f"INSERT INTO {_into(model, (*alike, *own))} VALUES {', '.join([places] * rows)}"


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
    return ", ".join(["?" if connection.vendor == "sqlite" else "%s"] * len(columns))
