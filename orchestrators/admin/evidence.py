"""What machines wrote of supply: claims, health, history."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest

from orchestrators.admin.columns import milliseconds, moment, price, sentence, state
from orchestrators.admin.measured import MeasuredAdmin, NameFilter, TimeFilter, WordFilter
from orchestrators.core.outcome import OutcomeClass
from orchestrators.models import (
    Advert,
    Capability,
    HealthSnapshot,
    Offer,
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


class OutcomeFilter(WordFilter):
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
        *("orchestrator", "capability", state("state"), moment("since"), moment("until"), state("cause")),
        *(milliseconds("warm_ms"), milliseconds("cold_ms"), state("last_outcome"), moment("probed_at")),
        *(moment("next_probe_at"), sentence("reason")),
    )
    list_filter = ("state", OrchestratorFilter, CapabilityFilter)
    ordering = ("pk",)


def by_time(rows: QuerySet[Any], offers: QuerySet[Offer]) -> QuerySet[Any]:
    """Those of the offers, walked by time: by the index of offers all that many of them have would be sorted.
    A sum is no column, so neither database takes that index."""
    walked: QuerySet[Any] = rows.alias(of=F("offer_id") + 0)
    return walked.filter(of__in=offers.values("pk"))


class ByTime(NameFilter):
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        column = str(self.parameter_name).removeprefix("offer__")
        return by_time(queryset, Offer.objects.filter(**{column: self.value()}))


class SnapshotOrchestratorFilter(ByTime, OrchestratorFilter): ...


class SnapshotCapabilityFilter(ByTime, CapabilityFilter): ...


@admin.register(HealthSnapshot)
class HealthSnapshotAdmin(OfEveryOffer):
    list_display = (
        *(moment("at"), "orchestrator", "capability", "source", state("outcome"), state("before")),
        *(state("after"), "claimed", milliseconds("latency_ms"), "cold", sentence("price"), "capacity"),
        sentence("detail"),
    )
    list_filter = ("source", OutcomeFilter, SnapshotOrchestratorFilter, SnapshotCapabilityFilter, TimeFilter)
    ordering = ("-at",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        named = Q(orchestrator__name__icontains=search_term) | Q(capability__slug__icontains=search_term)
        return (by_time(queryset, Offer.objects.filter(named)) if search_term else queryset), False


@admin.register(Revision)
class RevisionAdmin(MeasuredAdmin):
    list_display = ("id", "policy", "health")
    ordering = ("pk",)
