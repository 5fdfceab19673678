"""manage.py explain: who would serve a capability now, with every term and every reason."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from routing import table as tables
from routing.explain import explain, stored_board


class Command(BaseCommand):
    help = "Shows who would be asked for a capability right now, in which order, and why not the others."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("capability")
        parser.add_argument("--tier", help="as a client of this tier; without it, of none")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        table = tables.build(settings.WEB_CONCURRENCY)
        lane = table.lane(options["capability"], options["tier"])
        if lane is None:
            known = ", ".join(sorted(table.policies)) or "none"
            raise CommandError(f"There is no capability {options['capability']!r}. Known: {known}.")
        found = explain(lane, stored_board(), revision=table.revision, now=time.time())
        self.stdout.write(json.dumps(found, indent=2) if options["json"] else self.in_words(found))

    @staticmethod
    def in_words(found: dict[str, Any]) -> str:
        lines = [f"{found['capability']}, revision {found['revision']}, ceiling {found['ceiling']}"]
        if found["chosen"] is None:
            lines.append("Nobody can serve it now.")
        for place, each in enumerate(found["candidates"], 1):
            terms = each["terms"]
            lines.append(
                f"{place}. {each['orchestrator']}: {each['class']}, {terms['state']}"
                f"{', warm' if terms['warm'] else ''}; {terms['price']}, expected {terms['latency_ms']} ms, "
                f"failure {terms['failure']:.1%}, adjusted price {terms['adjusted_wei']} wei, "
                f"{terms['in_flight']} of {terms['seats']} seats taken"
            )
        lines += [
            f"-  {each['orchestrator']}: {each['reason']} ({each['detail']})" for each in found["refused"]
        ]
        return "\n".join(lines)
