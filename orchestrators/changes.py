"""The one door for changes, and the bell on it.

*Whether* anything changed, the database itself says: triggers move the numbers of the one Revision row
in the writer's own transaction. Nothing else sees every way of writing: `update()`, bulk, many-to-many,
`loaddata`, raw SQL, a database shell. A number moves only when a column that counts has changed, so a
probe that finds what it found before moves nothing.

    policy    decided and claimed: what a routing table is built from
    health    changes of an offer's state, for the other processes' scoreboards
    decided   the configuration, down to its notes: what people decide, and nothing that machines write

*Who* changed what, and why, `change_set` records: people's tools write within one. So while `decided` is where
the latest revision left it, that one's document is the configuration in force. If not, it was changed by some
other way: `note_outside` records that.

Triggers and migrations do not mix: SQLite loses them when a migration remakes a table and refuses to
drop a column that one names; PostgreSQL finds out when the next row is written. So a migration takes
them off first, and puts them back, moving all numbers once, after the last one.

Above apps register their tables (`watch`) and their part of the configuration (`export_with`).
"""

from __future__ import annotations

import getpass
import gzip
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import unquote, urlsplit

from django.apps import apps
from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_migrate, pre_migrate
from django.utils import timezone

from orchestrators.models import (
    Advert,
    Capability,
    Certificate,
    ConfigRevision,
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
_export: list[Callable[[], dict[str, Any]]] = []
_open = threading.local()  # .change_set: the one this thread is in; a connection belongs to one thread


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


def export_with(export: Callable[[], dict[str, Any]]) -> None:
    """Who can write the configuration down: called for each stored change set."""
    _export[:] = [export]


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


# --- change sets -----------------------------------------------------------------------------------


@dataclass(slots=True)
class ChangeSet:
    """Changes that belong together. `summary`: lines that tell them, for whoever reads the history."""

    who: str
    why: str
    via: str
    summary: list[str] = field(default_factory=list)


@contextmanager
def change_set(who: str, why: str, via: str) -> Iterator[ChangeSet]:
    """A transaction that changes policy: all or nothing, and one ConfigRevision if anything moved.

    The revision row is locked first: every statement moves it, so without that two writers could
    deadlock. Within another change set it is a part of that one, undone alone if it fails.
    `via`: admin | apply | command.
    """
    outer: ChangeSet | None = getattr(_open, "change_set", None)
    if outer is not None:
        with transaction.atomic():
            yield outer
        return
    with transaction.atomic():
        before = _locked()
        _record_outside(before)
        _open.change_set = changes = ChangeSet(who, why, via)
        try:
            yield changes
        finally:
            _open.change_set = None
        _record(changes, before)


@contextmanager
def rehearsal() -> Iterator[None]:
    """What is written here is undone at the end, whatever happens: to see what it would do, with nobody else
    writing meanwhile. The history knows nothing of it."""
    with transaction.atomic():
        _locked()
        yield
        transaction.set_rollback(True)


def note_outside() -> bool:
    """Record what has been changed since the latest revision by other ways than a change set: a database
    shell, a script, an upgrade. For a timer; True if there was anything. Raises django.db.Error."""
    latest = _latest()
    if latest is None or latest.is_in_force:
        return False
    with transaction.atomic():
        return _record_outside(_locked())


def configuration_in_force() -> dict[str, Any]:
    """The document of what people have decided by now: on record, or else written down. One query while nobody
    has changed anything outside the tools."""
    latest = _latest()
    return configuration_at(latest) if latest is not None and latest.is_in_force else _configuration()


def _latest() -> Any:
    """The latest revision, and whether it `is_in_force`; None before the first."""
    decided = Revision.objects.filter(pk=1, decided=models.OuterRef("decided"))
    return ConfigRevision.objects.annotate(is_in_force=models.Exists(decided)).defer("summary").first()


def _locked() -> Revision:
    return Revision.objects.select_for_update().get(pk=1)


def _record_outside(now: Revision) -> bool:
    """What has moved may be back at what it was, as after an upgrade: then that is on record already."""
    latest = _latest()
    if latest is None or latest.is_in_force:
        return False
    document = _configuration()
    if _same(document, latest):
        ConfigRevision.objects.filter(pk=latest.pk).update(decided=now.decided)
        return False
    _store(ChangeSet("", "", ConfigRevision.Via.OUTSIDE), now, document)
    return True


def _record(changes: ChangeSet, before: Revision) -> None:
    """Keys are no part of the configuration, and who changes them is recorded all the same."""
    after = Revision.objects.get(pk=1)
    if (after.policy, after.decided) != (before.policy, before.decided):
        _store(changes, after, _configuration())


def _configuration() -> dict[str, Any]:
    return {name: part for export in _export for name, part in export().items()}


def _same(document: dict[str, Any], revision: ConfigRevision) -> bool:
    """An empty section is none: versions differ in those they know."""
    stored = configuration_at(revision)
    return all(document.get(name, []) == stored.get(name, []) for name in document | stored)


def _store(changes: ChangeSet, now: Revision, document: dict[str, Any]) -> None:
    ConfigRevision.objects.create(
        at=timezone.now(),
        who=changes.who[:150],
        why=changes.why[:500],
        via=changes.via,
        policy=now.policy,
        decided=now.decided,
        summary="\n".join(changes.summary),
        bundle=gzip.compress(json.dumps(document, separators=(",", ":")).encode(), mtime=0),
    )


def configuration_at(revision: ConfigRevision) -> dict[str, Any]:
    """The document stored with a change set: applying it goes back to there."""
    document: dict[str, Any] = json.loads(gzip.decompress(bytes(revision.bundle)))
    return document


def operator() -> str:
    """Who runs this process, for `change_set(who=...)` in a command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return "unknown"


# --- the SQLite file -------------------------------------------------------------------------------


def sqlite_file(using: str = "default") -> Path | None:
    """The file of a database that only `migrate` may create (settings open it with `mode=rw`)."""
    uri = urlsplit(str(connections[using].settings_dict["NAME"]))
    if connections[using].vendor != "sqlite" or uri.scheme != "file" or "mode=rw" not in uri.query.split("&"):
        return None
    return Path(unquote(uri.path))


def absent(using: str = "default") -> str:
    """ "" if there is a database to work with, else a sentence for whoever started a command."""
    file = sqlite_file(using)
    if file is None or file.exists():
        return ""
    return f"The database {file} does not exist yet: run manage.py migrate."
