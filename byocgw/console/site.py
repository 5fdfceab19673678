"""ConsoleSite: the stock AdminSite, with our menu, the dashboard and a search."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from byocgw.console.navigation import NEEDED, navigation
from byocgw.console.search import search
from byocgw.console.second_factor import second_factor_page, verify_page
from routing.dashboard import dashboard
from routing.pages.alerts import alerts
from routing.pages.candidates import candidates
from routing.pages.playground import call, part, playground
from routing.pages.prices import prices
from routing.pages.spend import spend, spend_csv
from routing.pages.system import system

Page = Callable[..., HttpResponse]

# Who may see these sees the dashboard; it tells of nothing else.
TOLD = (
    "orchestrators.view_offer",
    "orchestrators.view_configrevision",
    "routing.view_job",
    "routing.view_usagehour",
)


class ConsoleSite(AdminSite):
    site_title = site_header = "byocgw"
    index_title = _("Dashboard")
    enable_nav_sidebar = False  # the menu is our own; see templates/admin/base_site.html
    site_url = None

    def get_urls(self) -> list[URLResolver | URLPattern]:
        own = [
            path("dashboard/", self.admin_view(self.dashboard), name="dashboard"),
            path("verify/", self.admin_view(partial(verify_page, self)), name="verify"),
            path("second-factor/", self.admin_view(partial(second_factor_page, self)), name="second_factor"),
            path("search/", self.admin_view(self.search), name="search"),
            path("spend/", self.admin_view(self.page(spend)), name="spend"),
            path("spend/<slug:of>.csv", self.admin_view(self.page(spend_csv)), name="spend_csv"),
            path("alerts/", self.admin_view(self.page(alerts)), name="alerts"),
            path("system/", self.admin_view(self.page(system)), name="system"),
            path("prices/", self.admin_view(self.page(prices)), name="prices"),
            path("candidates/", self.admin_view(self.page(candidates)), name="candidates"),
            path("playground/", self.admin_view(self.page(playground)), name="playground"),
            path("playground/<slug:request_id>/", self.admin_view(self.page(call)), name="playground_call"),
            path(
                "playground/<slug:request_id>/<int:number>/",
                self.admin_view(self.page(part)),
                name="playground_part",
            ),
        ]
        return [*own, *super().get_urls()]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        told = {"dashboard": dashboard(timezone.now())} if request.user.has_perms(TOLD) else {}
        return super().index(request, {**told, **(extra_context or {})})

    def dashboard(self, request: HttpRequest) -> HttpResponse:
        """The part of the first page that it fetches again."""
        if not request.user.has_perms(TOLD):
            raise PermissionDenied
        return TemplateResponse(request, "admin/dashboard.html", {"dashboard": dashboard(timezone.now())})

    def search(self, request: HttpRequest) -> HttpResponse:
        return search(self, request)

    def page(self, view: Page) -> Callable[..., HttpResponse]:
        """A page that belongs to no model, for those who may see what it tells (`navigation.NEEDED`)."""

        def shown(request: HttpRequest, **parts: Any) -> HttpResponse:
            name = request.resolver_match.view_name if request.resolver_match else ""
            if not request.user.has_perms(NEEDED[name]):
                raise PermissionDenied
            return view(self, request, **parts)

        return shown

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        if context["has_permission"]:
            context["navigation"] = navigation(request, context["available_apps"])
        return context
