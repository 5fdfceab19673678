"""Who may call: tiers and clients, with how much of their limits they use."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models import Count, Max, OuterRef, Q, QuerySet, Subquery, Sum
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orchestrators.admin import PolicyAdmin, warn
from orchestrators.admin.columns import moment
from orchestrators.display import amounts, charts, states
from orchestrators.models.fields import WeiSum
from routing.admin.keys import ApiKeyInline
from routing.admin.prices import PriceCeilingInline
from routing.models import Client, Tier, UsageHour
from routing.models.client import about_client
from routing.pages.client import used


@admin.register(Tier)
class TierAdmin(PolicyAdmin):
    list_display = (
        "slug",
        "requests_per_minute",
        "burst",
        "max_in_flight",
        "daily",
        "monthly",
        "clients_in_it",
    )
    search_fields = ("slug",)
    inlines = (PriceCeilingInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tier]:
        tiers: QuerySet[Tier] = super().get_queryset(request).annotate(client_count=Count("clients"))
        return tiers

    @admin.display(description=gettext_lazy("a day"), ordering="daily_budget")
    def daily(self, tier: Tier) -> SafeString | str:
        return amounts.money(tier.daily_budget)

    @admin.display(description=gettext_lazy("a month"), ordering="monthly_budget")
    def monthly(self, tier: Tier) -> SafeString | str:
        return amounts.money(tier.monthly_budget)

    @admin.display(description=gettext_lazy("clients"), ordering="client_count")
    def clients_in_it(self, tier: Any) -> int:
        return int(tier.client_count)


@admin.register(Client)
class ClientAdmin(PolicyAdmin):
    none_yet = "No client yet. Add one, then issue it a key on its page."
    list_display = (
        *("name", "standing", "tier", "calls", "failed", "spent", "key_count", moment("last_used"), "may_call"),
    )
    list_filter = ("is_active", "tier")
    list_select_related = ("tier",)
    search_fields = ("name", "notes")
    inlines = (ApiKeyInline,)
    formfield_overrides = {models.ManyToManyField: {"widget": forms.CheckboxSelectMultiple}}
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[Client]:
        now = timezone.now()
        works = Q(keys__revoked_at=None) & (Q(keys__expires_at=None) | Q(keys__expires_at__gt=now))
        hours = UsageHour.objects.filter(client=OuterRef("name")).order_by().values("client")
        day = hours.filter(hour__gte=now - timedelta(days=1))
        today = hours.filter(hour__gte=now.replace(hour=0, minute=0, second=0, microsecond=0))
        clients: QuerySet[Client] = (
            super()
            .get_queryset(request)
            .annotate(
                keys_that_work=Count("keys", filter=works),
                last_used=Max("keys__last_used"),
                requests=Subquery(day.annotate(sum=Sum("requests")).values("sum")),
                failures=Subquery(day.annotate(sum=Sum("failures")).values("sum")),
                wei_today=Subquery(today.annotate(sum=WeiSum("wei")).values("sum")),
            )
        )
        return clients.select_related("tier").prefetch_related("capabilities")

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        client = kwargs.get("obj")
        if client is not None and request.user.has_perm("routing.view_usagehour"):
            context["used"] = used(client, timezone.now())
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Client, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        warn(request, about_client(obj))

    @admin.display(description=gettext_lazy("state"), ordering="is_active")
    def standing(self, client: Client) -> SafeString:
        return states.state("valid", "active") if client.is_active else states.state("revoked", "switched off")

    @admin.display(description=gettext_lazy("may call"))
    def may_call(self, client: Client) -> str:
        return ", ".join(each.slug for each in client.capabilities.all()) or _("everything")

    @admin.display(description=gettext_lazy("valid keys"), ordering="keys_that_work")
    def key_count(self, client: Any) -> int:
        return int(client.keys_that_work)

    @admin.display(description=gettext_lazy("calls, 24 h"), ordering="requests")
    def calls(self, client: Any) -> str:
        return amounts.count(client.requests or 0)

    @admin.display(description=gettext_lazy("failed"))
    def failed(self, client: Any) -> str:
        return amounts.percent(client.failures or 0, client.requests or 0)

    @admin.display(description=gettext_lazy("spent today"), ordering="wei_today")
    def spent(self, client: Any) -> SafeString:
        wei, budget = client.wei_today or 0, client.tier and client.tier.daily_budget
        if not budget:
            return format_html("{}", amounts.money(wei))
        bar = charts.meter(wei, budget, f"{amounts.percent(wei, budget)} of {amounts.amount(budget)}", width=56)
        return format_html("{} {}", amounts.money(wei), bar)
