"""The days of Job and Attempt on PostgreSQL: each a partition of its table, made ahead, dropped whole.

A default partition takes what has no day of its own: rows that came while nobody made days, and odd moments.
A day that is made later takes over its rows from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

AHEAD = 7  # days
DAY = timedelta(days=1)

_BOUND = re.compile(r"FROM \((.+)\) TO \('(.+)'\)")


@dataclass(frozen=True, slots=True)
class Partition:
    """`start` and `end`: of its moments, the end not included; both None: the default. `rows`: roughly."""

    name: str
    start: datetime | None
    end: datetime | None
    rows: int

    def holds(self, moment: datetime) -> bool:
        return self.start is not None and self.end is not None and self.start <= moment < self.end


def partitions(table: str) -> list[Partition]:
    """Oldest first; none where the database has none."""
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, pg_get_expr(relpartbound, oid), reltuples::bigint FROM pg_class"
            " WHERE oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = %s::regclass) ORDER BY relname",
            [table],
        )
        return [Partition(name, *_bounds(bound), max(0, rows)) for name, bound, rows in cursor.fetchall()]


def default_of(table: str) -> str:
    return f"{table}_default"


def make_days(table: str, now: datetime) -> None:
    """Partitions for today and the days to come, where they are missing; nothing on other databases."""
    there = partitions(table)
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for day in (today + number * DAY for number in range(AHEAD)):
        if there and not any(each.holds(day) for each in there):
            _make(table, day)


def drop(partition: Partition) -> None:
    """django.db.OperationalError if the table is read all the time: try again later. Nothing where another
    process has dropped it since."""
    with _soon() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {partition.name}")


def _make(table: str, day: datetime) -> None:
    """Nothing where another process has made it since."""
    name, default = f"{table}_{day:%Y%m%d}", default_of(table)
    with _soon() as cursor:
        # What attaching takes anyway. One process makes days at a time; rows come and go meanwhile.
        cursor.execute(f"LOCK TABLE ONLY {table} IN SHARE UPDATE EXCLUSIVE MODE")
        if any(each.holds(day) for each in partitions(table)):
            return
        cursor.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        cursor.execute(f"LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE")
        cursor.execute(
            f"WITH moved AS (DELETE FROM {default} WHERE at >= %s AND at < %s RETURNING *)"
            f" INSERT INTO {name} SELECT * FROM moved",
            [day, day + DAY],
        )
        cursor.execute(
            f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)", [day, day + DAY]
        )


@contextmanager
def _soon() -> Iterator[CursorWrapper]:
    """A transaction that does not wait long for its locks: behind it everybody else would wait too."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '2s'")
        yield cursor


def _bounds(bound: str) -> tuple[datetime | None, datetime | None]:
    """Of `FOR VALUES FROM ('2026-03-01 00:00:00+00') TO (...)`; the first table's begins at MINVALUE."""
    found = _BOUND.search(bound)
    if not found:
        return None, None
    ever = datetime.min.replace(tzinfo=UTC)
    start = ever if found[1] == "MINVALUE" else datetime.fromisoformat(found[1].strip("'"))
    return start, datetime.fromisoformat(found[2])
