"""Who may call: tiers, clients, and their keys, shown once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orchestrators.admin import PolicyAdmin, PolicyInline, warn
from orchestrators.admin.columns import moment
from orchestrators.display import states
from routing.admin.prices import PriceCeilingInline
from routing.models import ApiKey, Client, Tier
from routing.models.client import about_client

OVERLAP = timedelta(days=1)


@admin.register(Tier)
class TierAdmin(PolicyAdmin):
    list_display = ("slug", "requests_per_minute", "burst", "max_in_flight", "clients_in_it")
    search_fields = ("slug",)
    inlines = (PriceCeilingInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tier]:
        tiers: QuerySet[Tier] = super().get_queryset(request).annotate(client_count=Count("clients"))
        return tiers

    @admin.display(description="clients", ordering="client_count")
    def clients_in_it(self, tier: Any) -> int:
        return int(tier.client_count)


class ApiKeyInline(PolicyInline):
    model = ApiKey
    related = ("client",)
    show_change_link = True
    fields = ("label", "scope", "networks", "hint", "expires_at", "revoked_at", "created_at", "last_used")
    readonly_fields = ("hint", "created_at", "last_used")


@admin.register(Client)
class ClientAdmin(PolicyAdmin):
    list_display = ("name", "is_active", "tier", "may_call", "key_count")
    list_filter = ("is_active", "tier")
    list_select_related = ("tier",)
    search_fields = ("name", "notes")
    autocomplete_fields = ("tier",)
    filter_horizontal = ("capabilities",)
    inlines = (ApiKeyInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Client]:
        clients: QuerySet[Client] = super().get_queryset(request).annotate(keys_issued=Count("keys"))
        return clients.prefetch_related("capabilities")

    def save_model(self, request: HttpRequest, obj: Client, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        warn(request, about_client(obj))

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """A key of a new line is made here, and shown this once."""
        for row in formset.save(commit=False):
            if isinstance(row, ApiKey) and row.pk is None:
                _issue(request, row)
            row.save()
        for row in formset.deleted_objects:
            row.delete()
        formset.save_m2m()

    @admin.display(description="may call")
    def may_call(self, client: Client) -> str:
        return ", ".join(each.slug for each in client.capabilities.all()) or "everything"

    @admin.display(description="keys", ordering="keys_issued")
    def key_count(self, client: Any) -> int:
        return int(client.keys_issued)


@admin.register(ApiKey)
class ApiKeyAdmin(PolicyAdmin):
    list_display = (
        *(
            "hint",
            "client",
            "label",
            "state",
            moment("created_at"),
            moment("expires_at"),
            moment("last_used"),
        ),
    )
    list_filter = ("client",)
    list_select_related = ("client",)
    search_fields = ("client__name", "label", "hint")
    autocomplete_fields = ("client",)
    fields = (
        *("client", "label", "scope", "networks", "expires_at", "revoked_at"),
        *("hint", "created_at", "last_used"),
    )
    readonly_fields = ("hint", "created_at", "last_used")
    actions = ("rotate", "revoke")

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return self.readonly_fields if obj is None else ("client", *self.readonly_fields)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if not change:
            _issue(request, obj)
        super().save_model(request, obj, form, change)

    @admin.action(description="Rotate: a successor now, the old key works for a day", permissions=["add"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for old in queryset.filter(revoked_at=None).select_related("client"):
            new, secret = old.rotate(now=timezone.now(), overlap=OVERLAP)
            new.save()
            old.save()
            _show_once(request, new, secret)

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        number = queryset.filter(revoked_at=None).update(revoked_at=timezone.now())
        self.message_user(request, f"{number} keys revoked: refused within a second.", messages.SUCCESS)

    @admin.display(description="state")
    def state(self, key: ApiKey) -> SafeString:
        expired = key.expires_at is not None and key.expires_at <= timezone.now()
        return states.state("revoked" if key.revoked_at else "expired" if expired else "valid")


def _issue(request: HttpRequest, row: ApiKey) -> None:
    """Turn a new row into a key."""
    key, secret = ApiKey.issue(row.client, now=timezone.now(), label=row.label)
    row.hint, row.digest, row.created_at = key.hint, key.digest, key.created_at
    _show_once(request, row, secret)


def _show_once(request: HttpRequest, key: ApiKey, secret: str) -> None:
    """The secret is in this one message and nowhere else."""
    text = "The new key of {}, shown this once: <code>{}</code> Copy it now; nobody can read it back."
    messages.success(request, format_html(text, key.client, secret))
