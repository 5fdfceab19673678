"""`manage.py import_orch_addr STRING`: the -orchAddr of a stock gateway becomes orchestrators (R6)."""

from __future__ import annotations

import re
from itertools import chain, count
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from orchestrators.changes import absent, change_set, operator
from orchestrators.models import Capability, Mode, Offer, Orchestrator
from orchestrators.models.orchestrator import ProtocolChoice

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = "8935"


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
        uris = parse(addresses)
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


def parse(addresses: str) -> list[str]:
    """Service URIs in order, each once; empty items (a comma at the end) are skipped."""
    items = (item.strip() for item in addresses.split(","))
    return list(dict.fromkeys(_service_uri(item) for item in items if item))


def _service_uri(item: str) -> str:
    """As `parseOrchAddrs` does: a full URL keeps the port it has, or has not."""
    if item.startswith(":"):
        item = DEFAULT_HOST + item
    elif ":" not in item:
        item = f"{item}:{DEFAULT_PORT}"
    return (item if item.startswith("http") else f"https://{item}").rstrip("/")


def _create(uri: str, protocol: str, mode: str) -> Orchestrator:
    made = Orchestrator(name=_free_name(uri), service_uri=uri, protocol=protocol, mode=mode)
    try:
        made.full_clean()
    except ValidationError as exc:
        raise CommandError(f"Nothing was added. {' '.join(exc.messages)}") from exc
    made.save()
    return made


def _free_name(uri: str) -> str:
    """The host; where that is taken, with the port, then with a number."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "unnamed"  # the address itself is about to be refused
    host = re.sub(r"[^A-Za-z0-9._-]+", "-", host).strip("-._")[:50] or "orchestrator"
    names = chain([host], [f"{host}-{port}"] if port else [], (f"{host}-{number}" for number in count(2)))
    taken = set(Orchestrator.objects.filter(name__startswith=host).values_list("name", flat=True))
    return next(name for name in names if name not in taken)
