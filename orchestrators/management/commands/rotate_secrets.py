"""manage.py rotate_secrets: seal every secret in the database anew, with the first key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import models

from orchestrators.models.secret import NoKey, SecretField


class Command(BaseCommand):
    help = (
        "Seals all secrets with the first key of BYOCGW_FIELD_KEYS. Put a new key in front, restart, run this; "
        "then the old key can be taken away."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        done, failed = 0, []
        for model, field in _columns():
            for row in model._default_manager.exclude(**{field.name: ""}).order_by("pk"):
                before = getattr(row, field.attname)
                try:
                    sealed = before.resealed()
                except NoKey as exc:
                    failed.append(f"{model._meta.verbose_name} {row}: {exc}")
                    continue
                # unless somebody has entered another one meanwhile
                same = model._default_manager.filter(**{"pk": row.pk, field.name: before})
                done += same.update(**{field.name: sealed})
        self.stdout.write(f"{done} secrets are sealed with the first key.")
        if failed:
            raise CommandError("\n".join(failed))


def _columns() -> Iterator[tuple[type[models.Model], SecretField]]:
    for model in apps.get_models():
        for field in model._meta.local_concrete_fields:
            if isinstance(field, SecretField):
                yield model, field
