"""One batch of a segment, into the database: rows, sums and the segment's mark in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from django.db import DatabaseError, DataError, IntegrityError, connection, transaction

from routing.journal.records import record_of
from routing.journal.rows import store
from routing.journal.sample import Sample
from routing.journal.segment import SUFFIX, Segment, name_in
from routing.models import JournalMark

logger = logging.getLogger(__name__)

BATCH = 1024 * 1024

# The record is to blame, not the database: asking again will not help.
POISON = (DataError, IntegrityError, OverflowError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Drained:
    """`more`: whole lines are left. `rejected`: lines of this batch that the database will never take."""

    more: bool
    rejected: int = 0


def drain_batch(segment: Segment, sample: Sample) -> Drained:
    """Apply the next lines of a segment; rows for those the sample keeps. django.db.Error: none was applied."""
    with transaction.atomic(durable=True):
        mark = _mark(segment.name)
        # Without a mark our own memory counts: somebody may have deleted the row.
        start = segment.drained if mark is None else mark
        lines, end = segment.lines(start, BATCH)
        rejected = 0
        if end > start:
            _move_mark(segment.name, mark, end)
            rejected = _apply(segment, lines, sample)
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


# In SQL, since with few lines in a batch the ORM's work on these two would be half of it all.
_MARKS = JournalMark._meta.db_table


def _mark(file: str) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT "offset" FROM {_MARKS} WHERE file = %s', [file])
        row = cursor.fetchone()
        return None if row is None else int(row[0])


def _move_mark(file: str, mark: int | None, end: int) -> None:
    with connection.cursor() as cursor:
        if mark is None:
            cursor.execute(f'INSERT INTO {_MARKS} (file, "offset") VALUES (%s, %s)', [file, end])
            return
        cursor.execute(
            f'UPDATE {_MARKS} SET "offset" = %s WHERE file = %s AND "offset" = %s', [end, file, mark]
        )
        if not cursor.rowcount:
            raise DatabaseError(f"Somebody else moved the mark of {file}, whose lock is ours.")


def _apply(segment: Segment, lines: Sequence[bytes], sample: Sample) -> int:
    """Store all lines at once; if that cannot be, one by one, setting aside what is to blame.

    The number of those set aside.
    """
    try:
        with transaction.atomic():
            store(map(record_of, lines), sample)
        return 0
    except POISON:
        return sum(not _apply_one(segment, line) for line in lines)


def _apply_one(segment: Segment, line: bytes) -> bool:
    try:
        with transaction.atomic():
            store([record_of(line)], Sample())
        return True
    except POISON as exc:
        _set_aside(segment, line, exc)
        return False


def _set_aside(segment: Segment, line: bytes, why: Exception) -> None:
    """Before the commit: if that fails the line may stand there twice, but never not at all."""
    logger.error("journal: a line of %s is set aside: %s", segment.name, why)
    try:
        segment.reject(line)
    except OSError:
        logger.exception("journal: and could not be kept: %r", line[:1000])
