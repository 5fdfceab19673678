"""Try an orchestrator's offers now, and show their scorecards: a verdict and a sentence for every point."""

from __future__ import annotations

import json
import sys
from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet

from orchestrators.changes import operator
from orchestrators.management.stopping import stopping
from orchestrators.management.tables import columns
from orchestrators.models import Capability, Offer, Orchestrator
from orchestrators.prober import selected
from orchestrators.trial import Order, Result, Summary, run

EPILOG = """
An offer in mode trial that passes, with remarks or without, becomes active and keeps its share. The exit
status is 0 if the trials ran, whatever their verdicts; 1 for an unknown name, a capability without a sample
request, an offer that a prober held, or a database that is away.
"""


class Command(BaseCommand):
    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs |= {"epilog": EPILOG, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("orchestrator", help="its name")
        parser.add_argument("capability", nargs="?", help="only this one; without it, all it offers")
        parser.add_argument("--json", action="store_true", help="one object a line for each trial, as it ends")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with stopping(self, quiet=options["json"]) as stop:
                offers = _chosen(options["orchestrator"], options["capability"])
                show = self._as_json if options["json"] else self._as_table
                tell = self._progress if sys.stderr.isatty() and not options["json"] else _nothing
                order = Order(who=operator(), why=f"passed its trial: run_trial {options['orchestrator']}")
                summary = run(offers, order, stop=stop, on_result=show, tell=tell)
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"The database is away: {error}") from error
        _complain(summary)

    def _progress(self, text: str) -> None:
        sys.stderr.write(f"\r{text:<78.78}")
        sys.stderr.flush()

    def _as_json(self, result: Result) -> None:
        self.stdout.write(json.dumps(result.document, ensure_ascii=False))

    def _as_table(self, result: Result) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\r" + " " * 78 + "\r")
        rows = [(each.name, each.verdict.value, each.sentence) for each in result.card.points]
        self.stdout.write(f"{result.offer}: {result.card.verdict}")
        self.stdout.write(columns([("point", "verdict", "what was found"), *rows]))
        self.stdout.write(_what_now(result) + "\n")


def _chosen(orchestrator: str, capability: str | None) -> QuerySet[Offer]:
    """The offers to try. Raises CommandError with a sentence when there is none."""
    if not Orchestrator.objects.filter(name=orchestrator).exists():
        raise CommandError(f"There is no orchestrator {orchestrator!r}.")
    if capability is not None and not Capability.objects.filter(slug=capability).exists():
        raise CommandError(f"There is no capability {capability!r}.")
    offers = Offer.objects.filter(orchestrator__name=orchestrator)
    offers = offers.filter(capability__slug=capability) if capability else offers
    if not offers.exists():
        raise CommandError(f"{orchestrator} does not offer {capability or 'anything'}: add an offer first.")
    awake = selected().filter(pk__in=offers)
    if not awake.exists():
        raise CommandError(f"{orchestrator}, or what it offers there, is disabled or retired.")
    triable = awake.filter(capability__sample_request__isnull=False)
    if not triable.exists():
        names = ", ".join(awake.values_list("capability__slug", flat=True))
        raise CommandError(f"No sample request to try it with; give one to {names} first.")
    return triable


def _complain(summary: Summary) -> None:
    if summary.left:
        raise CommandError(f"{summary.left} not tried: a prober is at work there. Try again in a moment.")
    if summary.unfinished:
        raise CommandError(f"{summary.unfinished} not finished.")


def _what_now(result: Result) -> str:
    if result.activated:
        return "It is active now, with its share of the traffic."
    offer = result.offer
    mode = offer.mode if offer.mode != "active" else offer.orchestrator.mode
    return f"It stays {mode}." if mode == "active" else f"It stays {mode}: no traffic."


def _nothing(text: str) -> None:
    pass
