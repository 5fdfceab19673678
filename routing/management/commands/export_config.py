"""`manage.py export_config`: the configuration as text, for `apply` or for a stock gateway."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orchestrators.changes import configuration_at
from orchestrators.models import ConfigRevision, Mode, Orchestrator
from orchestrators.sqlite import absent
from routing import configuration
from routing.configuration.document import dump


class Command(BaseCommand):
    help = (
        "Print the configuration: as YAML for `manage.py apply`, without keys and measurements, or as the "
        "-orchAddr list of active orchestrators for a stock gateway. To go back to an earlier state: "
        "manage.py export_config --revision N | manage.py apply - --prune"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=["yaml", "orch-addr"], default="yaml")
        parser.add_argument(
            "--revision", type=int, metavar="N", help="As it was after change set N (yaml only)."
        )

    def handle(self, *, format: str, revision: int | None, **options: Any) -> None:
        if sentence := absent():
            raise CommandError(sentence)
        if format == "orch-addr":
            active = Orchestrator.objects.filter(mode=Mode.ACTIVE).order_by("name")
            self.stdout.write(",".join(active.values_list("service_uri", flat=True)))
        else:
            document = configuration.export() if revision is None else _stored(revision)
            self.stdout.write(dump(document), ending="")


def _stored(number: int) -> dict[str, Any]:
    try:
        return configuration_at(ConfigRevision.objects.get(pk=number))
    except ConfigRevision.DoesNotExist:
        raise CommandError(f"There is no change set {number}.") from None
