from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AdminConfig):
    """`django.contrib.admin`, with our site."""

    default_site = "byocgw.console.site.ConsoleSite"
