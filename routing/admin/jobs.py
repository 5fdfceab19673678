"""What came of the calls: the log, one call's trace, attempts, usage, and the journal's marks."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from orchestrators.admin import MeasuredAdmin, NameFilter, TimeFilter
from orchestrators.admin.columns import moment, money, number, sentence, two_lines
from orchestrators.display import moments
from orchestrators.display.states import state as badge
from orchestrators.models import Capability, Orchestrator, reach
from routing import joblog
from routing.joblog import Asked, BadQuestion, Page
from routing.models import (
    Attempt,
    Chore,
    Client,
    Job,
    JournalMark,
    KeptCall,
    OfferDay,
    UsageHour,
)
from routing.pages.trace import find, trace


@admin.register(Job)
class JobAdmin(MeasuredAdmin):
    """Both pages are our own; who may open them is the admin's to say."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.GET.get("q"):
            return self._named(request, request.GET["q"].replace("\0", "").strip()[:40])
        asked, wrong = Asked.read(request.GET), ""
        try:
            found = joblog.page(asked)
        except BadQuestion as exc:
            found, wrong = Page([]), str(exc)
        return self._log(request, asked, found, wrong)

    def _named(self, request: HttpRequest, request_id: str) -> HttpResponse:
        if find(request_id) is not None:
            return HttpResponseRedirect(reverse("admin:routing_job_change", args=[request_id]))
        return self._log(request, Asked(), Page([]), "", missed=request_id)

    def _log(
        self, request: HttpRequest, asked: Asked, found: Page, wrong: str, missed: str = ""
    ) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": _("Jobs"),
            "opts": self.opts,
            "asked": asked,
            "wrong": wrong,
            "missed": missed,
            "page": found,
            "slowest": max((each.ms for each in found.jobs), default=0),
            "choices": choices(),
            "chips": [
                (name, value, self._url({**asked.filters, name: ""})) for name, value in asked.filters.items()
            ],
            "older": found.older and self._url(asked.filters | {"before": found.older}),
            "newer": found.newer and self._url(asked.filters | {"after": found.newer}),
            "upwards": asked.upwards,
            "searched": reach.ROWS,
            "latest": self._url(asked.filters),
        }
        status = 400 if wrong else 200
        return TemplateResponse(request, "admin/routing/job/log.html", context, status=status)

    def _url(self, parameters: dict[str, str]) -> str:
        query = urlencode({name: value for name, value in parameters.items() if value})
        return reverse("admin:routing_job_changelist") + (f"?{query}" if query else "")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD") or not request.user.has_perms(
            ("routing.view_job", "routing.view_attempt")
        ):
            raise PermissionDenied
        record = find(unquote(object_id))
        if record is None:
            return self._log(request, Asked(), Page([]), "", missed=unquote(object_id))
        context = self.admin_site.each_context(request) | trace(record)
        context |= {"title": record.request_id, "opts": self.opts}
        return TemplateResponse(request, "admin/routing/job/trace.html", context)


def choices() -> dict[str, list[str]]:
    """Of each filter, by the few rows that have the names: no DISTINCT over a million."""
    return {
        "code": [joblog.FAILED, *joblog.CODES],
        "capability": list(Capability.objects.values_list("slug", flat=True)),
        "client": list(Client.objects.values_list("name", flat=True)),
        "orchestrator": list(Orchestrator.objects.order_by("name").values_list("name", flat=True)),
    }


class CapabilityFilter(NameFilter):
    title = parameter_name = "capability"

    def names(self) -> list[str]:
        return list(Capability.objects.values_list("slug", flat=True))


class ClientFilter(NameFilter):
    title = parameter_name = "client"

    def names(self) -> list[str]:
        return list(Client.objects.values_list("name", flat=True))


class OrchestratorFilter(NameFilter):
    title = parameter_name = "orchestrator"

    def names(self) -> list[str]:
        return list(Orchestrator.objects.values_list("name", flat=True))


@admin.register(Attempt)
class AttemptAdmin(MeasuredAdmin):
    list_display = (
        *(moment("at"), "request", "number", "offered", "ended", "took", "held_against"),
        sentence("detail"),
    )
    list_filter = (CapabilityFilter, OrchestratorFilter, TimeFilter)
    search_by_id = True
    search_fields = ("job__request_id__exact",)
    search_help_text = "The whole request id."
    ordering = ("-at",)

    @admin.display(description="request")
    def request(self, row: Attempt) -> SafeString:
        """Its end: it begins with the time."""
        page = reverse("admin:routing_job_change", args=[row.job_id])
        return format_html('<a class="mono" href="{}" title="{}">{}</a>', page, row.job_id, row.job_id[-12:])

    @admin.display(description="offer")
    def offered(self, row: Attempt) -> SafeString:
        return two_lines(row.orchestrator, row.capability)

    @admin.display(description="outcome")
    def ended(self, row: Attempt) -> SafeString:
        return two_lines(badge(row.outcome), row.status)

    @admin.display(description="took")
    def took(self, row: Attempt) -> SafeString:
        return two_lines(moments.milliseconds(row.ms), _("cold") if row.cold else "")


@admin.register(UsageHour)
class UsageHourAdmin(MeasuredAdmin):
    none_yet = "Nobody has called yet. Sums come here within seconds of a call."
    list_display = (
        *("hour", "client", "capability", number("requests"), number("failures"), "mean_ms"),
        *(number("bytes_in"), number("bytes_out"), money("wei", "cost")),
    )
    list_filter = (CapabilityFilter, ClientFilter)
    ordering = ("-hour",)

    @admin.display(description="mean")
    def mean_ms(self, row: UsageHour) -> str:
        return moments.milliseconds(row.milliseconds / row.requests if row.requests else None)


@admin.register(OfferDay)
class OfferDayAdmin(MeasuredAdmin):
    list_display = (
        *("day", "orchestrator", "capability", number("attempts"), number("failures")),
        money("wei", "cost"),
    )
    list_filter = (CapabilityFilter, OrchestratorFilter)
    ordering = ("-day",)


@admin.register(KeptCall)
class KeptCallAdmin(MeasuredAdmin):
    """What is kept of it, not the answer itself: that is its client's."""

    list_display = (
        *(moment("at"), "request_id", "client", "capability", "asynchronous", "state", "code", "status"),
        *(number("size"), moment("expires")),
    )
    ordering = ("-at",)
    fields = readonly_fields = (
        *("request_id", "client", "capability", "asynchronous", moment("at"), "state", "code", "status"),
        *(number("size"), moment("until", "ends"), moment("expires"), "cancel", "worker"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[KeptCall]:
        return super().get_queryset(request).defer("body", "headers", "key", "fingerprint")


@admin.register(JournalMark)
class JournalMarkAdmin(MeasuredAdmin):
    list_display = ("file", "offset")
    ordering = ("pk",)


@admin.register(Chore)
class ChoreAdmin(MeasuredAdmin):
    list_display = ("name", "due")
    ordering = ("pk",)
