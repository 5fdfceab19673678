"""The bell on every door: whether anything changed, the database itself says.

Triggers move the numbers of the one Revision row in the writer's own transaction. Nothing else sees every way
of writing: `update()`, bulk, many-to-many, `loaddata`, raw SQL, a database shell. A number moves only when a
column that counts has changed, so a probe that finds what it found before moves nothing.

    policy    decided and claimed: what a routing table is built from
    health    changes of an offer's state, for the other processes' scoreboards
    decided   the configuration, down to its notes: what people decide, and nothing that machines write

Triggers and migrations do not mix: SQLite loses them when a migration remakes a table and refuses to
drop a column that one names; PostgreSQL finds out when the next row is written. So a migration takes
them off first, and puts them back, moving all numbers once, after the last one.

Above apps register their tables (`watch`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from django.apps import apps
from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_migrate, pre_migrate

from orchestrators.models import (
    Advert,
    Capability,
    Certificate,
    DiscoverySource,
    FailureSignature,
    Offer,
    OfferHealth,
    Orchestrator,
    ReputationEvent,
    Revision,
    RoutingProfile,
)

Number = Literal["policy", "health", "decided"]


@dataclass(frozen=True, slots=True)
class Watch:
    """A table, the number it moves, and the columns whose change counts."""

    table: str
    number: Number
    columns: tuple[str, ...]

    @classmethod
    def on(cls, table: str, number: Number, fields: Iterable[models.Field[Any, Any]]) -> Watch:
        return cls(table, number, tuple(str(each.column) for each in fields))


_watched: dict[tuple[str, Number], Watch] = {}


# --- what counts -----------------------------------------------------------------------------------


def watch(
    model: type[models.Model],
    *,
    number: Number = "policy",
    only: tuple[str, ...] | None = None,
    ignored: tuple[str, ...] = (),
) -> None:
    """Let a table move `number`, and its many-to-many tables with it.

    Rows that come or go always count; a changed row does for the fields of `only` (None: all) that are
    not `ignored`. Raises FieldDoesNotExist for a name the model does not have.
    """
    meta = model._meta
    named = {meta.get_field(name) for name in (*(only or ()), *ignored)}
    chosen = [
        each
        for each in meta.local_concrete_fields
        if each.primary_key or (each in named if only is not None else each not in named)
    ]
    _watched[meta.db_table, number] = Watch.on(meta.db_table, number, chosen)
    for many in meta.local_many_to_many:
        between: type[models.Model] = many.remote_field.through  # type: ignore[assignment]
        through = between._meta
        columns = through.local_concrete_fields
        _watched[through.db_table, number] = Watch.on(through.db_table, number, columns)


def watch_own_tables() -> None:
    """What the supply side has to say; and the receivers that keep triggers and migrations apart."""
    watch(RoutingProfile)
    watch(Capability)
    watch(Orchestrator, ignored=("notes",))
    watch(Certificate, only=("trusted",))
    watch(Offer)
    watch(FailureSignature, ignored=("note",))
    watch(DiscoverySource)
    watch(Advert, only=("claimed", "price", "largest_capacity", "falling", "precision"))
    watch(ReputationEvent, only=("points",))
    watch(OfferHealth, number="health", only=("state", "until", "epoch"))
    # Django sends these once per app, each time after (before) *all* migrations: one app is enough.
    sender = apps.get_app_config("orchestrators")
    pre_migrate.connect(_before_migrations, sender=sender, dispatch_uid="byocgw.triggers")
    post_migrate.connect(_after_migrations, sender=sender, dispatch_uid="byocgw.triggers")


# --- triggers --------------------------------------------------------------------------------------

_POSTGRESQL_FUNCTION = """
CREATE OR REPLACE FUNCTION byocgw_bump() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE moved boolean := true;
BEGIN
  IF TG_OP = 'INSERT' THEN
    moved := EXISTS (SELECT FROM newrows);
  ELSIF TG_OP = 'DELETE' THEN
    moved := EXISTS (SELECT FROM oldrows);
  ELSIF TG_OP = 'UPDATE' THEN
    EXECUTE format('SELECT EXISTS (SELECT %1$s FROM newrows EXCEPT SELECT %1$s FROM oldrows)', TG_ARGV[1])
      INTO moved;
  END IF;
  IF moved THEN
    EXECUTE format('UPDATE {revision} SET %1$I = %1$I + 1 WHERE id = 1', TG_ARGV[0]);
  END IF;
  RETURN NULL;
END $$"""
_POSTGRESQL_ROWS = {
    "INSERT": "REFERENCING NEW TABLE AS newrows",
    "DELETE": "REFERENCING OLD TABLE AS oldrows",
    "UPDATE": "REFERENCING OLD TABLE AS oldrows NEW TABLE AS newrows",
    "TRUNCATE": "",
}


def install_triggers(using: str = "default") -> None:
    """Make the revision row and every trigger anew, and move all numbers once. Does it twice as well.

    Does nothing while the revision table is not there as this version has it.
    """
    connection = connections[using]
    tables = connection.introspection.table_names()
    if not _has_numbers(connection, tables):
        return
    with transaction.atomic(using=using), connection.cursor() as cursor:
        Revision.objects.using(using).get_or_create(pk=1)
        remove_triggers(using)
        for statement in _creating(connection, tables):
            cursor.execute(statement)
        # a change made while they were off is caught up with
        moved = {name: models.F(name) + 1 for name in get_args(Number)}
        Revision.objects.using(using).update(**moved)


def _has_numbers(connection: BaseDatabaseWrapper, tables: Iterable[str]) -> bool:
    """Not before the first `migrate`, nor before the one that adds a number."""
    table = Revision._meta.db_table
    if table not in tables:
        return False
    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, table)
    return {each.name for each in columns} >= {*get_args(Number)}


def remove_triggers(using: str = "default") -> None:
    """Those of earlier versions too."""
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("DROP FUNCTION IF EXISTS byocgw_bump CASCADE")
            return
        for name in _present(connection):
            cursor.execute(f"DROP TRIGGER {connection.ops.quote_name(name)}")


def missing_triggers(using: str = "default") -> list[str]:
    """What should be there and is not, such as "DELETE on orchestrators_offer"; [] before `migrate`.

    Raises django.db.Error when the database does not answer.
    """
    connection = connections[using]
    tables = set(connection.introspection.table_names())
    if Revision._meta.db_table not in tables:
        return []
    found = _present(connection)
    missing = [
        f"{event} on {watched.table}, for {watched.number}"
        for watched in _those_of(tables)
        for event in _events(connection)
        if _name(watched, event) not in found
    ]
    if not Revision.objects.using(using).filter(pk=1).exists():
        missing.append(f"row 1 of {Revision._meta.db_table}")
    return missing if missing and _has_numbers(connection, tables) else []


def _events(connection: BaseDatabaseWrapper) -> list[str]:
    """SQLite has no TRUNCATE."""
    return [event for event in _POSTGRESQL_ROWS if connection.vendor == "postgresql" or event != "TRUNCATE"]


def _name(watched: Watch, event: str) -> str:
    return f"byocgw_{watched.number}_{event.lower()}_{watched.table}"


def _present(connection: BaseDatabaseWrapper) -> set[str]:
    """Names of the triggers that are there."""
    catalogue = "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'byocgw%'"
    if connection.vendor == "sqlite":
        catalogue = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'byocgw%'"
    with connection.cursor() as cursor:
        cursor.execute(catalogue)
        return {name for (name,) in cursor.fetchall()}


def _those_of(tables: Iterable[str]) -> list[Watch]:
    """What is watched of these tables."""
    return [_watched[key] for key in sorted(_watched) if key[0] in tables]


def _creating(connection: BaseDatabaseWrapper, tables: Iterable[str]) -> Iterator[str]:
    """The statements, in order. A column that this state of the schema does not have is left out."""
    revision = connection.ops.quote_name(Revision._meta.db_table)
    trigger, quote = _sqlite_trigger, connection.ops.quote_name
    if connection.vendor == "postgresql":
        trigger = _postgresql_trigger
        yield _POSTGRESQL_FUNCTION.replace("{revision}", revision)
    for watched in _those_of(tables):
        with connection.cursor() as cursor:  # Django's introspection takes 20 ms a table on SQLite
            cursor.execute(f"SELECT * FROM {quote(watched.table)} LIMIT 0")
            present = {column[0] for column in cursor.description}
        columns = [quote(column) for column in watched.columns if column in present]
        for event in _events(connection):
            name = quote(_name(watched, event))
            head = f"CREATE TRIGGER {name} AFTER {event} ON {quote(watched.table)}"
            yield trigger(head, event, watched.number, columns, revision)


def _sqlite_trigger(head: str, event: str, number: Number, columns: list[str], revision: str) -> str:
    """Per row: the only kind there is."""
    differs = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in columns)
    when = f" WHEN {differs}" if event == "UPDATE" else ""
    bump = f"UPDATE {revision} SET {number} = {number} + 1 WHERE id = 1"
    return f"{head}{when} BEGIN {bump}; END"


def _postgresql_trigger(head: str, event: str, number: Number, columns: list[str], revision: str) -> str:
    """Per statement: one move, however many rows. The primary key is among the columns, so that two rows
    exchanging their values are seen too."""
    arguments = f"'{number}', '{', '.join(columns)}'"
    return f"{head} {_POSTGRESQL_ROWS[event]} FOR EACH STATEMENT EXECUTE FUNCTION byocgw_bump({arguments})"


def _before_migrations(using: str, plan: list[Any], **_: Any) -> None:
    if plan:
        remove_triggers(using)


def _after_migrations(using: str, **_: Any) -> None:
    install_triggers(using)
