"""manage.py rotate_api_key: a successor of a key, shown this once; both work while they overlap."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from orchestrators.changes import change_set
from routing.models import ApiKey


class Command(BaseCommand):
    help = "Makes a successor of an API key and shows it, this once; the old key works on for the overlap."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("hint", help="how the key begins, as the admin lists it: byoc_AbCdE")
        parser.add_argument("--overlap", type=float, default=24, metavar="HOURS", help="default 24")
        parser.add_argument("--quiet", action="store_true", help="print the key alone")

    def handle(self, *args: Any, hint: str, overlap: float, quiet: bool, **options: Any) -> None:
        if not 0 <= overlap <= 24 * 366:
            raise CommandError("--overlap: must be from 0 to 8784 hours.")
        now = timezone.now()
        with change_set("rotate_api_key", f"a successor of {hint}", "command"):
            old = _only_valid(hint)
            new, secret = old.rotate(now=now, overlap=timedelta(hours=overlap))
            new.full_clean()
            new.save()
            old.save()
        if quiet:
            self.stdout.write(secret)
            return
        self.stdout.write(
            f"A new key for {old.client}, shown only now; keep it safe:\n\n    {secret}\n\n"
            f"The old one, {old.hint}, works until {old.expires_at:%Y-%m-%d %H:%M} UTC.\n"
        )


def _only_valid(hint: str) -> ApiKey:
    found = ApiKey.objects.filter(hint=hint[:10], revoked_at=None).select_related("client")
    if len(found) != 1:
        raise CommandError(f"{len(found)} keys that are not revoked begin with {hint[:10]!r}.")
    return found[0]
