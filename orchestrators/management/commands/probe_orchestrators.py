"""Look at every offer once (for cron), or keep looking at whatever is due (`--loop`); try what is new."""

from __future__ import annotations

import json
import sys
import threading
from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet

from orchestrators import trial
from orchestrators.changes import operator
from orchestrators.management.stopping import stopping
from orchestrators.management.tables import columns
from orchestrators.models import Capability, Offer, Orchestrator
from orchestrators.prober import Report, Settings, Summary, run, selected, watch

EMPTY = (
    "There is nothing to probe yet. Add an orchestrator and what it offers in the admin, "
    "or by `manage.py apply FILE`."
)
NONE_AWAKE = "Every offer is disabled or retired, or belongs to an orchestrator that is."
# No trial of a one-shot run is begun later than so many seconds after its first.
TRIALS_WITHIN = 60.0
HEADINGS = ("orchestrator", "capability", "before", "after", "latency", "price", "capacity", "reason")


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--loop", action="store_true", help="keep probing what is due, until SIGTERM or Ctrl-C")
        add("--interval", type=_seconds, default=30.0, metavar="S", help="between two probes (default: 30)")
        add("--concurrency", type=_count, default=64, metavar="N", help="probes at once (default: 64)")
        add("--orchestrator", action="append", default=[], metavar="NAME", help="only this one; repeatable")
        add("--capability", action="append", default=[], metavar="SLUG", help="only this one; repeatable")
        add("--json", action="store_true", help="one object a line for each probe, as it ends")
        add("--quiet", action="store_true", help="neither progress nor table")

    def handle(self, *args: Any, **options: Any) -> None:
        _require(Orchestrator, "name", options["orchestrator"])
        _require(Capability, "slug", options["capability"])
        offers = selected(options["orchestrator"], options["capability"])
        if not options["loop"] and not offers.exists():
            if not (options["json"] or options["quiet"]):
                self.stdout.write(NONE_AWAKE if Offer.objects.exists() else EMPTY)
            return
        settings = Settings(interval=options["interval"], concurrency=options["concurrency"])
        with stopping(self, quiet=options["quiet"] or options["json"]) as stop:
            try:
                if options["loop"]:
                    self._loop(offers, settings, stop, options)
                else:
                    self._run_once(offers, settings, stop, options)
                    self._try_new(offers, stop, options)
            except (OperationalError, InterfaceError) as error:
                raise CommandError(f"The database is away: {error}") from error

    def _run_once(
        self, offers: QuerySet[Offer], settings: Settings, stop: threading.Event, options: dict[str, Any]
    ) -> None:
        reports: list[Report] = []
        total = offers.count()
        shows_progress = not (options["quiet"] or options["json"]) and sys.stderr.isatty()

        def on_report(report: Report) -> None:
            reports.append(report)
            if options["json"]:
                self.stdout.write(_line(report))
            elif shows_progress:
                sys.stderr.write(f"\r{len(reports)}/{total} probed")
                sys.stderr.flush()

        summary = run(offers, settings, stop=stop, on_report=on_report)
        if shows_progress:
            sys.stderr.write("\r" + " " * 40 + "\r")
        if not (options["quiet"] or options["json"]):
            self.stdout.write(_table(reports))
            self.stdout.write(_sentence(summary))

    def _loop(
        self, offers: QuerySet[Offer], settings: Settings, stop: threading.Event, options: dict[str, Any]
    ) -> None:
        """Trials have a thread of their own: they take a minute, and no probe waits for them."""
        told = {"stop": stop, "on_result": self._each_trial(options)}
        trials = threading.Thread(target=trial.watch, args=(offers, _order()), kwargs=told, name="trials")
        trials.start()
        try:
            watch(offers, settings, stop=stop, on_report=self._each(options))
        finally:
            stop.set()
            trials.join()

    def _try_new(self, offers: QuerySet[Offer], stop: threading.Event, options: dict[str, Any]) -> None:
        """What is new and on trial, a bounded number of it; the others in the next runs."""
        fresh = list(trial.untried(offers).values_list("pk", flat=True)[: trial.MOST_NEW])
        chosen = Offer.objects.filter(pk__in=fresh)
        trial.run(chosen, _order(), stop=stop, on_result=self._each_trial(options))

    def _each_trial(self, options: dict[str, Any]) -> Callable[[trial.Result], None]:
        def on_result(result: trial.Result) -> None:
            if options["json"]:
                self.stdout.write(json.dumps(result.document, ensure_ascii=False))
            elif not options["quiet"]:
                self.stdout.write(f"trial of {result.offer}: {result.told}")
            self.stdout.flush()

        return on_result

    def _each(self, options: dict[str, Any]) -> Callable[[Report], None]:
        """In a loop: every probe as JSON, or every change of state as a line."""

        def on_report(report: Report) -> None:
            if options["json"]:
                self.stdout.write(_line(report))
                self.stdout.flush()
            elif not options["quiet"] and report.before != report.after:
                self.stdout.write("  ".join(filter(None, _cells(report))))
                self.stdout.flush()

        return on_report


def _order() -> trial.Order:
    return trial.Order(who=operator(), within=TRIALS_WITHIN)


def _require(model: type[Orchestrator] | type[Capability], field: str, names: list[str]) -> None:
    known = set(model._default_manager.filter(**{f"{field}__in": names}).values_list(field, flat=True))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise CommandError(f"There is no {model._meta.verbose_name} {', '.join(map(repr, unknown))}.")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 1 <= seconds <= 86_400:
        raise ArgumentTypeError(f"{text} s: from 1 second to a day")
    return seconds


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to 1024")
    return int(text)


def _line(report: Report) -> str:
    return json.dumps(asdict(report), ensure_ascii=False)


def _cells(report: Report) -> tuple[str, ...]:
    return (
        report.orchestrator,
        report.capability,
        report.before,
        report.after,
        "" if report.latency_ms is None else f"{report.latency_ms:.0f} ms",
        report.price or "",
        "" if report.capacity is None else str(report.capacity),
        report.reason,
    )


def _table(reports: list[Report]) -> str:
    rows = [HEADINGS, *sorted(map(_cells, reports))]
    return columns(rows)


def _sentence(summary: Summary) -> str:
    parts = [f"{summary.probed} probed"]
    if summary.left:
        parts.append(f"{summary.left} left to another prober")
    if summary.poisoned:
        parts.append(f"{summary.poisoned} could not be probed and are put off for an hour (see the log)")
    if summary.unfinished:
        parts.append(f"{summary.unfinished} not finished")
    return ", ".join(parts) + "."
