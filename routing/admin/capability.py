"""A capability's page: the supply side's, with what demand decides of it, how it fared, and what the form as it
stands would do before it is saved.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import all_valid
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orchestrators.admin import CapabilityAdmin, warn
from orchestrators.admin.choosing import ListedField
from orchestrators.display.amounts import percent
from orchestrators.display.moments import milliseconds
from orchestrators.display.sentences import told
from orchestrators.models import Capability, RoutingProfile
from orchestrators.models.advice import about_parts
from routing import history
from routing import table as tables
from routing.admin.prices import PriceCeilingInline, in_dollars
from routing.dashboard import current
from routing.explain import stored_board
from routing.models import Client
from routing.models.ceiling import about_ceilings, suggested
from routing.models.rate import rate_beside, with_rate
from routing.preview import preview
from routing.table import RoutingTable, Rows

INHERITED = (
    *("retry_timeout", "attempt_timeout", "cold_grace", "max_attempts", "max_in_flight", "value_of_second"),
)
NOT_CHAINED = ("warm", "per-frame")  # of the shipped profiles
WINDOWS = (
    (gettext_lazy("hour"), timedelta(hours=1)),
    (gettext_lazy("day"), timedelta(days=1)),
    (gettext_lazy("week"), timedelta(days=7)),
)
TEMPLATES = "admin/orchestrators/capability"
LEFT_OUT = ("csrfmiddlewaretoken", "_preview")

admin.site.unregister(Capability)


@admin.register(Capability)
class PricedCapabilityAdmin(CapabilityAdmin):
    """The supply side's, with what demand decides of a capability."""

    list_display = (*CapabilityAdmin.list_display, "ceiling")
    readonly_fields = ("lately",)
    fieldsets: ClassVar[Any] = (*CapabilityAdmin.fieldsets, ("Lately", {"fields": ("lately",)}))
    inlines = (PriceCeilingInline, *CapabilityAdmin.inlines)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Capability]:
        rows = super().get_queryset(request)
        if request.resolver_match is not None and request.resolver_match.kwargs:
            return rows.select_related("profile")  # one is opened; its lines bring the ceilings
        return with_rate(rows.prefetch_related("ceilings__tier", "parts__profile", "parts__ceilings"))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What is not chained has no parts, so the page does not ask for them; a new one has no past."""
        if obj is None:
            return self.fieldsets[:-1]
        if obj.profile.slug not in NOT_CHAINED:
            return self.fieldsets
        return [
            (title, options | {"fields": tuple(name for name in options["fields"] if name != "parts")})
            for title, options in self.fieldsets
        ]

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> Any:
        """The offers of one that is there have pages of their own, and the preview beside the form."""
        return self.inlines if obj is None else (PriceCeilingInline,)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        warn(request, about_parts(form.instance, form.instance.parts.select_related("profile")))
        warn(request, about_ceilings(form.instance))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """A client limited to a capability alone would be left with an empty list, which means everything."""
        deleted, counts, missing, protected = super().get_deleted_objects(objs, request)
        limited = Client.objects.filter(capabilities__in=objs).distinct()
        return deleted, counts, missing, [*protected, *(f"Client limited to it: {each}" for each in limited)]

    @admin.display(description="price ceiling")
    def ceiling(self, capability: Capability) -> str:
        ceilings: Any = capability.ceilings
        rate = rate_beside(capability)
        told = [(each.tier or _("all"), in_dollars(each.price, rate)) for each in ceilings.all()]
        if told:
            return format_html_join(", ", "{}: {}", told)
        return format_html(_("undecided (suggested: {})"), in_dollars(suggested(capability), rate))

    @admin.display(description="p95 and errors")
    def lately(self, capability: Capability) -> str:
        """For the last hour, day and week (R72)."""
        now = timezone.now()
        found = history.lately(capability.slug, [now - window for _name, window in WINDOWS])
        return "; ".join(
            f"{name}: {_('no calls')}"
            if rate is None
            else f"{name}: {_('%(share)s errors') % {'share': percent(rate, 1)}}, p95 {milliseconds(p95)}"
            for (name, _window), (rate, p95) in zip(WINDOWS, found, strict=True)
        )

    # --- the form as it stands ---------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.preview_view)
        own = path("<int:pk>/change/preview/", view, name="orchestrators_capability_preview")
        return [own, *super().get_urls()]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_foreignkey(db_field, request, **{"form_class": ListedField, **kwargs})

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """An empty field shows what its profile says instead."""
        form = super().get_form(request, obj, change=change, **kwargs)
        if obj is None:
            return form
        profiles = list(RoutingProfile.objects.all())
        if "profile" in form.base_fields:
            choice: Any = form.base_fields["profile"]
            choice.offer(profiles)
        for name in INHERITED:
            if name in form.base_fields:
                values = {str(each.pk): f"{getattr(each, name):.12g}" for each in profiles}
                attrs = form.base_fields[name].widget.attrs
                attrs["data-inherited"] = json.dumps(values)
                attrs["placeholder"] = values.get(str(obj.profile_id), "")
        return form

    def preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """POST of the page's own form: what it would do. Nothing is written.

        With `X-Requested-With: fetch` the answer is the part of the page alone.
        """
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        capability = self.get_object(request, str(pk))
        if capability is None:
            raise Http404
        if not self.has_change_permission(request, capability):
            raise PermissionDenied
        rows, before = current()
        errors, after = self._tried(request, capability, rows)
        told = preview(pk, before, after or before, stored_board(), timezone.now())
        context = {"p": told, "errors": errors, "tried": True, "original": capability}
        if request.headers.get("X-Requested-With") == "fetch":
            return TemplateResponse(request, f"{TEMPLATES}/preview.html", context)
        fields = [
            (name, value) for name, values in request.POST.lists() for value in values if name not in LEFT_OUT
        ]
        whole = self.admin_site.each_context(request) | context
        shown = {"opts": self.opts, "title": _("Preview"), "fields": fields}
        return TemplateResponse(request, f"{TEMPLATES}/previewed.html", whole | shown)

    def _tried(
        self, request: HttpRequest, capability: Capability, rows: Rows
    ) -> tuple[list[str], RoutingTable | None]:
        """(what is wrong with the form, the routing table of these rows with it saved)."""
        form = self.get_form(request, capability, change=True)(request.POST, instance=capability)
        formsets, _inlines = self._create_formsets(request, capability, change=True)  # type: ignore[attr-defined]
        if not (all_valid(formsets) & form.is_valid()):
            return list(_told(form, formsets)), None
        ceilings = [line for formset in formsets for line in _left(formset)]
        return [], tables.assemble(rows.saving(capability, ceilings), settings.WEB_CONCURRENCY)


def _left(formset: Any) -> Iterator[Any]:
    """The rows of its lines, once saved."""
    for line in formset.forms:
        is_row = line.has_changed() or not line.instance._state.adding
        if is_row and line not in formset.deleted_forms:
            yield line.instance


def _told(form: Any, formsets: Any) -> Iterator[str]:
    forms = [form, *(each for formset in formsets for each in formset.forms)]
    for each in forms:
        for name, errors in each.errors.items():
            label = each.fields[name].label if name in each.fields else ""
            yield from (format_html("{}: {}", label, told(error)) if label else told(error) for error in errors)
    for formset in formsets:
        yield from map(told, formset.non_form_errors())
