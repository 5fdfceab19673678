"""What machines wrote of supply: claims, health, history."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from orchestrators.admin.columns import milliseconds, moment, price, state
from orchestrators.admin.measured import MeasuredAdmin, NameFilter
from orchestrators.core.outcome import OutcomeClass
from orchestrators.models import (
    Advert,
    Capability,
    HealthSnapshot,
    OfferHealth,
    Orchestrator,
    Revision,
)


class OrchestratorFilter(NameFilter):
    title = "orchestrator"
    parameter_name = "offer__orchestrator__name"

    def names(self) -> list[str]:
        return list(Orchestrator.objects.values_list("name", flat=True))


class CapabilityFilter(NameFilter):
    title = "capability"
    parameter_name = "offer__capability__slug"

    def names(self) -> list[str]:
        return list(Capability.objects.values_list("slug", flat=True))


class OutcomeFilter(NameFilter):
    title = "outcome"
    parameter_name = "outcome"

    def names(self) -> list[str]:
        return [each.value for each in OutcomeClass]


class OfEveryOffer(MeasuredAdmin):
    """Rows of one offer each."""

    list_select_related = ("offer__orchestrator", "offer__capability")
    search_fields = ("offer__orchestrator__name", "offer__capability__slug")

    @admin.display(description="orchestrator")
    def orchestrator(self, row: Any) -> str:
        return str(row.offer.orchestrator.name)

    @admin.display(description="capability")
    def capability(self, row: Any) -> str:
        return str(row.offer.capability.slug)


@admin.register(Advert)
class AdvertAdmin(OfEveryOffer):
    list_display = (
        *("orchestrator", "capability", "claimed", price("price"), "capacity", "largest_capacity"),
        moment("checked_at"),
    )
    list_filter = ("claimed", OrchestratorFilter, CapabilityFilter)
    ordering = ("pk",)


@admin.register(OfferHealth)
class OfferHealthAdmin(OfEveryOffer):
    list_display = (
        *("orchestrator", "capability", state("state"), moment("since"), moment("until"), "cause"),
        *(milliseconds("warm_ms"), milliseconds("cold_ms"), state("last_outcome"), moment("probed_at")),
        *(moment("next_probe_at"), "reason"),
    )
    list_filter = ("state", OrchestratorFilter, CapabilityFilter)
    ordering = ("pk",)


@admin.register(HealthSnapshot)
class HealthSnapshotAdmin(OfEveryOffer):
    list_display = (
        *(moment("at"), "orchestrator", "capability", "source", state("outcome"), state("before")),
        *(state("after"), "claimed", milliseconds("latency_ms"), "cold", "price", "capacity", "detail"),
    )
    list_filter = ("source", OutcomeFilter, OrchestratorFilter, CapabilityFilter)
    ordering = ("-id",)


@admin.register(Revision)
class RevisionAdmin(MeasuredAdmin):
    list_display = ("id", "policy", "health")
    ordering = ("pk",)
