from __future__ import annotations

from django.apps import AppConfig


class OrchestratorsConfig(AppConfig):
    name = "orchestrators"
    verbose_name = "Supply"

    def ready(self) -> None:
        from orchestrators import changes, checks  # noqa: F401  (checks registers itself)

        changes.watch_own_tables()
