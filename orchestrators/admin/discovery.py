"""Discovery: the sources, what they said, and a page that asks them, shows the difference and applies it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from orchestrators.admin.columns import cut, moment
from orchestrators.admin.door import PolicyAdmin
from orchestrators.admin.measured import MeasuredAdmin, NameFilter
from orchestrators.discovery import Plan, apply, look, propose, remember
from orchestrators.display.moments import length, when
from orchestrators.display.states import state
from orchestrators.models import DiscoveredEndpoint, DiscoveryRun, DiscoverySource, Mode
from orchestrators.standing import waiting

MOST_SHOWN = 200  # lines of each part of a plan
PAGE = "orchestrators_discoverysource_discover"


class PlanChanged(Exception):
    """What would be applied is not what was shown."""


@admin.register(DiscoverySource)
class DiscoverySourceAdmin(PolicyAdmin):
    none_yet = (
        "No source yet. One is a list of orchestrators, by URL or as text; manage.py "
        "discover_orchestrators asks it, and what it names waits at Candidates."
    )
    list_display = ("name", "read_as", "is_on", "becomes", "every", "endpoints", "asked", "succeeded", "said")
    list_filter = ("enabled", "trusted", "format")
    search_fields = ("name", "url")
    change_list_template = "admin/orchestrators/discoverysource/change_list.html"
    fieldsets = (
        (None, {"fields": ("name", "enabled", "format")}),
        ("Where the list is", {"fields": ("url", "verify_tls", "headers", "text", "interval")}),
        ("What becomes of it", {"fields": ("trusted", "names", "exclude")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[DiscoverySource]:
        latest = DiscoveryRun.objects.filter(source=OuterRef("pk")).order_by("-id")
        sources: QuerySet[DiscoverySource] = super().get_queryset(request)
        return sources.annotate(
            listed=Count("endpoints", filter=Q(endpoints__listed=True)),
            kept=Count("endpoints"),
            asked_at=Subquery(latest.values("at")[:1]),
            good_at=Subquery(latest.filter(ok=True).values("at")[:1]),
            detail=Subquery(latest.values("detail")[:1]),
        )

    @admin.display(description="format", ordering="format")
    def read_as(self, row: Any) -> str:
        return str(row.format)

    @admin.display(description="asked at all", ordering="enabled")
    def is_on(self, row: Any) -> SafeString:
        return state(Mode.ACTIVE, _("yes")) if row.enabled else state(Mode.DISABLED, _("no"))

    @admin.display(description="what it names", ordering="trusted")
    def becomes(self, row: Any) -> SafeString:
        return state(Mode.ACTIVE, _("is active at once")) if row.trusted else state(Mode.DISCOVERED, _("waits"))

    @admin.display(description="every", ordering="interval")
    def every(self, row: Any) -> str:
        return length(row.interval)

    @admin.display(description="endpoints")
    def endpoints(self, row: Any) -> str:
        return _("%(listed)s listed, %(kept)s kept") % {"listed": row.listed, "kept": row.kept}

    @admin.display(description="asked", ordering="asked_at")
    def asked(self, row: Any) -> str:
        return when(row.asked_at, timezone.now())

    @admin.display(description="last good answer", ordering="good_at")
    def succeeded(self, row: Any) -> str:
        return when(row.good_at, timezone.now())

    @admin.display(description="what came of it")
    def said(self, row: Any) -> str:
        return (row.detail or "").partition("\n")[0][:200]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.discover_view)
        return [path("discover/", view, name=PAGE), *super().get_urls()]

    def discover_view(self, request: HttpRequest) -> HttpResponse:
        """GET: the diff, from what is remembered. POST `ask`: ask first. POST `apply`: what was shown."""
        may_apply = self.has_change_permission(request) and request.user.has_perms(
            ["orchestrators.add_orchestrator", "orchestrators.add_offer"]
        )
        if not self.has_view_permission(request) or (request.method == "POST" and not may_apply):
            raise PermissionDenied
        try:
            if request.method == "POST":
                self._post(request)
                return HttpResponseRedirect(reverse(f"admin:{PAGE}"))
            plan = propose([], now=timezone.now())
        except (OperationalError, InterfaceError) as error:
            self.message_user(request, _("The database is away: %s") % error, messages.ERROR)
            plan = Plan()
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": _("Discover orchestrators"),
            "opts": self.opts,
            "plan": plan,
            "changes": _shown(plan.changes),
            "notes": _shown(plan.notes),
            "may_apply": may_apply,
            "waiting": waiting().count(),
        }
        return TemplateResponse(request, "admin/orchestrators/discoverysource/discover.html", context)

    def _post(self, request: HttpRequest) -> None:
        if "ask" in request.POST:
            self._ask(request)
        else:
            self._apply(request, request.POST.get("digest", ""))

    def _ask(self, request: HttpRequest) -> None:
        """Observations, not policy: no change set, and nothing is decided yet."""
        looks = look(list(DiscoverySource.objects.filter(enabled=True)))
        with transaction.atomic():
            events = remember(looks, timezone.now())
        good = sum(each.answer is not None for each in looks)
        level = messages.SUCCESS if good == len(looks) else messages.WARNING
        text = _("%(good)s of %(all)s sources answered.") % {"good": good, "all": len(looks)}
        self.message_user(request, text, level)
        for line in _shown(events):
            self.message_user(request, line, messages.WARNING)

    def _apply(self, request: HttpRequest, digest: str) -> None:
        def confirm(plan: Plan) -> None:
            if plan.digest != digest:
                raise PlanChanged

        try:
            who = request.user.get_username()
            plan = apply([], who=who, via="admin", now=timezone.now(), why="admin: discovery", show=confirm)
        except PlanChanged:
            text = _(
                "Something has changed since this was shown; nothing was applied. Here is what there is now."
            )
            self.message_user(request, text, messages.WARNING)
            return
        self.message_user(request, _("Applied. Changes: %s.") % len(plan.changes), messages.SUCCESS)


def _shown(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_SHOWN
    return lines if more <= 0 else [*lines[:MOST_SHOWN], f"... and {more} more lines"]


class SourceFilter(NameFilter):
    title = "source"
    parameter_name = "source__name"

    def names(self) -> list[str]:
        return list(DiscoverySource.objects.values_list("name", flat=True))


@admin.register(DiscoveryRun)
class DiscoveryRunAdmin(MeasuredAdmin):
    list_display = ("at", "source", "ok", "found", "first_line")
    list_filter = (SourceFilter, "ok")
    list_select_related = ("source",)
    ordering = ("-id",)

    @admin.display(description="detail")
    def first_line(self, run: DiscoveryRun) -> str:
        return run.detail.partition("\n")[0][:200]


@admin.register(DiscoveredEndpoint)
class DiscoveredEndpointAdmin(MeasuredAdmin):
    """What is old is deleted by people alone; an orchestrator made of it stays."""

    list_display = ("service_uri", "source", "listed", moment("last_seen"), "serves", "score", "eth_address")
    list_filter = (SourceFilter, "listed")
    list_select_related = ("source",)
    search_fields = ("service_uri",)
    ordering = ("service_uri",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("orchestrators.delete_discoveredendpoint")

    @admin.display(description="serves")
    def serves(self, endpoint: DiscoveredEndpoint) -> str:
        """Each name with what it is said to cost."""
        names = endpoint.as_claim().entry.serves
        return ", ".join(f"{each.name} ({each.price})" if each.price else each.name for each in names)[:500]

    @admin.display(description="score")
    def score(self, endpoint: DiscoveredEndpoint) -> str:
        return str(endpoint.said.get("score", ""))

    @admin.display(description="ETH address")
    def eth_address(self, endpoint: DiscoveredEndpoint) -> SafeString:
        return cut(str(endpoint.said.get("eth_address", "")))
