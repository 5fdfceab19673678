from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AdminConfig):
    """`django.contrib.admin`, with our site."""

    default_site = "byocgw.console.site.ConsoleSite"

    def ready(self) -> None:
        super().ready()  # imports every app's admin; what stands above them all comes after
        from byocgw.console import changes, idle, people  # noqa: F401  (they register themselves)
        from byocgw.console.labels import translate

        translate()


class OwnConfig(AppConfig):
    """The console's own models; the app above is the stock admin's, with its label."""

    name = "byocgw.console"
    label = "console"
