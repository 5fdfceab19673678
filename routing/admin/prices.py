"""Price ceilings and the rate that shows them in dollars."""

from __future__ import annotations

import time
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from orchestrators.admin import PolicyAdmin, PolicyInline, warn
from orchestrators.core.price import Price
from orchestrators.display import amounts
from orchestrators.display.sentences import told
from routing.core.rate import EthRate, about_dollars
from routing.models import PriceCeiling
from routing.models.ceiling import about_ceilings
from routing.models.rate import Rate, rate_beside, with_rate


def in_dollars(price: Price | None, rate: EthRate | None) -> SafeString | str:
    """Unit, wei and USD, with the age of the rate (R74)."""
    if price is None:
        return amounts.price(None)
    return format_html("{} ({})", amounts.price(price), told(about_dollars(price, rate, time.time())))


class PriceCeilingInline(PolicyInline):
    model = PriceCeiling
    related = ("capability", "tier")


@admin.register(PriceCeiling)
class PriceCeilingAdmin(PolicyAdmin):
    list_display = ("capability", "tier", "most")
    list_filter = ("capability", "tier")
    list_select_related = ("capability", "tier")
    search_fields = ("capability__slug", "tier__slug")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PriceCeiling]:
        return with_rate(super().get_queryset(request))

    @admin.display(description="at most")
    def most(self, ceiling: PriceCeiling) -> str:
        return _("any price") if ceiling.price is None else in_dollars(ceiling.price, rate_beside(ceiling))

    def save_model(self, request: HttpRequest, obj: PriceCeiling, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        warn(request, about_ceilings(obj.capability))


@admin.register(Rate)
class RateAdmin(PolicyAdmin):
    list_display = ("currency", "per_eth", "as_of")
