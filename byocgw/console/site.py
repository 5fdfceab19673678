"""ConsoleSite: the stock AdminSite, with our menu."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, path
from django.utils.translation import gettext_lazy as _

from byocgw.console.navigation import navigation
from byocgw.console.search import search


class ConsoleSite(AdminSite):
    site_title = site_header = "byocgw"
    index_title = _("Dashboard")
    enable_nav_sidebar = False  # the menu is our own; see templates/admin/base_site.html
    site_url = None

    def get_urls(self) -> list[URLResolver | URLPattern]:
        return [path("search/", self.admin_view(self.search), name="search"), *super().get_urls()]

    def search(self, request: HttpRequest) -> HttpResponse:
        return search(self, request)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        if context["has_permission"]:
            context["navigation"] = navigation(request, context["available_apps"])
        return context
