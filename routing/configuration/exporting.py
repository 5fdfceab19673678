"""Database -> document: only what differs from the defaults, always in the same order."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.db import models

from orchestrators import triggers
from orchestrators.models import (
    Capability,
    DiscoverySource,
    FailureSignature,
    Offer,
    Orchestrator,
    RoutingProfile,
)
from routing.configuration.sections import (
    ALERTS,
    CAPABILITIES,
    CHANNELS,
    CLIENTS,
    DISCOVERY,
    NO_CEILING,
    OFFERS,
    ORCHESTRATORS,
    PIPELINES,
    PROFILES,
    RATES,
    SECTIONS,
    SIGNATURES,
    TIERS,
    Section,
    default_of,
    same,
    shown,
)
from routing.models import AlertChannel, AlertRule, Client, Pipeline, PriceCeiling, Rate, Tier


def watch() -> None:
    """Let whatever changes an export move the number of what people decided."""
    for section in SECTIONS:
        columns = tuple(each.name for each in section.fields if not each.many_to_many)
        triggers.watch(section.model, number="decided", only=columns)
    # whose offer it is stands above it in a document, and counts
    left_out = tuple(name for name in OFFERS.left_out if name != "orchestrator")
    triggers.watch(Offer, number="decided", ignored=left_out)
    triggers.watch(PriceCeiling, number="decided")


def export() -> dict[str, list[dict[str, Any]]]:
    """Every section, empty ones too: applying the export with `prune` restores exactly this state."""
    ceilings = _ceilings()
    return {
        PROFILES.name: [_entry(PROFILES, each) for each in RoutingProfile.objects.order_by("slug")],
        CAPABILITIES.name: [
            _entry(CAPABILITIES, each) | _general_ceiling(ceilings[None], each.slug)
            for each in Capability.objects.order_by("slug").select_related("profile").prefetch_related("parts")
        ],
        TIERS.name: [
            _entry(TIERS, each) | ({"price_ceilings": ceilings[each.slug]} if ceilings[each.slug] else {})
            for each in Tier.objects.order_by("slug")
        ],
        CLIENTS.name: [
            _entry(CLIENTS, each)
            for each in Client.objects.order_by("name").select_related("tier").prefetch_related("capabilities")
        ],
        ORCHESTRATORS.name: _orchestrators(),
        SIGNATURES.name: [_entry(SIGNATURES, each) for each in FailureSignature.objects.all()],
        DISCOVERY.name: [_entry(DISCOVERY, each) for each in DiscoverySource.objects.order_by("name")],
        RATES.name: [_entry(RATES, each) for each in Rate.objects.order_by("currency")],
        PIPELINES.name: [
            _entry(PIPELINES, each) for each in Pipeline.objects.order_by("path").select_related("capability")
        ],
        CHANNELS.name: [_entry(CHANNELS, each) for each in AlertChannel.objects.order_by("name")],
        ALERTS.name: [_entry(ALERTS, each) for each in _alert_rules()],
    }


def _alert_rules() -> models.QuerySet[AlertRule]:
    rules = AlertRule.objects.order_by("name").select_related("capability")
    return rules.prefetch_related("channels")


def _entry(section: Section, instance: models.Model) -> dict[str, Any]:
    return {
        field.name: value
        for field in section.fields
        if not same(value := shown(instance, field), default_of(field)) or field.name == section.key
    }


def _orchestrators() -> list[dict[str, Any]]:
    offers = defaultdict(list)
    for offer in Offer.objects.order_by("capability__slug").select_related("capability"):
        offers[offer.orchestrator_id].append(_entry(OFFERS, offer))
    return [
        _entry(ORCHESTRATORS, each) | ({"offers": offers[each.pk]} if offers[each.pk] else {})
        for each in Orchestrator.objects.order_by("name")
    ]


def _ceilings() -> defaultdict[str | None, dict[str, str]]:
    """Of each tier (None: all), by capability."""
    found: defaultdict[str | None, dict[str, str]] = defaultdict(dict)
    rows = PriceCeiling.objects.order_by("capability__slug").select_related("capability", "tier")
    for row in rows:
        tier = None if row.tier is None else row.tier.slug
        found[tier][row.capability.slug] = NO_CEILING if row.price is None else str(row.price)
    return found


def _general_ceiling(ceilings: dict[str, str], slug: str) -> dict[str, str]:
    return {"price_ceiling": ceilings[slug]} if slug in ceilings else {}
