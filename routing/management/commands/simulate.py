"""manage.py simulate: how our policy fares in simulated fleets, beside what others do."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from routing.simulation import chart, report
from routing.simulation.baselines import BASELINES
from routing.simulation.numbers import Configuration, configuration
from routing.simulation.reading import ScenarioError
from routing.simulation.scenario import Scenario, load, shipped
from routing.simulation.trials import Result, bars, trials

MOST_SEEDS = 1000


class Command(BaseCommand):
    help = (
        "Runs the routing policy against simulated fleets in simulated time, no network and no database, and "
        "compares it with other policies. The same seeds give the same report."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "scenarios",
            nargs="*",
            metavar="SCENARIO",
            help="a shipped scenario's name or the path of a .yaml file; without any, all that are shipped",
        )
        parser.add_argument("--list", action="store_true", help="name the shipped scenarios and end")
        parser.add_argument(
            "--config",
            metavar="FILE",
            help="take profiles and capabilities from this configuration (as export_config writes it)",
        )
        parser.add_argument(
            "--against",
            default=",".join(BASELINES),
            metavar="POLICIES",
            help=f"comma-separated, of {', '.join(BASELINES)}, or none; default: all",
        )
        parser.add_argument("--seeds", type=int, default=5, metavar="N", help="runs of each; default 5")
        parser.add_argument("--json", action="store_true", help="one JSON object")
        parser.add_argument("--svg", metavar="FILE", help="also draw it")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            for name in shipped():
                self.stdout.write(f"{name}: {load(name).description}")
            return
        if not 1 <= options["seeds"] <= MOST_SEEDS:
            raise CommandError(f"--seeds is from 1 to {MOST_SEEDS}.")
        against = _against(options["against"])
        scenarios, draft = _read(options["scenarios"] or shipped(), options["config"])
        results = trials(scenarios, against, options["seeds"], draft, done=self._progress)
        found = bars(results)
        if options["svg"]:
            _write(Path(options["svg"]), chart.draw(results))
        if options["json"]:
            self.stdout.write(json.dumps(report.document(results, found), indent=2))
        else:
            self.stdout.write("\n".join([*report.lines(results), *report.bar_lines(found)]))

    def _progress(self, result: Result) -> None:
        """Whoever watches a terminal sees that it goes on."""
        if self.stderr.isatty():
            self.stderr.write(f"{result.scenario.name}: {result.policy}")


def _against(text: str) -> list[str]:
    named = [] if text == "none" else [name.strip() for name in text.split(",")]
    for name in named:
        if name not in BASELINES:
            raise CommandError(f'There is no policy "{name}". Known: {", ".join(BASELINES)}, or none.')
    return list(dict.fromkeys(named))


def _read(names: list[str], config: str | None) -> tuple[list[Scenario], Configuration]:
    try:
        scenarios = [load(name) for name in dict.fromkeys(names)]
        draft = configuration(Path(config) if config else None)
        for scenario in scenarios:
            draft.numbers(scenario.profile, scenario.capability)
    except ScenarioError as exc:
        raise CommandError(str(exc)) from exc
    return scenarios, draft


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise CommandError(f"{path}: {exc.strerror}.") from exc
