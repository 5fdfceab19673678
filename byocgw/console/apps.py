from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AdminConfig):
    """`django.contrib.admin`, with our site."""

    default_site = "byocgw.console.site.ConsoleSite"

    def ready(self) -> None:
        super().ready()  # imports every app's admin; what stands above them all comes after
        from byocgw.console import changes, people  # noqa: F401  (they register themselves)
