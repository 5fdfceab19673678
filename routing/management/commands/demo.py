"""manage.py demo: the main job in one command, with real processes on their own database."""

from __future__ import annotations

import contextlib
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from routing.demo.stage import HOME, Failed, Stage
from routing.demo.story import STORY


class Command(BaseCommand):
    help = "Starts three simulated orchestrators and a gateway, and tells what happens, step by step."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="end after the story; exit 0 if all was as told"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with contextlib.suppress(KeyboardInterrupt), Stage(self.say) as stage:
            try:
                stage.set_up()
                for step in STORY:
                    step(stage)
                self.say(f"\nThe pictures: {HOME / 'segmented.png'} and {HOME / 'styled.jpg'}")
            except Failed as exc:
                raise CommandError(f"The demo did not come out as told: {exc}") from exc
            if not options["once"]:
                stage.stay_up()
        self.say("\nEverything is stopped.")

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
