"""What machines wrote of supply: claims, health, history, and the revisions of policy."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from orchestrators.admin.columns import milliseconds, moment, price, state
from orchestrators.admin.measured import MeasuredAdmin, NameFilter
from orchestrators.changes import configuration_at
from orchestrators.core.outcome import OutcomeClass
from orchestrators.models import (
    Advert,
    Capability,
    ConfigRevision,
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


@admin.register(ConfigRevision)
class ConfigRevisionAdmin(MeasuredAdmin):
    list_display = ("id", moment("at"), "who", "via", "why", "policy")
    list_filter = ("via",)
    search_fields = ("who", "why", "summary")
    ordering = ("-id",)
    fields = readonly_fields = ("at", "who", "via", "why", "policy", "summary", "configuration")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConfigRevision]:
        rows = super().get_queryset(request)
        opens_one = request.resolver_match is not None and "object_id" in request.resolver_match.kwargs
        return rows if opens_one else rows.defer("bundle", "summary")  # a list shows neither

    @admin.display(description="the configuration after it")
    def configuration(self, row: ConfigRevision) -> str:
        return json.dumps(configuration_at(row), indent=2, ensure_ascii=False)
