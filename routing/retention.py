"""How long history is kept, and how it goes: by whole days on PostgreSQL, else in small batches.

    jobs, attempts   partitions that ended before the limit are dropped (routing/partitions.py)
    all the rest     and everything on SQLite: five hundred rows a transaction, so that nobody waits long

UsageHour and OfferDay are kept for ever: their rows grow with hours, clients, days and offers, not with calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from django.db import connection, transaction
from django.db.models import Model

from orchestrators.models import ConfigRevision, HealthSnapshot
from routing import partitions
from routing.models import Attempt, Chore, Job

BATCH = 500  # rows: some ten milliseconds
EVERY = timedelta(hours=1)

KINDS: Mapping[str, type[Model]] = MappingProxyType(
    {"jobs": Job, "attempts": Attempt, "snapshots": HealthSnapshot, "revisions": ConfigRevision}
)
PARTITIONED = (Job, Attempt)


def is_due(now: datetime) -> bool:
    """Whether it is up to us, of all processes, to prune this hour; days to come are made at once."""
    if not Chore.claim("prune history", now, EVERY):
        return False
    for model in PARTITIONED:
        partitions.make_days(model._meta.db_table, now)
    return True


def prune(days: Mapping[str, int], now: datetime) -> bool:
    """One step: a partition or a batch of the first kind that has too old rows. False: nothing is left."""
    return any(prune_one(kind, now - timedelta(days=kept)) is not None for kind, kept in days.items() if kept)


def prune_one(kind: str, before: datetime) -> int | None:
    """The number of rows that went, roughly if a partition did; None if nothing is older."""
    model = KINDS[kind]
    for partition in _ended(model, before):
        partitions.drop(partition)
        return partition.rows
    return _delete_batch(model, before) or None


def count(kind: str, before: datetime) -> int:
    """How many rows `prune_one` would take in all; of partitions roughly."""
    model = KINDS[kind]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {_rest(model)} WHERE {_old(model)}", [_moment(before)])
        return sum(each.rows for each in _ended(model, before)) + int(cursor.fetchone()[0])


def _ended(model: type[Model], before: datetime) -> list[partitions.Partition]:
    if model not in PARTITIONED:
        return []
    return [each for each in partitions.partitions(model._meta.db_table) if each.end and each.end <= before]


def _delete_batch(model: type[Model], before: datetime) -> int:
    table, key = _rest(model), model._meta.pk.column
    oldest = f"SELECT {key} FROM {table} WHERE {_old(model)} ORDER BY at LIMIT {BATCH}"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table} WHERE {key} IN ({oldest})", [_moment(before)])
        return int(cursor.rowcount)


def _rest(model: type[Model]) -> str:
    """The table from which rows go in batches."""
    table = model._meta.db_table
    partitioned = model in PARTITIONED and connection.vendor == "postgresql"
    return partitions.default_of(table) if partitioned else table


def _old(model: type[Model]) -> str:
    # the latest configuration is in force, however old it is
    latest = f" AND id < (SELECT MAX(id) FROM {model._meta.db_table})" if model is ConfigRevision else ""
    return f"at < %s{latest}"


def _moment(before: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(before)
