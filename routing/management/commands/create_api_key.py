"""manage.py create_api_key: a new key for a client, shown this once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from orchestrators.changes import change_set
from routing.models import ApiKey, Client


class Command(BaseCommand):
    help = "Creates an API key for a client and shows it: the only time that anybody can see it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("client", help="the client's name")
        parser.add_argument("--label", default="", help="what the key is for")
        parser.add_argument("--quiet", action="store_true", help="print the key alone")

    def handle(self, *args: Any, **options: Any) -> None:
        client = Client.objects.filter(name=options["client"]).first()
        if client is None:
            known = ", ".join(Client.objects.values_list("name", flat=True)) or "none yet"
            raise CommandError(f"There is no client {options['client']!r}. Known: {known}.")
        key, secret = ApiKey.issue(client, now=timezone.now(), label=options["label"])
        key.full_clean()
        with change_set("create_api_key", f"a key for {client}", "command"):
            key.save()
        if options["quiet"]:
            self.stdout.write(secret)
            return
        self.stdout.write(f"A key for {client}, shown only now; keep it safe:\n\n    {secret}\n")
