from __future__ import annotations

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class OrchestratorsConfig(AppConfig):
    name = "orchestrators"
    verbose_name = "Supply"

    def ready(self) -> None:
        from orchestrators import checks, triggers  # noqa: F401  (checks registers itself)
        from orchestrators.models.fields import teach_sqlite_wei

        connection_created.connect(teach_sqlite_wei)
        triggers.watch_own_tables()
