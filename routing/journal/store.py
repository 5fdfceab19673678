"""One batch of a segment, into the database: rows, sums and the segment's mark in one transaction.

The statements are written here, not left to the ORM: this runs beside the event loop, and building model
objects for every line would take the interpreter from it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import DatabaseError, DataError, IntegrityError, connection, transaction
from django.db.models import Model

from routing.journal.records import JobRecord, record_of
from routing.journal.segment import SUFFIX, Segment, name_in
from routing.models import Attempt, Job, JournalMark, UsageHour

logger = logging.getLogger(__name__)

BATCH = 1024 * 1024

# The record is to blame, not the database: asking again will not help.
POISON = (DataError, IntegrityError, OverflowError, TypeError, ValueError)

_JOB = (
    *("request_id", "at", "client", "capability", "worker_path", "code", "status", "orchestrator"),
    *("attempts_made", "ms", "bytes_in", "bytes_out", "wei", "policy", "decision"),
)
_ATTEMPT = (
    *("job_id", "number", "at", "orchestrator", "capability", "outcome", "status", "ms"),
    *("cold", "held_against", "detail"),
)
_HOUR = ("hour", "client", "capability")
_SUMS = ("requests", "failures", "milliseconds", "bytes_in", "bytes_out", "wei")


@dataclass(frozen=True, slots=True)
class Drained:
    """`more`: whole lines are left. `rejected`: lines of this batch that the database will never take."""

    more: bool
    rejected: int = 0


def drain_batch(segment: Segment) -> Drained:
    """Apply the next lines of a segment. django.db.Error: nothing of them was applied."""
    with transaction.atomic(durable=True):
        mark = JournalMark.objects.filter(file=segment.name).values_list("offset", flat=True).first()
        # Without a mark our own memory counts: somebody may have deleted the row.
        start = segment.drained if mark is None else mark
        lines, end = segment.lines(start, BATCH)
        rejected = 0
        if end > start:
            _move_mark(segment.name, mark, end)
            rejected = _apply(segment, lines)
    segment.drained = end
    return Drained(more=start < end < segment.whole, rejected=rejected)


def finish(segment: Segment) -> None:
    """Remove a drained file and its mark, in this order. Can be repeated after a django.db.Error."""
    segment.remove()
    JournalMark.objects.filter(file=segment.name).delete()


def forget(folder: Path, node: str) -> None:
    """Delete this node's marks whose files are gone: their finish was cut short.

    The marks are read before the folder: a file made in between cannot then be missed.
    """
    marks = JournalMark.objects.filter(file__startswith=f"{node}-").values_list("file", flat=True)
    own = {file for file in marks if file.rsplit("-", 2)[0] == node}
    here = list(folder.glob(f"*{SUFFIX}"))
    lost = own - {path.name for path in here}
    if lost:
        lost -= {name_in(path) for path in here}
    for file in lost:
        JournalMark.objects.filter(file=file).delete()


def _move_mark(file: str, mark: int | None, end: int) -> None:
    if mark is None:
        JournalMark.objects.create(file=file, offset=end)
    elif not JournalMark.objects.filter(file=file, offset=mark).update(offset=end):
        raise DatabaseError(f"Somebody else moved the mark of {file}, whose lock is ours.")


def _apply(segment: Segment, lines: Sequence[bytes]) -> int:
    """Store all lines at once; if that cannot be, one by one, setting aside what is to blame."""
    try:
        with transaction.atomic():
            _store([record_of(line) for line in lines])
            return 0
    except POISON:
        return sum(not _apply_one(segment, line) for line in lines)


def _apply_one(segment: Segment, line: bytes) -> bool:
    try:
        with transaction.atomic():
            _store([record_of(line)])
        return True
    except POISON as exc:
        logger.error("journal: a line of %s is set aside: %s", segment.name, exc)
    try:
        # Before the commit: if that fails the line may stand there twice, but never not at all.
        segment.reject(line)
    except OSError:
        logger.exception("journal: and could not be kept: %r", line[:1000])
    return False


def _store(records: Sequence[JobRecord]) -> None:
    """Plain inserts: a request id seen before is an error, the last guard against applying twice."""
    with connection.cursor() as cursor:
        cursor.executemany(_insert(Job, _JOB), [_job(record) for record in records])
        attempts = [row for record in records for row in _attempts(record)]
        if attempts:
            cursor.executemany(_insert(Attempt, _ATTEMPT), attempts)
        cursor.executemany(_add_up(), _usage(records))


def _job(record: JobRecord) -> tuple[Any, ...]:
    return (
        *(record.request_id, _time(record.at), record.client, record.capability, record.worker_path),
        *(record.code, record.status, record.orchestrator, len(record.attempts), record.ms),
        *(record.bytes_in, record.bytes_out, str(record.wei), record.policy),
        connection.ops.adapt_json_value(record.decision, None),
    )


def _attempts(record: JobRecord) -> Iterable[tuple[Any, ...]]:
    for number, each in enumerate(record.attempts, 1):
        yield (
            *(record.request_id, number, _time(each.at), each.orchestrator, record.capability),
            *(each.outcome, each.status, each.ms, each.cold, each.held_against, each.detail),
        )


def _usage(records: Iterable[JobRecord]) -> list[tuple[Any, ...]]:
    """A row per hour, client and capability; sorted, so that two workers cannot deadlock on them."""
    sums: defaultdict[tuple[int, str, str], list[int]] = defaultdict(lambda: [0] * len(_SUMS))
    for record in records:
        failed = record.status >= 500 or record.code == "broken"
        one = (1, int(failed), record.ms, record.bytes_in, record.bytes_out, record.wei)
        key = (int(record.at // 3600) * 3600, record.client, record.capability)
        sums[key] = [total + amount for total, amount in zip(sums[key], one, strict=True)]
    return [
        (_time(hour), client, capability, *amounts, str(wei))
        for (hour, client, capability), (*amounts, wei) in sorted(sums.items())
    ]


def _time(at: float) -> Any:
    return connection.ops.adapt_datetimefield_value(datetime.fromtimestamp(at, UTC))


def _insert(model: type[Model], columns: Sequence[str]) -> str:
    quote = connection.ops.quote_name
    names = ", ".join(quote(column) for column in columns)
    places = ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {quote(model._meta.db_table)} ({names}) VALUES ({places})"


def _add_up() -> str:
    quote = connection.ops.quote_name
    table = quote(UsageHour._meta.db_table)
    sums = ", ".join(f"{quote(c)} = {table}.{quote(c)} + excluded.{quote(c)}" for c in _SUMS)
    key = ", ".join(quote(column) for column in _HOUR)
    return f"{_insert(UsageHour, (*_HOUR, *_SUMS))} ON CONFLICT ({key}) DO UPDATE SET {sums}"
