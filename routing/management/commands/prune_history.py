"""manage.py prune_history: take away what is older than the days for which it is kept."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from routing.retention import KINDS, count, prune_one


class Command(BaseCommand):
    help = "Deletes history that is older than BYOCGW_KEEP_*; a running gateway does the same every hour."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how many rows would go")
        parser.add_argument(
            "--days",
            nargs="+",
            default=[],
            metavar="KIND=DAYS",
            help=f"other days than the settings say, such as jobs=7; kinds: {', '.join(KINDS)}; 0: for ever",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        days = {**settings.BYOCGW_KEEP_DAYS, **dict(map(_days, options["days"]))}
        now = timezone.now()
        for kind, kept in days.items():
            before = now - timedelta(days=kept)
            if not kept:
                self.stdout.write(f"{kind}: kept for ever")
            elif options["dry_run"]:
                self.stdout.write(f"{kind}: {count(kind, before)} rows would go")
            else:
                self.stdout.write(f"{kind}: {_prune_all(kind, before)} rows older than {kept} days are gone")


def _prune_all(kind: str, before: datetime) -> int:
    gone = 0
    while (rows := prune_one(kind, before)) is not None:
        gone += rows
    return gone


def _days(text: str) -> tuple[str, int]:
    kind, _, number = text.partition("=")
    if kind not in KINDS:
        raise CommandError(f"--days {text}: {kind!r} is none of {', '.join(KINDS)}.")
    if not number.isdecimal():
        raise CommandError(f"--days {text}: {number!r} is not a number of days; write {kind}=30, or {kind}=0.")
    return kind, int(number)
