"""manage.py explain: who would serve a capability now, or what became of a job; every term and reason."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from routing import history
from routing.explain import NotConfigured, explain_now
from routing.terms import terms


class Command(BaseCommand):
    help = "Shows who would be asked for a capability right now, or was for a job, and why not the others."

    def add_arguments(self, parser: ArgumentParser) -> None:
        subject = parser.add_mutually_exclusive_group(required=True)
        subject.add_argument("capability", nargs="?")
        subject.add_argument("--job", metavar="REQUEST_ID", help="a call that is over, as in X-Request-Id")
        subject.add_argument("--terms", action="store_true", help="what the words mean that it uses")
        parser.add_argument("--tier", help="as a client of this tier; without it, of none")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        found, words = self.answer(**options)
        self.stdout.write(json.dumps(found, indent=2) if options["json"] else "\n".join(words))

    def answer(self, *, job: str | None, **options: Any) -> tuple[dict[str, Any], list[str]]:
        if options["terms"]:
            return terms(), [f"{word}: {said}" for each in terms().values() for word, said in each.items()]
        return self.past(job) if job else self.present(**options)

    @staticmethod
    def present(*, capability: str, tier: str | None, **options: Any) -> tuple[dict[str, Any], list[str]]:
        try:
            found = explain_now(capability, tier)
        except NotConfigured as exc:
            raise CommandError(str(exc)) from exc
        excludes = found["ceiling_excludes"]
        words = [
            f"{found['capability']}, revision {found['revision']}, ceiling {found['ceiling_shown']}, "
            f"which excludes {excludes['offers']} of {excludes['of']} offers"
        ]
        if found["chosen"] is None:
            words.append("Nobody can serve it now.")
        return found, words + in_words(found)

    @staticmethod
    def past(request_id: str) -> tuple[dict[str, Any], list[str]]:
        record = history.find(request_id)
        if record is None:
            raise CommandError(f"There is no job {request_id!r}.")
        found = history.for_staff(record)
        words = [
            f"{found['capability'] or 'no capability'}, revision {found['revision']}, for {found['client']} "
            f"at {found['at']}: {found['code']} ({found['status']}) in {found['ms']} ms"
        ]
        words += [
            f"attempt {number}: {each['orchestrator']}: {each['class']} in {each['ms']} ms"
            f"{', not held against it' if not each['held_against'] else ''}"
            f"{' (' + each['detail'] + ')' if each['detail'] else ''}"
            for number, each in enumerate(found["attempts"], 1)
        ]
        decision = found["decision"]
        return found, words + (["Its decision was not kept."] if decision is None else in_words(decision))


def in_words(decision: dict[str, Any]) -> list[str]:
    """A line for every candidate, best first, and for everyone refused."""
    lines = []
    for place, each in enumerate(decision["candidates"], 1):
        terms = each["terms"]
        lines.append(
            f"{place}. {each['orchestrator']}: {each['class']}, {terms['state']}"
            f"{', warm' if terms['warm'] else ''}{''.join(', ' + mark for mark in terms['against'])}; "
            f"{terms['price']}, expected {terms['latency_ms']} ms, "
            f"failure {terms['failure']:.1%}, adjusted price {terms['adjusted_wei']} wei, "
            f"{terms['in_flight']} of {terms['seats']} seats taken"
        )
        lines += [f"     {sentence}" for sentence in each.get("evidence", ())]
    lines += [f"-  {each['orchestrator']}: {each['reason']} ({each['detail']})" for each in decision["refused"]]
    if any(decision["draws"]):
        lines.append("drawn with " + ", ".join(map(str, decision["draws"])))
    return lines
