"""A capability's page: the supply side's, with what demand decides of it and how it fared."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from orchestrators.admin import CapabilityAdmin, warn
from orchestrators.models import Capability
from routing import history
from routing import table as tables
from routing.admin.prices import PriceCeilingInline, in_dollars
from routing.models import Client
from routing.models.ceiling import about_ceilings
from routing.models.rate import rate_beside, with_rate

admin.site.unregister(Capability)


@admin.register(Capability)
class PricedCapabilityAdmin(CapabilityAdmin):
    """The supply side's, with what demand decides of a capability."""

    list_display = (*CapabilityAdmin.list_display, "ceiling")
    readonly_fields = ("excluded", "lately")
    fieldsets: ClassVar[Any] = (
        *CapabilityAdmin.fieldsets,
        ("The price", {"fields": ("excluded",)}),
        ("Lately", {"fields": ("lately",)}),
    )
    inlines = (PriceCeilingInline, *CapabilityAdmin.inlines)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Capability]:
        return with_rate(super().get_queryset(request).prefetch_related("ceilings__tier"))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
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
        told = [(each.tier or "all", in_dollars(each.price, rate)) for each in ceilings.all()]
        suggested = in_dollars(capability.profile.suggested_ceiling, rate)
        return format_html_join(", ", "{}: {}", told) or format_html("undecided (suggested: {})", suggested)

    @admin.display(description="p95 and errors")
    def lately(self, capability: Capability) -> str:
        """For the last hour, day and week (R72)."""
        told = []
        for name, window in (
            ("hour", timedelta(hours=1)),
            ("day", timedelta(days=1)),
            ("week", timedelta(days=7)),
        ):
            rate, p95 = history.lately(capability.slug, timezone.now() - window)
            errors = "no calls" if rate is None else f"{rate:.1%} errors"
            told.append(f"{name}: {errors}" + ("" if p95 is None else f", p95 {p95:.0f} ms"))
        return "; ".join(told)

    @admin.display(description="ceiling excludes")
    def excluded(self, capability: Capability) -> str:
        """Of the offers that are active and have a price; as a gateway that started now would see them."""
        lanes = tables.build(settings.WEB_CONCURRENCY).lanes
        mine = [
            (tier, each.ceiling_excluded) for (slug, tier), each in lanes.items() if slug == capability.slug
        ]
        return ", ".join(f"{tier or 'all'}: {above} of {offers} offers" for tier, (above, offers) in mine)
