"""How far traffic goes: activate, drain, disable, ignore for a while; approve or reject what waits for it.

Whoever takes traffic away sees first what would follow, and says why; the record of the change keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orchestrators.admin.acting import Operated
from orchestrators.admin.deleting import ReasonedDeletion
from orchestrators.admin.door import note, reason
from orchestrators.display.moments import utc
from orchestrators.models import Mode
from orchestrators.models.fields import is_key


@dataclass(frozen=True, slots=True)
class Step:
    """`mode`: what the rows are set to; None: ignored for a while. `told`: what that means."""

    title: str | Promise
    told: str | Promise
    mode: Mode | None


STEPS: Mapping[str, Step] = {
    "activate": Step(
        gettext_lazy("Activate"),
        gettext_lazy("Calls go there within a second, as far as health and price allow."),
        Mode.ACTIVE,
    ),
    "drain": Step(
        gettext_lazy("Drain"),
        gettext_lazy("Nothing new goes there; what is under way finishes, and probes go on."),
        Mode.DRAINING,
    ),
    "disable": Step(
        gettext_lazy("Disable"),
        gettext_lazy("Nothing new goes there, not even probes; what is under way finishes."),
        Mode.DISABLED,
    ),
    "ignore": Step(
        gettext_lazy("Ignore for a while"),
        gettext_lazy("No call goes there until then; probes go on, and it comes back by itself."),
        None,
    ),
    "approve": Step(
        gettext_lazy("Approve"),
        gettext_lazy(
            "Calls go there within a second, as far as share, health and price allow. An orchestrator that "
            "waits becomes active with it; what else it offers goes on waiting."
        ),
        Mode.ACTIVE,
    ),
    "reject": Step(
        gettext_lazy("Reject"),
        gettext_lazy(
            "It is disabled: no calls, no probes, and no source brings it back. Resume it at any time."
        ),
        Mode.DISABLED,
    ),
}


class ReasonForm(ActionForm):
    """Beside the choice of an action."""

    reason = forms.CharField(required=False, max_length=300, label=gettext_lazy("Why:"))


class SteeringForm(forms.Form):
    """`share`: for those who approve, in per cent; `hours`: for those who ignore."""

    HOURS: ClassVar = (
        (1, gettext_lazy("1 hour")),
        (4, gettext_lazy("4 hours")),
        (24, gettext_lazy("1 day")),
        (168, gettext_lazy("1 week")),
    )
    share = forms.DecimalField(
        min_value=0,
        max_value=100,
        initial=10,
        label=gettext_lazy("Share of the traffic, in per cent"),
        help_text=gettext_lazy(
            "The most of its capability's calls that it may win: begin small, and raise it on the offer's page."
        ),
        widget=forms.NumberInput(attrs={"step": "any"}),
    )
    reason = forms.CharField(
        max_length=300,
        label=gettext_lazy("Why"),
        help_text=gettext_lazy("Kept with the change, for whoever asks later."),
        widget=forms.TextInput(attrs={"class": "vTextField", "autofocus": True}),
    )
    hours = forms.TypedChoiceField(coerce=int, choices=HOURS, label=gettext_lazy("For"))

    def __init__(self, step: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].required = step != "activate"
        for name, only in (("share", "approve"), ("hours", "ignore")):
            if step != only:
                del self.fields[name]


class Steering(ReasonedDeletion, Operated):
    """For models with a `mode`. `steps`: names in STEPS. `acts`: actions that write no policy."""

    action_form = ReasonForm
    steps: tuple[str, ...] = ("activate", "drain", "disable")
    acts: tuple[str, ...] = ("probe_now",)
    unlocked_actions = frozenset({"drain", "disable"})  # they ask first

    def get_urls(self) -> list[URLPattern]:
        base, guarded = f"{self.opts.app_label}_{self.opts.model_name}", self.admin_site.admin_view
        own = [
            path("steer/<slug:step>/", guarded(self.steering_view), name=f"{base}_steer"),
            path("act/<slug:act>/", guarded(self.acting_view), name=f"{base}_act"),
        ]
        return [*own, *super().get_urls()]

    @admin.action(description=gettext_lazy("Activate"), permissions=["operate"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._set(request, queryset, Mode.ACTIVE)

    @admin.action(
        description=gettext_lazy("Drain: finish what is running, get nothing new"), permissions=["operate"]
    )
    def drain(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return self._ask(request, "drain", queryset, SteeringForm("drain", initial={"reason": reason(request)}))

    @admin.action(description=gettext_lazy("Disable"), permissions=["operate"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return self._ask(
            request, "disable", queryset, SteeringForm("disable", initial={"reason": reason(request)})
        )

    def steering_view(self, request: HttpRequest, step: str) -> HttpResponse:
        """Of the rows `id`. GET, or POST of `ask`: what would follow. POST: it does, for the reason given."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        if step not in self.steps:
            raise Http404
        rows = self._named(request)
        if request.method != "POST" or "ask" in request.POST:
            given = request.POST if request.method == "POST" else request.GET
            return self._ask(request, step, rows, SteeringForm(step, initial=given.dict()))
        form = SteeringForm(step, request.POST)
        if not form.is_valid():
            return self._ask(request, step, rows, form)
        why = ": ".join(filter(None, (step, form.cleaned_data["reason"])))
        self._through_the_door(request, why, self._steer, step, rows, form.cleaned_data)
        return HttpResponseRedirect(self._back(request))

    def acting_view(self, request: HttpRequest, act: str) -> HttpResponse:
        """One of `acts`, on the rows `id`."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if act not in self.acts:
            raise Http404
        getattr(self, act)(request, self._named(request))
        return HttpResponseRedirect(self._back(request))

    def _named(self, request: HttpRequest) -> QuerySet[Any]:
        given = request.POST if request.method == "POST" else request.GET
        keys = [each for each in given.getlist("id") if is_key(each)]
        related = [each.name for each in self.opts.fields if each.name in ("orchestrator", "capability")]
        rows: QuerySet[Any] = self.model._default_manager.filter(pk__in=keys).select_related(*related)
        if not rows:
            raise Http404
        return rows

    def _ask(self, request: HttpRequest, step: str, rows: QuerySet[Any], form: SteeringForm) -> HttpResponse:
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": STEPS[step].title,
            "step": step,
            "told": STEPS[step].told,
            "rows": list(rows),
            "form": form,
            "action": reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_steer", args=[step]),
            "back": self._back(request),
        }
        return TemplateResponse(request, "admin/steer.html", context)

    def _back(self, request: HttpRequest) -> str:
        given = request.POST.get("next") or request.GET.get("next") or ""
        if url_has_allowed_host_and_scheme(given, {request.get_host()}, require_https=request.is_secure()):
            return given
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def _steer(self, request: HttpRequest, step: str, rows: QuerySet[Any], said: dict[str, Any]) -> None:
        mode = STEPS[step].mode
        if mode is not None:
            self._set(request, rows, mode)

    def _set(self, request: HttpRequest, rows: QuerySet[Any], mode: Mode) -> None:
        changed = [str(row) for row in rows.exclude(mode=mode)]
        rows.update(mode=mode)
        for name in changed:
            note(request, f"{mode}: {name}")
        text = _("%(changed)s of %(all)s changed to %(mode)s; the gateway knows within a second.")
        self.message_user(
            request, text % {"changed": len(changed), "all": rows.count(), "mode": mode}, messages.SUCCESS
        )


class OfferSteering(Steering):
    """Offers can be ignored, too; who activates one that is, ends that."""

    steps = (*Steering.steps, "ignore")

    def _steer(self, request: HttpRequest, step: str, rows: QuerySet[Any], said: dict[str, Any]) -> None:
        if step == "ignore":
            self._ignore(request, rows, timezone.now() + timedelta(hours=said["hours"]))
        else:
            super()._steer(request, step, rows, said)

    def _set(self, request: HttpRequest, rows: QuerySet[Any], mode: Mode) -> None:
        if mode == Mode.ACTIVE:
            for row in rows.exclude(ignored_until=None):
                note(request, f"not ignored any more: {row}")
            rows.update(ignored_until=None)
        super()._set(request, rows, mode)

    def _ignore(self, request: HttpRequest, rows: QuerySet[Any], until: datetime) -> None:
        rows.update(ignored_until=until)
        for row in rows:
            note(request, f"ignored until {utc(until)}: {row}")
        text = _("%(number)s ignored until %(until)s.") % {"number": rows.count(), "until": utc(until)}
        self.message_user(request, text, messages.SUCCESS)
