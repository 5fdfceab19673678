"""`manage.py apply FILE|-`: make the configuration what a file says, all of it or nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orchestrators.changes import operator
from orchestrators.sqlite import absent
from routing import configuration
from routing.configuration.document import LARGEST, read


class Command(BaseCommand):
    help = (
        "Make the configuration what FILE (YAML or JSON) says, and print the difference. The file is "
        "declarative: a key left out means its default, not its present value; applying it again changes "
        "nothing. Names are identities: a rename is a removal and an addition. What the file does not name "
        "stays, unless --prune is given. Exit status: 0 applied or nothing to do, 1 invalid, 2 usage."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="A path, or - for standard input.")
        parser.add_argument("--dry-run", action="store_true", help="Print the difference; write nothing.")
        parser.add_argument(
            "--prune",
            action="store_true",
            help="In the sections that FILE has, also delete what it does not name; retire or switch off "
            "what has a history.",
        )
        parser.add_argument("--why", default="", help="A reason, kept with the change.")

    def handle(self, *, file: str, dry_run: bool, prune: bool, why: str, **options: Any) -> None:
        if sentence := absent():
            raise CommandError(sentence)
        try:
            document = read(_bytes_of(file))
        except ValueError as exc:
            raise CommandError(f"{file}: {exc}") from exc
        if dry_run:
            plan = configuration.plan(document, prune=prune)
        else:
            plan = configuration.apply(document, who=operator(), why=why, prune=prune)
        self.report(plan, dry_run=dry_run)

    def report(self, plan: configuration.Plan, *, dry_run: bool) -> None:
        if plan.errors:
            raise CommandError("\n  ".join(["nothing was applied.", *plan.errors]))
        for line in (*plan.changes, *(f"  {line}" for line in plan.kept)):
            self.stdout.write(line)
        for sentence in plan.advice:
            self.stdout.write(f"! {sentence}")
        if not plan.changes:
            self.stdout.write("Nothing to do.")
        elif dry_run:
            self.stdout.write(f"Dry run, nothing was written. Changes: {len(plan.changes)}.")
        else:
            self.stdout.write(f"Applied. Changes: {len(plan.changes)}.")


def _bytes_of(file: str) -> bytes:
    """One byte more than allowed is enough to see that there is too much."""
    if file == "-":
        return sys.stdin.buffer.read(LARGEST + 1)
    try:
        with Path(file).open("rb") as opened:
            return opened.read(LARGEST + 1)
    except OSError as exc:
        raise CommandError(f"{file}: {exc.strerror}.", returncode=2) from exc
