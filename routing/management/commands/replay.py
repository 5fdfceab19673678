"""manage.py replay: what a draft configuration would have decided for the calls on record."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from routing import configuration
from routing.configuration.document import LARGEST, read
from routing.models import Job
from routing.simulation.hindsight import Draft, Replayed, summary
from routing.simulation.reading import ScenarioError

_SECONDS = {"m": 60, "h": 3600, "d": 86400}
_MOST_MOVES = 10


class Command(BaseCommand):
    help = (
        "Decides the recorded calls again, under the present configuration or a draft, with the dice that fell "
        "then: who would have been asked first, at what price and latency, and who refused. Changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", default="24h", metavar="TIME", help="30m, 24h, 7d; default 24h")
        parser.add_argument(
            "--config", metavar="FILE", help="a draft such as apply takes; default: what is in force"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        since = timezone.now() - _length(options["since"])
        draft = Draft(_over(configuration.export(), _document(options["config"]) if options["config"] else {}))
        try:
            found = summary(_replayed(draft, since))
        except (ScenarioError, ValueError) as exc:
            raise CommandError(f"{options['config']}: {exc}") from exc
        self.stdout.write(json.dumps(found, indent=2) if options["json"] else "\n".join(_lines(found)))


def _replayed(draft: Draft, since: Any) -> Iterator[Replayed]:
    for job in Job.objects.filter(at__gte=since).order_by("at").iterator(chunk_size=1000):
        found = draft.replay(job)
        if found is not None:
            yield found


def _length(text: str) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,6})([mhd])", text)
    if match is None:
        raise CommandError(f'--since is a time such as 30m, 24h or 7d, not "{text}".')
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def _over(present: Mapping[str, Any], draft: Mapping[str, Any]) -> dict[str, list[Any]]:
    """As `apply` would leave it: what the draft does not name stays. Of two entries the later counts."""
    return {name: [*present.get(name, []), *(draft.get(name) or [])] for name in {*present, *draft}}


def _document(path: str) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as opened:
            document = read(opened.read(LARGEST + 1))
    except OSError as exc:
        raise CommandError(f"{path}: {exc.strerror}.") from exc
    except ValueError as exc:
        raise CommandError(f"{path}: {exc}") from exc
    plan = configuration.plan(document)
    if plan.errors:
        raise CommandError("\n  ".join([f"{path}:", *plan.errors]))
    return dict(document)


def _lines(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    if not found:
        yield "No decision is on record for that time."
    for slug, each in found.items():
        moved = sum(each["moved"].values())
        yield f"{slug}: {each['decisions']} decisions, {moved} would have gone elsewhere"
        for move, number in list(each["moved"].items())[:_MOST_MOVES]:
            yield f"  {move}: {number}"
        yield f"  candidates refused by the draft: {each['refused']} of {each['candidates']}"
        yield f"  decisions with nobody left: {each['nobody_left']}"
        if each["wei"] is not None:
            yield "  expected cost: {:.0f} -> {:.0f} wei a call".format(*each["wei"])
            yield "  expected latency: {:.0f} -> {:.0f} ms".format(*(1000 * part for part in each["seconds"]))
