"""What machines wrote of supply: claims, health, history."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from orchestrators.admin.columns import milliseconds, moment, price, sentence, state, two_lines
from orchestrators.admin.measured import MeasuredAdmin, NameFilter, TimeFilter, WordFilter
from orchestrators.core.outcome import OutcomeClass
from orchestrators.display.moments import milliseconds as length_in
from orchestrators.display.moments import until, when
from orchestrators.display.states import state as badge
from orchestrators.display.states import word
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

    @admin.display(description="offer")
    def offered(self, row: Any) -> SafeString:
        return two_lines(row.offer.orchestrator.name, row.offer.capability.slug)


@admin.register(Advert)
class AdvertAdmin(OfEveryOffer):
    list_display = (
        *("offered", "claimed", price("price"), "capacity", "largest_capacity"),
        moment("checked_at"),
    )
    list_filter = ("claimed", OrchestratorFilter, CapabilityFilter)
    ordering = ("pk",)


@admin.register(OfferHealth)
class OfferHealthAdmin(OfEveryOffer):
    list_display = (
        *("offered", state("state"), "lasts", milliseconds("warm_ms"), milliseconds("cold_ms")),
        *(state("last_outcome"), "probed", sentence("reason")),
    )
    list_filter = ("state", OrchestratorFilter, CapabilityFilter)
    ordering = ("pk",)

    @admin.display(description="since", empty_value="–")
    def lasts(self, row: OfferHealth) -> SafeString | None:
        if row.since is None:
            return None
        now = timezone.now()
        return two_lines(when(row.since, now), until(row.until, now) if row.until else "")

    @admin.display(description="probed")
    def probed(self, row: OfferHealth) -> SafeString:
        now = timezone.now()
        again = format_html("{} {}", _("next"), when(row.next_probe_at, now)) if row.next_probe_at else ""
        return two_lines(when(row.probed_at, now), again)


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
    none_yet = "Nothing has been looked at yet: manage.py probe_orchestrators does."
    list_display = (
        *("seen", "offered", state("outcome"), "became", "claimed", "took"),
        *(sentence("price"), "capacity", sentence("detail")),
    )
    list_filter = ("source", OutcomeFilter, SnapshotOrchestratorFilter, SnapshotCapabilityFilter, TimeFilter)
    ordering = ("-at",)

    @admin.display(description="at")
    def seen(self, row: HealthSnapshot) -> SafeString:
        return two_lines(when(row.at, timezone.now()), row.get_source_display())

    @admin.display(description="after")
    def became(self, row: HealthSnapshot) -> SafeString:
        was = _("was %(state)s") % {"state": word(row.before)} if row.before != row.after else ""
        return two_lines(badge(row.after), was)

    @admin.display(description="latency")
    def took(self, row: HealthSnapshot) -> SafeString:
        return two_lines(length_in(row.latency_ms), _("cold") if row.cold else "")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        named = Q(orchestrator__name__icontains=search_term) | Q(capability__slug__icontains=search_term)
        return (by_time(queryset, Offer.objects.filter(named)) if search_term else queryset), False


@admin.register(Revision)
class RevisionAdmin(MeasuredAdmin):
    list_display = ("id", "policy", "health")
    ordering = ("pk",)
