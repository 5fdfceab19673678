"""API keys: issued and shown once, rotated with an overlap, revoked within a second; asked about before."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from orchestrators.admin import MeasuredInline, PolicyAdmin
from orchestrators.admin.columns import moment
from orchestrators.changes import change_set
from orchestrators.display import moments, states
from orchestrators.models.fields import is_key
from routing.models import ApiKey, Client

OVERLAPS = (
    ("0", gettext_lazy("not at all: the old key is refused within a second")),
    ("3600", gettext_lazy("for an hour")),
    ("86400", gettext_lazy("for a day")),
    ("604800", gettext_lazy("for seven days")),
)
LATELY = timedelta(hours=1)
DOING = ("routing.add_apikey", "routing.change_apikey")  # what rotating and revoking ask for
Secrets = list[tuple[ApiKey, str]]


class WhyForm(forms.Form):
    reason = forms.CharField(
        required=False,
        max_length=300,
        label=gettext_lazy("Why"),
        help_text=gettext_lazy("Goes into the history."),
    )


class RotateForm(WhyForm):
    overlap = forms.ChoiceField(
        choices=OVERLAPS,
        initial="86400",
        label=gettext_lazy("The old key works on"),
        help_text=gettext_lazy("Long enough for every caller to change over."),
    )


class KeyStateFilter(admin.SimpleListFilter):
    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("valid", _("valid")), ("soon", _("expires soon")), ("over", _("expired or revoked"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        now = timezone.now()
        valid = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now))
        soon = Q(revoked_at=None, expires_at__gt=now, expires_at__lte=now + ApiKey.SOON)
        chosen = {"valid": valid, "soon": soon, "over": ~valid}.get(self.value() or "")
        return queryset if chosen is None else queryset.filter(chosen)


class KeyColumns:
    """What a list of keys shows, wherever it stands. `doing` comes last, for those who may."""

    @admin.display(description=gettext_lazy("state"))
    def state(self, key: ApiKey) -> SafeString:
        return states.state(key.standing(timezone.now()))

    @admin.display(description=gettext_lazy("from"), empty_value="–")
    def where(self, key: ApiKey) -> str:
        return ", ".join(key.networks) or _("anywhere")

    @admin.display(description=gettext_lazy("last used"))
    def used(self, key: ApiKey) -> str:
        return _("never") if key.last_used is None else moments.when(key.last_used, timezone.now())

    @admin.display(description="")
    def doing(self, key: ApiKey) -> SafeString | str:
        if key.revoked_at is not None:
            return ""
        return format_html(
            '<a href="{}">{}</a> · <a href="{}">{}</a>',
            *(address("rotate", [key]), _("Rotate"), address("revoke", [key]), _("Revoke")),
        )


class ApiKeyInline(KeyColumns, MeasuredInline):
    """A client's keys on its page: to be read; issuing and changing them has pages of its own."""

    model = ApiKey
    show_change_link = True
    fields = readonly_fields = (
        *(
            "hint",
            "label",
            "state",
            "scope",
            "where",
            moment("created_at"),
            moment("expires_at"),
            "used",
            "doing",
        ),
    )

    def get_fields(self, request: HttpRequest, obj: Client | None = None) -> tuple[str, ...]:
        return self.fields if request.user.has_perms(DOING) else self.fields[:-1]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        return super().get_queryset(request).select_related("client")  # whom a key's name tells


@admin.register(ApiKey)
class ApiKeyAdmin(KeyColumns, PolicyAdmin):
    list_display = (
        *(
            "hint",
            "client",
            "label",
            "state",
            "scope",
            "where",
            "used",
            moment("expires_at", "expires"),
        ),
        "doing",
    )
    list_filter = (KeyStateFilter, "client")
    list_select_related = ("client",)
    search_fields = ("client__name", "label", "hint")
    fields = (
        *("client", "label", "scope", "networks", "expires_at", "revoked_at"),
        *("hint", "created_at", "last_used"),
    )
    readonly_fields = ("hint", "created_at", "last_used")
    actions = ("rotate", "revoke")
    list_per_page = 50

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        return self.list_display if request.user.has_perms(DOING) else self.list_display[:-1]

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("rotate/", self.admin_site.admin_view(self.rotate_view), name="routing_apikey_rotate"),
            path("revoke/", self.admin_site.admin_view(self.revoke_view), name="routing_apikey_revoke"),
        ]
        return [*own, *super().get_urls()]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return self.readonly_fields if obj is None else ("client", *self.readonly_fields)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if not change:
            made, secret = ApiKey.issue(obj.client, now=timezone.now(), label=obj.label)
            obj.hint, obj.digest, obj.created_at = made.hint, made.digest, made.created_at
            request.secret = secret  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self._shown_once(request, [(obj, request.secret)])  # type: ignore[attr-defined]

    def _shown_once(self, request: HttpRequest, made: Secrets) -> HttpResponse:
        """The secrets are in this one answer, which the admin lets nobody store, and nowhere else: not in a
        message, which a cookie would carry."""
        context = self.admin_site.each_context(request) | {
            "title": _("Copy it now"),
            "opts": self.opts,
            "made": made,
            "host": request.build_absolute_uri("/").rstrip("/"),
        }
        return TemplateResponse(request, "admin/routing/apikey/secret.html", context)

    @admin.action(
        description=gettext_lazy("Rotate: a successor now, the old key for a while"), permissions=["add"]
    )
    def rotate(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse:
        return HttpResponseRedirect(address("rotate", queryset))

    @admin.action(description=gettext_lazy("Revoke: refused within a second"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse:
        return HttpResponseRedirect(address("revoke", queryset))

    def rotate_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = RotateForm(request.POST or None)
        if request.method != "POST" or not form.is_valid():
            return self._asked(request, "rotate", form)
        with _change(request, "rotate", form):
            made = list(_rotated(chosen(request), timedelta(seconds=int(form.cleaned_data["overlap"]))))
        return self._shown_once(request, made)

    def revoke_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        form = WhyForm(request.POST or None)
        if request.method != "POST" or not form.is_valid():
            return self._asked(request, "revoke", form)
        with _change(request, "revoke", form):
            number = chosen(request).update(revoked_at=timezone.now())
        said = ngettext(
            "%d key revoked: refused within a second.", "%d keys revoked: refused within a second.", number
        )
        self.message_user(request, said % number, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:routing_apikey_changelist"))

    def _asked(self, request: HttpRequest, what: str, form: forms.Form) -> HttpResponse:
        """What it would do, before it is done."""
        now = timezone.now()
        keys = list(chosen(request).select_related("client"))
        context = self.admin_site.each_context(request) | {
            "title": _("Rotate keys") if what == "rotate" else _("Revoke keys"),
            "opts": self.opts,
            "what": what,
            "form": form,
            "keys": [(key, key.standing(now)) for key in keys],
            "busy": sum(key.last_used is not None and key.last_used > now - LATELY for key in keys),
            "left_without": sorted(_left_without({key.pk for key in keys}, {key.client_id for key in keys})),
        }
        return TemplateResponse(request, "admin/routing/apikey/confirm.html", context)


def address(what: str, keys: Iterable[ApiKey]) -> str:
    """Of the page that asks before it does it."""
    return f"{reverse(f'admin:routing_apikey_{what}')}?ids={','.join(str(key.pk) for key in keys)}"


def chosen(request: HttpRequest) -> QuerySet[ApiKey]:
    """Those of the address that are not revoked yet."""
    ids = [int(text) for text in request.GET.get("ids", "").split(",") if is_key(text)]
    return ApiKey.objects.filter(pk__in=ids[:200], revoked_at=None)


def _change(request: HttpRequest, what: str, form: forms.Form) -> Any:
    reason = form.cleaned_data["reason"]
    why = f"admin: {what} (API key)" + (f": {reason}" if reason else "")
    return change_set(who=request.user.get_username(), why=why, via="admin")


def _rotated(keys: QuerySet[ApiKey], overlap: timedelta) -> Iterable[tuple[ApiKey, str]]:
    now = timezone.now()
    for old in keys.select_related("client"):
        new, secret = old.rotate(now=now, overlap=overlap)
        if not overlap:
            old.revoked_at = now
        new.save()
        old.save()
        yield new, secret


def _left_without(keys: set[int], clients: set[int]) -> Iterable[str]:
    """Of these clients the ones that no other key works for."""
    now = timezone.now()
    others = ApiKey.objects.filter(client__in=clients, revoked_at=None).exclude(pk__in=keys)
    served = {key.client_id for key in others if key.expires_at is None or key.expires_at > now}
    return Client.objects.filter(pk__in=clients - served, networks=[]).values_list("name", flat=True)
