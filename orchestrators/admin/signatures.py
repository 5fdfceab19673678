"""Failure signatures: the list, and a page that classifies a pasted answer by the same rules as traffic."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orchestrators.admin.columns import two_lines
from orchestrators.admin.door import PolicyAdmin
from orchestrators.core.classify import Answered, Setting, Verdict, judge
from orchestrators.core.contract import Contract
from orchestrators.core.effects import in_words
from orchestrators.core.latency import Latency, cold_threshold
from orchestrators.models import Capability, FailureSignature
from orchestrators.models.orchestrator import ProtocolChoice

LONGEST = 64 * 1024  # characters of a pasted body; as much as is judged of an answer


def read_headers(text: str) -> dict[str, str]:
    """Lines of `name: value` -> names in lower case. Raises ValueError with a sentence."""
    headers = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f'"{line[:80]}" is no header; write one name: value a line.')
        headers[name.strip().lower()] = value.strip()
    return headers


class AnswerForm(forms.Form):
    """An answer as a person has it before them."""

    protocol = forms.ChoiceField(
        label=gettext_lazy("Protocol"),
        choices=[(name, gettext_lazy(label)) for name, label in ProtocolChoice.choices],
        initial=ProtocolChoice.BYOC,
        help_text=gettext_lazy(
            "byoc: an orchestrator is in front and has texts of its own. direct: a bare container."
        ),
    )
    capability = forms.ModelChoiceField(
        Capability.objects.all(),
        label=gettext_lazy("Capability"),
        required=False,
        empty_label=gettext_lazy("none: any content"),
        help_text=gettext_lazy("Whose contract a success has to keep."),
    )
    status = forms.IntegerField(label=gettext_lazy("Status"), min_value=100, max_value=599, initial=500)
    content_type = forms.CharField(
        required=False, initial="application/json", label=gettext_lazy("Content type")
    )
    headers = forms.CharField(
        label=gettext_lazy("Headers"),
        required=False,
        widget=forms.Textarea({"rows": 3, "cols": 80}),
        help_text=gettext_lazy("The other headers, one a line, such as Retry-After: 5."),
    )
    body = forms.CharField(
        label=gettext_lazy("Body"),
        required=False,
        strip=False,
        max_length=LONGEST,
        widget=forms.Textarea({"rows": 10, "cols": 80}),
        help_text=gettext_lazy("All of it, or the first event of a stream."),
    )
    seconds = forms.FloatField(
        label=gettext_lazy("Seconds"),
        min_value=0,
        initial=0.5,
        help_text=gettext_lazy("How long it took, from an offer that is not known to be warm."),
    )
    path_known = forms.BooleanField(
        required=False,
        initial=True,
        label=gettext_lazy("The path is known"),
        help_text=gettext_lazy(
            "The offer has served this path before, so that a 404 or 405 there is a mismatch."
        ),
    )

    def clean_headers(self) -> dict[str, str]:
        try:
            return read_headers(self.cleaned_data["headers"])
        except ValueError as exc:
            raise forms.ValidationError(str(exc)) from exc

    def clean_capability(self) -> Capability | None:
        capability: Capability | None = self.cleaned_data["capability"]
        try:
            if capability is not None:
                capability.contract()
        except ValueError as exc:
            raise forms.ValidationError(_("Its contract cannot be used: %s") % exc) from exc
        return capability

    def verdict(self) -> Verdict:
        """By the signatures in force. The form must be valid."""
        said = self.cleaned_data
        capability: Capability | None = said["capability"]
        # a browser ends lines with CR LF, whatever was pasted
        body = said["body"].replace("\r\n", "\n").encode()
        answered = Answered(
            status=said["status"],
            headers={**said["headers"], "content-type": said["content_type"]},
            body=body,
            whole=True,
            latency=said["seconds"],
        )
        target = capability.profile.latency_target_ms / 1000 if capability else float("inf")
        setting = Setting(
            protocol=said["protocol"],
            contract=capability.contract() if capability else Contract(),
            path_known=said["path_known"],
            cold_over=cold_threshold(Latency(), target),
            signatures=FailureSignature.objects.in_force(),
        )
        return judge(answered, setting)


@admin.register(FailureSignature)
class FailureSignatureAdmin(PolicyAdmin):
    list_display = ("name", "order", "enabled", "cls", "statuses", "says", "note")
    list_editable = ("order", "enabled")
    list_filter = ("cls", "enabled")
    search_fields = ("name", "text", "header", "note")
    change_list_template = "admin/orchestrators/failuresignature/change_list.html"
    fieldsets = (
        (None, {"fields": ("name", "order", "enabled")}),
        ("An answer like this", {"fields": (("status_from", "status_to"), "text", "header")}),
        ("is", {"fields": ("cls", "note")}),
    )

    @admin.display(description="status", ordering="status_from")
    def statuses(self, row: FailureSignature) -> str:
        if row.status_from == row.status_to:
            return str(row.status_from)
        return _("%(first)s to %(last)s") % {"first": row.status_from, "last": row.status_to}

    @admin.display(description="text", ordering="text")
    def says(self, row: FailureSignature) -> SafeString:
        return two_lines(row.text, row.header)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.classify_view)
        return [path("classify/", view, name="orchestrators_failuresignature_classify"), *super().get_urls()]

    def classify_view(self, request: HttpRequest) -> HttpResponse:
        """Changes nothing, so who may see the signatures may ask."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = AnswerForm(request.POST if request.method == "POST" else None)
        verdict = form.verdict() if form.is_bound and form.is_valid() else None
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": _("Classify an answer"),
            "opts": self.opts,
            "form": form,
            "verdict": verdict,
            "signature": self._row(verdict),
            "effects": in_words(verdict.outcome) if verdict else (),
        }
        return TemplateResponse(request, "admin/orchestrators/failuresignature/classify.html", context)

    def _row(self, verdict: Verdict | None) -> FailureSignature | None:
        if verdict is None or verdict.signature is None:
            return None
        return FailureSignature.objects.filter(name=verdict.signature.name).first()
