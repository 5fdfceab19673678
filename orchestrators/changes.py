"""The one door for changes: who changed what, and why.

`change_set` records it: people's tools write within one. *Whether* anything changed, the numbers of the one
Revision row say (`triggers`). So while `decided` is where the latest revision left it, that one's document is
the configuration in force. If not, it was changed by some other way: `note_outside` records that.

Above apps register their part of the configuration (`export_with`).
"""

from __future__ import annotations

import getpass
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from orchestrators.models import ConfigRevision, Revision

_export: list[Callable[[], dict[str, Any]]] = []
_open = threading.local()  # .change_set: the one this thread is in; a connection belongs to one thread


def export_with(export: Callable[[], dict[str, Any]]) -> None:
    """Who can write the configuration down: called for each stored change set."""
    _export[:] = [export]


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
