"""What people decide of supply: profiles, capabilities, orchestrators, offers, and whom to trust."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from orchestrators.admin.acting import ProbeAction, ResetAction, TrustAction
from orchestrators.admin.approving import Approving
from orchestrators.admin.columns import cut, milliseconds, moment, price, sentence, short, state, two_lines
from orchestrators.admin.door import PolicyAdmin, note, warn
from orchestrators.admin.lines import PolicyInline
from orchestrators.admin.measured import MeasuredInline
from orchestrators.admin.reading import ReadOnly
from orchestrators.admin.standing import StandingFilter
from orchestrators.admin.steering import Steering
from orchestrators.admin.trying import ReputationMixin, TrialAction, with_events
from orchestrators.display.amounts import price as written
from orchestrators.display.moments import milliseconds as length_in
from orchestrators.display.sentences import told
from orchestrators.display.states import state as badge
from orchestrators.display.states import word
from orchestrators.models import (
    Advert,
    Capability,
    Certificate,
    Mode,
    Offer,
    OfferHealth,
    Orchestrator,
    RoutingProfile,
)
from orchestrators.models.advice import about_capability, about_profile
from orchestrators.standing import fit_word, with_counts, with_fit, with_standing


@admin.register(RoutingProfile)
class RoutingProfileAdmin(PolicyAdmin):
    list_display = (
        *("slug", "max_attempts", "retry_timeout", "attempt_timeout", "cold_grace"),
        *(milliseconds("latency_target_ms"), "max_in_flight", "fresh_for", price("suggested_ceiling")),
    )
    search_fields = ("slug", "description")

    def save_model(self, request: HttpRequest, obj: RoutingProfile, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        warn(request, about_profile(obj))


class OfferInline(PolicyInline):
    """Wide enough to decide by; the rest is on the offer's own page."""

    model = Offer
    related = ("orchestrator", "capability")
    show_change_link = True
    fields = (
        "orchestrator",
        "capability",
        "mode",
        "wire_name",
        "path",
        "max_in_flight",
        "price",
        "share",
        "stands",
    )
    readonly_fields = ("stands",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Offer]:
        return with_standing(super().get_queryset(request))

    @admin.display(description="standing")
    def stands(self, offer: Offer) -> SafeString:
        return badge(getattr(offer, "standing", ""))


class CountsMixin:
    """Columns for querysets of `with_counts`."""

    @admin.display(description="usable", ordering="ready_offers")
    def usable(self, row: Any) -> str:
        return _("%(ready)s of %(all)s") % {"ready": row.ready_offers, "all": row.all_offers}

    @admin.display(description="in trouble", ordering="troubled_offers")
    def troubled(self, row: Any) -> int | str:
        return row.troubled_offers or ""


@admin.register(Capability)
class CapabilityAdmin(CountsMixin, ProbeAction, PolicyAdmin):
    to_offer = "capability__in"
    list_display: tuple[str, ...] = (
        "slug",
        "profile",
        "fit",
        "usable",
        "troubled",
        "stateful",
        "retry_timeout",
        "has_sample",
    )
    list_filter = ("profile", "stateful")
    list_select_related = ("profile",)
    search_fields = ("slug", "description")
    inlines: ClassVar[tuple[type[PolicyInline], ...]] = (OfferInline,)
    actions = ("probe_now",)
    fieldsets = (
        (None, {"fields": ("slug", "description", "profile")}),
        (
            "Instead of the profile's numbers",
            {
                "fields": (
                    *("retry_timeout", "attempt_timeout", "cold_grace", "max_attempts", "max_in_flight"),
                    *("value_of_second", "typical_seconds"),
                )
            },
        ),
        ("The work", {"fields": ("stateful", "parts", "request", "response", "sample_request")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Capability]:
        return with_counts(super().get_queryset(request))

    def save_model(self, request: HttpRequest, obj: Capability, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        warn(request, about_capability(obj))

    @admin.display(description="sample request", boolean=True)
    def has_sample(self, capability: Capability) -> bool:
        return capability.sample_request is not None


class NamedFilter(admin.AllValuesFieldListFilter):
    """Without the empty name, which nobody could see to click."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lookup_choices = self.lookup_choices.exclude(**{self.field_path: ""})


class FitFirst(ChangeList):
    """Whose work fits goes first (R20), until a column is chosen."""

    def _get_default_ordering(self) -> list[Any]:
        return [F("worst_fit").asc(nulls_last=True), "name"]


@admin.register(Orchestrator)
class OrchestratorAdmin(CountsMixin, ReputationMixin, Steering, ProbeAction, TrustAction, PolicyAdmin):
    none_yet = (
        "No orchestrator yet. Add one, take over a list with manage.py import_orch_addr, or add a source "
        "at Sources."
    )
    unlocked_actions = Steering.unlocked_actions | ProbeAction.unlocked_actions
    to_offer = "orchestrator__in"
    list_display = (
        "named",
        state("mode"),
        "protocol_name",
        "fit",
        "usable",
        "troubled",
        "reputation",
        "certificate_state",
    )
    list_filter = ("mode", "protocol", "tls", ("region", NamedFilter))
    list_select_related = ("certificate",)
    search_fields = ("name", "service_uri", "region", "notes")
    readonly_fields = ("certificate_state", "moved_by")
    inlines = (OfferInline,)
    actions = ("activate", "drain", "disable", "probe_now", "trust_new_certificate")
    fieldsets = (
        (None, {"fields": ("name", "service_uri", "protocol", "mode")}),
        ("Trust", {"fields": ("tls", "certificate_state")}),
        ("Reputation", {"fields": ("moved_by",)}),
        ("For people", {"fields": ("region", "notes")}),
    )

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> Any:
        """The offers of one that is there stand above the form, each with a page of its own."""
        return self.inlines if obj is None else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Orchestrator]:
        rows = super().get_queryset(request).select_related("certificate")
        return with_events(with_fit(with_counts(rows)))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return FitFirst

    def _set(self, request: HttpRequest, rows: QuerySet[Orchestrator], mode: Mode) -> None:
        """Who activates what was discovered takes its discovered offers with it (R70)."""
        if mode == Mode.ACTIVE:
            found = Offer.objects.filter(mode=Mode.DISCOVERED, orchestrator__mode=Mode.DISCOVERED)
            offers = found.filter(orchestrator__in=rows).select_related("orchestrator", "capability")
            for offer in offers:
                note(request, f"{mode}: {offer}")
            Offer.objects.filter(pk__in=[offer.pk for offer in offers]).update(mode=mode)
        super()._set(request, rows, mode)

    @admin.display(description="name", ordering="name")
    def named(self, orchestrator: Orchestrator) -> SafeString:
        return two_lines(orchestrator.name, orchestrator.service_uri)

    @admin.display(description="fit", ordering="worst_fit")
    def fit(self, orchestrator: Orchestrator) -> str:
        return word(fit_word(orchestrator))

    @admin.display(description="protocol, region", ordering="protocol")
    def protocol_name(self, orchestrator: Orchestrator) -> SafeString:
        return two_lines(orchestrator.protocol, orchestrator.region)

    @admin.display(description="certificate")
    def certificate_state(self, orchestrator: Orchestrator) -> str:
        if not orchestrator.service_uri.startswith("https:"):
            return _("none: http")
        certificate = getattr(orchestrator, "certificate", None)
        if certificate is None:
            return _("not seen yet")
        if not certificate.changed:
            return cut(certificate.trusted)
        return two_lines(badge("claimed, down", _("changed")), format_html(_("now {}"), cut(certificate.seen)))


class AdvertInline(MeasuredInline):
    model = Advert
    verbose_name_plural = "what it claims"
    fields = readonly_fields = (
        *("claimed", price("price"), "capacity", "largest_capacity", "empty_streak"),
        *("falling", "model", "precision", "gpu", "vram_mib", "vram_free_mib", "detail", moment("checked_at")),
    )


class OfferHealthInline(MeasuredInline):
    model = OfferHealth
    verbose_name_plural = "what we observe"
    fields = readonly_fields = (
        *(state("state"), moment("since"), moment("until", "ends"), sentence("reason"), "streak"),
        *(milliseconds("warm_ms"), milliseconds("cold_ms"), state("last_outcome")),
        *(moment("last_success_at"), moment("probed_at"), moment("sampled_at"), moment("next_probe_at")),
    )


@admin.register(Offer)
class OfferAdmin(Approving, ProbeAction, ResetAction, TrialAction, PolicyAdmin):
    none_yet = "No offer yet. An offer is a capability of an orchestrator; add the orchestrator first."
    acts = ("probe_now", "run_trial", "reset")
    unlocked_actions = (
        Approving.unlocked_actions
        | ProbeAction.unlocked_actions
        | ResetAction.unlocked_actions
        | TrialAction.unlocked_actions
    )
    list_display = (
        *("orchestrator", "capability", "stands", "asks", "capacity"),
        *("takes", "share", moment("health.probed_at", "probed")),
    )
    list_display_links = ("orchestrator", "capability")
    list_filter = (StandingFilter, "mode", "capability", "orchestrator", "orchestrator__protocol")
    list_select_related = ("orchestrator", "capability", "advert", "health")
    search_fields = ("orchestrator__name", "orchestrator__service_uri", "capability__slug", "wire_name")
    inlines = (AdvertInline, OfferHealthInline)
    readonly_fields = (moment("added_at", "added"),)
    actions = ("activate", "drain", "disable", "reset", "probe_now", "run_trial")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Offer]:
        return with_standing(super().get_queryset(request).select_related(*self.list_select_related))

    @admin.display(description="standing")
    def stands(self, offer: Offer) -> SafeString:
        """And why."""
        reason = getattr(getattr(offer, "health", None), "reason", "")
        mode = "" if offer.mode == Mode.ACTIVE else badge(offer.mode)
        return two_lines(format_html("{} {}", badge(getattr(offer, "standing", "")), mode), told(reason))

    @admin.display(description="price")
    def asks(self, offer: Offer) -> str:
        return written(offer.price or getattr(getattr(offer, "advert", None), "price", None))

    @admin.display(description="warm, cold", ordering="health__warm_ms", empty_value="–")
    def takes(self, offer: Offer) -> SafeString | None:
        health = getattr(offer, "health", None)
        if health is None or (health.warm_ms is None and health.cold_ms is None):
            return None
        cold = "" if health.cold_ms is None else _("cold %(length)s") % {"length": length_in(health.cold_ms)}
        return two_lines(length_in(health.warm_ms), cold)

    @admin.display(description="free slots")
    def capacity(self, offer: Offer) -> int | str:
        free = getattr(getattr(offer, "advert", None), "capacity", None)
        return "" if free is None else int(free)


class ChangedFilter(admin.SimpleListFilter):
    title = "changed"
    parameter_name = "changed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", _("changed since it was trusted")), ("no", _("as trusted"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Certificate]) -> QuerySet[Certificate]:
        if self.value() == "yes":
            return queryset.exclude(seen=F("trusted"))
        return queryset.filter(seen=F("trusted")) if self.value() == "no" else queryset


@admin.register(Certificate)
class CertificateAdmin(TrustAction, PolicyAdmin):
    """Machines see, people trust: by the one action, because a fingerprint typed by hand is a mistake."""

    list_display = ("orchestrator", "is_trusted", short("trusted"), short("seen"), moment("seen_at"))
    list_filter = (ChangedFilter,)
    list_select_related = ("orchestrator",)
    search_fields = ("orchestrator__name", "trusted", "seen")
    fields = readonly_fields = ("orchestrator", "trusted", "seen", "seen_at")
    actions = ("trust_new_certificate",)

    has_add_permission = ReadOnly.has_add_permission
    has_delete_permission = ReadOnly.has_delete_permission

    @admin.display(description="as trusted", boolean=True)
    def is_trusted(self, certificate: Certificate) -> bool:
        return not certificate.changed
