"""`manage.py import_orch_addr STRING`: the -orchAddr of a stock gateway becomes orchestrators (R6)."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from orchestrators.changes import change_set, operator
from orchestrators.core.discovery import orch_addr
from orchestrators.core.discovery.lists import DEFAULT_HOST, DEFAULT_PORT
from orchestrators.models import Capability, Mode, Offer, Orchestrator
from orchestrators.models.orchestrator import ProtocolChoice
from orchestrators.sqlite import absent


class Command(BaseCommand):
    help = (
        "Add the orchestrators of a comma-separated -orchAddr list, read as the stock gateway reads it: "
        f"https:// unless it begins with http, host {DEFAULT_HOST}, port {DEFAULT_PORT} where a bare host "
        "names none. All of them or nothing; addresses that are there already are left as they are."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("addresses", metavar="STRING", help="Such as https://a.example:8935,b.example")
        parser.add_argument("--protocol", choices=ProtocolChoice.values, default=ProtocolChoice.BYOC.value)
        parser.add_argument("--mode", choices=Mode.values, default=Mode.ACTIVE.value)
        parser.add_argument(
            "--capability",
            action="append",
            default=[],
            metavar="SLUG",
            help="Also add an offer for it to each new orchestrator; may be repeated.",
        )

    def handle(
        self, *, addresses: str, protocol: str, mode: str, capability: list[str], **options: Any
    ) -> None:
        if sentence := absent():
            raise CommandError(sentence)
        uris = orch_addr(addresses)
        if not uris:
            raise CommandError("There is no address in the list.", returncode=2)
        slugs = dict.fromkeys(capability)
        capabilities = list(Capability.objects.filter(slug__in=slugs))
        if unknown := [slug for slug in slugs if slug not in {each.slug for each in capabilities}]:
            raise CommandError(f"There is no capability {', '.join(unknown)}.")
        with change_set(operator(), "import_orch_addr", "command") as changes:
            for uri in uris:
                if found := Orchestrator.objects.filter(service_uri=uri).first():
                    self.stdout.write(f"  {uri} is already there: {found}")
                    continue
                made = _create(uri, protocol, mode)
                changes.summary.append(f"+ orchestrator {made}: {uri}")
                self.stdout.write(changes.summary[-1])
                for each in capabilities:
                    offer = Offer(orchestrator=made, capability=each)
                    offer.full_clean()
                    offer.save()
                    changes.summary.append(f"+ offer {offer}")
                    self.stdout.write(changes.summary[-1])


def _create(uri: str, protocol: str, mode: str) -> Orchestrator:
    taken = set(Orchestrator.objects.values_list("name", flat=True))
    made = Orchestrator(name=Orchestrator.free_name(uri, taken), service_uri=uri, protocol=protocol, mode=mode)
    try:
        made.full_clean()
    except ValidationError as exc:
        raise CommandError(f"Nothing was added. {' '.join(exc.messages)}") from exc
    made.save()
    return made
