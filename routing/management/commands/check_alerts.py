"""manage.py check_alerts [--loop]: judge the alert rules, and tell who is to be told."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.utils import timezone

from orchestrators.management.stopping import stopping
from orchestrators.sqlite import absent
from routing.alerting import EVERY, check


class Command(BaseCommand):
    help = (
        "Judges the alert rules once (from cron), or every 30 seconds until SIGTERM. Several may run: each "
        "round is one process's. Exit status: 0, or 1 when a channel could not be told."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", action="store_true", help="go on until told to stop")

    def handle(self, *args: Any, loop: bool, **options: Any) -> None:
        if sentence := absent():
            raise CommandError(sentence)
        if not loop:
            self.round(always=True)
            return
        with stopping(self, quiet=False) as stop:
            while not stop.is_set():
                self.try_round()
                stop.wait(EVERY.total_seconds() / 3)

    def try_round(self) -> None:
        try:
            self.round(always=False)
        except CommandError as exc:
            self.stderr.write(str(exc))
        except DatabaseError as exc:
            self.stderr.write(f"The database does not answer ({exc}); trying again.")
            close_old_connections()

    def round(self, *, always: bool) -> None:
        report = check(timezone.now(), always=always)
        if report is None:
            return
        if report.began or report.ended:
            self.stdout.write(f"{report.began} alerts began, {report.ended} ended.")
        if report.failed:
            raise CommandError("\n".join(report.failed))
