"""Changes: every change set with what it changed, field by field, and the way back to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet, Value
from django.db.models.functions import Substr
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orchestrators.admin import MeasuredAdmin
from orchestrators.admin.columns import moment
from orchestrators.changes import configuration_at
from orchestrators.display.states import Tone, state
from orchestrators.models import ConfigRevision, Offer
from routing import configuration
from routing.configuration import Plan
from routing.configuration.sections import CAPABILITIES, ORCHESTRATORS, SECTIONS, TIERS, Section
from routing.models import PriceCeiling

BEGINNING = 160  # characters of a summary that the list shows
MOST_SHOWN = 500  # objects of a difference, lines of a plan
_COLOURS: dict[str, Tone] = {"admin": "good", "apply": "news", "command": "idle", "outside": "warn"}
# What a section writes beside its own model.
_ALSO: dict[str, tuple[type[Model], ...]] = {
    CAPABILITIES.name: (PriceCeiling,),
    TIERS.name: (PriceCeiling,),
    ORCHESTRATORS.name: (Offer,),
}


def may_write(request: HttpRequest, section: Section) -> bool:
    return request.user.has_perms(
        f"{model._meta.app_label}.{verb}_{model._meta.model_name}"
        for model in (section.model, *_ALSO.get(section.name, ()))
        for verb in ("add", "change", "delete")
    )


def way_back(request: HttpRequest, revision: ConfigRevision) -> tuple[dict[str, Any], list[str]]:
    """The sections of its configuration that this person may write, and the names of the others."""
    stored = configuration_at(revision)
    allowed = {each.name for each in SECTIONS if may_write(request, each)}
    return {name: stored[name] for name in stored if name in allowed}, [
        name for name in stored if name not in allowed
    ]


def digest(plan: Plan) -> str:
    """Of what would be done: what was shown is what is applied, or nothing."""
    return hashlib.sha256(json.dumps([plan.changes, plan.errors]).encode()).hexdigest()


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=300,
        help_text=gettext_lazy("Kept with the change, for whoever reads the history."),
    )


@admin.register(ConfigRevision)
class ConfigRevisionAdmin(MeasuredAdmin):
    list_display = ("id", moment("at", "when"), "by", "way", "what", "why")
    list_display_links = ("id", "what")
    list_filter = ("via",)
    search_fields = ("who", "why", "summary")
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConfigRevision]:
        rows: QuerySet[ConfigRevision] = super().get_queryset(request)
        return rows.defer("bundle", "summary").annotate(beginning=Substr("summary", 1, Value(BEGINNING)))

    @admin.display(description=gettext_lazy("who"))
    def by(self, row: ConfigRevision) -> str:
        return row.who or "–"

    @admin.display(description=gettext_lazy("by way of"))
    def way(self, row: ConfigRevision) -> SafeString:
        return state(row.get_via_display(), colour=_COLOURS[row.via])

    @admin.display(description=gettext_lazy("what"))
    def what(self, row: Any) -> SafeString | str:
        first, _newline, rest = row.beginning.partition("\n")
        if not first:
            return _("found by comparing") if row.via == ConfigRevision.Via.OUTSIDE else _("see the difference")
        return format_html("{}{}", first, " …" if rest or len(row.beginning) == BEGINNING else "")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.back_view)
        return [path("<int:pk>/back/", view, name="orchestrators_configrevision_back"), *super().get_urls()]

    # --- one change ---------------------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if request.method != "GET":
            raise PermissionDenied
        revision = self._revision(request, object_id)
        earlier = ConfigRevision.objects.filter(pk__lt=revision.pk).first()
        stored = configuration_at(revision)
        differs = configuration.difference(configuration_at(earlier), stored) if earlier else []
        later = ConfigRevision.objects.filter(pk__gt=revision.pk).order_by("pk").defer("bundle", "summary")
        return self._page(
            request,
            "admin/changes/change.html",
            revision,
            colour=_COLOURS[revision.via],
            earlier=earlier,
            later=later.first(),
            differs=differs[:MOST_SHOWN],
            unshown=len(differs) - MOST_SHOWN,
            told=revision.summary.splitlines()[:MOST_SHOWN],
            document=json.dumps(stored, indent=2, ensure_ascii=False),
            may_go_back=any(may_write(request, each) for each in SECTIONS),
        )

    # --- back to here -------------------------------------------------------------------------------

    def back_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET: what going back would do. POST: that, and nothing else, with a reason."""
        revision = self._revision(request, str(pk))
        document, left = way_back(request, revision)
        if not document:
            raise PermissionDenied
        form = ReasonForm(request.POST if request.method == "POST" else None)
        plan = configuration.plan(document, prune=True)
        if form.is_valid() and not plan.errors:
            shown = request.POST.get("digest", "")
            if digest(plan) == shown:  # and still is, once nobody else writes
                plan = configuration.apply(
                    document,
                    who=request.user.get_username(),
                    why=f"back to #{revision.pk}: {form.cleaned_data['reason']}",
                    via="admin",
                    prune=True,
                    confirm=lambda plan: digest(plan) == shown,
                )
            if digest(plan) == shown:
                text = _("The configuration is that of #%(number)s again; the gateway knows within a second.")
                self.message_user(request, text % {"number": revision.pk}, messages.SUCCESS)
                return HttpResponseRedirect(reverse("admin:orchestrators_configrevision_changelist"))
            text = _("Something has changed since this was shown; nothing was done. Here is what there is now.")
            self.message_user(request, text, messages.WARNING)
        return self._page(
            request,
            "admin/changes/back.html",
            revision,
            form=form,
            plan=plan,
            digest=digest(plan),
            lines=list(_shown(plan.changes)),
            left=left,
        )

    def _revision(self, request: HttpRequest, key: str) -> ConfigRevision:
        if not self.has_view_permission(request):
            raise PermissionDenied
        revision = ConfigRevision.objects.filter(pk=key).first() if key.isdecimal() else None
        if revision is None:
            raise Http404
        return revision

    def _page(
        self, request: HttpRequest, template: str, revision: ConfigRevision, **more: Any
    ) -> TemplateResponse:
        title = _("Change #%(number)s") % {"number": revision.pk}
        frame = {**self.admin_site.each_context(request), "title": title, "opts": self.opts}
        return TemplateResponse(request, template, {**frame, "revision": revision, **more})


def _shown(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Each with the tone of its sign: added, removed, changed."""
    tones = {"+": "good", "-": "bad"}
    for line in lines[:MOST_SHOWN]:
        yield tones.get(line[:1], "warn"), line[2:]
    if len(lines) > MOST_SHOWN:
        yield "idle", _("and %(number)s more") % {"number": len(lines) - MOST_SHOWN}
