"""Ask the discovery sources, show what is new, and add it; once (for cron), or on and on (`--loop`)."""

from __future__ import annotations

import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError, close_old_connections
from django.db.models import QuerySet
from django.utils import timezone

from orchestrators.changes import operator
from orchestrators.discovery import Look, Plan, apply, due, look, propose
from orchestrators.management.stopping import stopping
from orchestrators.models import DiscoverySource
from orchestrators.sqlite import absent

LOOK_EVERY = 5.0  # seconds
EMPTY = "There is no discovery source yet. Add one in the admin, or by `manage.py apply FILE` (discovery:)."


class Command(BaseCommand):
    help = (
        f"{__doc__} What is found waits in mode discovered, unless its source is trusted. A source that fails, "
        "or answers something else, changes nothing. Exit status 1: a source failed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--loop", action="store_true", help="ask each source at its interval, until SIGTERM or Ctrl-C")
        add("--source", action="append", default=[], metavar="NAME", help="only this one; repeatable")
        add("--dry-run", action="store_true", help="show what would change; write nothing")

    def handle(self, *, loop: bool, source: list[str], dry_run: bool, **options: Any) -> None:
        if sentence := absent():
            raise CommandError(sentence)
        if loop and dry_run:
            raise CommandError("--loop and --dry-run exclude each other.", returncode=2)
        sources = self._sources(source)
        if loop:
            with stopping(self, quiet=False) as stop:
                self._loop(sources, stop)
        elif not sources.exists():
            self.stdout.write(EMPTY)
        else:
            self._once(list(sources), dry_run=dry_run)

    def _sources(self, names: list[str]) -> QuerySet[DiscoverySource]:
        sources = DiscoverySource.objects.filter(enabled=True)
        if not names:
            return sources
        chosen = sources.filter(name__in=names)
        if unknown := sorted(set(names) - set(chosen.values_list("name", flat=True))):
            raise CommandError(f"There is no enabled discovery source {', '.join(unknown)}.")
        return chosen

    def _once(self, sources: list[DiscoverySource], *, dry_run: bool) -> None:
        looks = look(sources)
        now = timezone.now()
        if dry_run:
            plan = propose(looks, now=now)
            self._show(plan)
            self.stdout.write(f"Dry run, nothing was written. Changes: {len(plan.changes)}.")
        else:
            plan = apply(looks, who=operator(), via="command", now=now, show=self._show)
            self.stdout.write(f"Changes: {len(plan.changes)}." if plan.changes else "Nothing to do.")
        if failed := [str(each.source) for each in looks if each.answer is None]:
            raise CommandError(f"Failed: {', '.join(failed)}.")

    def _loop(self, sources: QuerySet[DiscoverySource], stop: threading.Event) -> None:
        """A database that is away is waited for."""
        while not stop.is_set():
            try:
                close_old_connections()
                self._pass(due(sources.all(), timezone.now()))
            except (OperationalError, InterfaceError) as error:
                self.stderr.write(f"The database is away, trying again: {error}")
            stop.wait(LOOK_EVERY)

    def _pass(self, sources: list[DiscoverySource]) -> None:
        looks: list[Look] = look(sources) if sources else []
        if looks:
            apply(looks, who=operator(), via="command", now=timezone.now(), show=self._show)

    def _show(self, plan: Plan) -> None:
        for line in plan.events:
            self.stdout.write(f"! {line}")
        for line in plan.notes:
            self.stdout.write(f"  {line}")
        for line in plan.changes:
            self.stdout.write(line)
        self.stdout.flush()
