"""manage.py set_rate: what one ETH is worth, for showing prices in dollars."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from orchestrators.changes import change_set, operator
from routing.configuration.sections import read_amount_of, read_moment
from routing.models import Rate


class Command(BaseCommand):
    help = "Says how many dollars one ETH costs; prices are then shown in USD too. Nothing is decided by it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("usd", help="dollars for one ETH, such as 3600.50")
        parser.add_argument("--as-of", help="when that was so, such as 2026-11-25T12:00:00Z; now, if left out")

    def handle(self, *args: Any, **options: Any) -> None:
        row = Rate.objects.filter(currency="usd").first() or Rate(currency="usd")
        try:
            row.per_eth = read_amount_of(options["usd"])
            row.as_of = read_moment(options["as_of"]) if options["as_of"] else timezone.now()
            row.full_clean()
        except ValidationError as exc:
            raise CommandError(" ".join(exc.messages)) from exc
        except ValueError as exc:
            raise CommandError(f"The rate {exc}") from exc
        with change_set(operator(), "set_rate", "command") as changes:
            row.save()
            changes.summary.append(f"rate: {row}")
        self.stdout.write(f"{row} as of {row.as_of:%Y-%m-%d %H:%M} UTC.")
