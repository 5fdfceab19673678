"""What a document leaves out, in the sections it has: deleted, or put out of service if it has a past.

History names its subjects, and it must stay readable. So an orchestrator or offer that was ever probed or
called is retired, a client with keys or usage is switched off, and a capability that anything still
refers to stays, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.db import models

from orchestrators.models import Capability, HealthSnapshot, Mode, Offer, Orchestrator, RoutingProfile
from routing.configuration.entries import Listed
from routing.configuration.sections import (
    ALERTS,
    CAPABILITIES,
    CHANNELS,
    CLIENTS,
    DISCOVERY,
    ORCHESTRATORS,
    PIPELINES,
    PROFILES,
    RATES,
    SIGNATURES,
    TIERS,
    Section,
)
from routing.models import Client, OfferDay, Pipeline, Tier, UsageHour


@dataclass(slots=True)
class Pruned:
    """`changes`: what was done, a line each. `kept`: what was not, and why."""

    changes: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def delete(self, label: str, instance: models.Model) -> None:
        instance.delete()
        self.changes.append(f"- {label}")

    def retire(self, label: str, instance: Orchestrator | Offer) -> None:
        if instance.mode != Mode.RETIRED:
            self.changes.append(f"~ {label}: mode {instance.mode} -> {Mode.RETIRED.value} (it has a history)")
            instance.mode = Mode.RETIRED
            instance.save()


def prune_orchestrators(listed: Listed, pruned: Pruned) -> None:
    """Orchestrators, and the offers of those that list theirs."""
    for orchestrator in _left_out(ORCHESTRATORS, listed):
        assert isinstance(orchestrator, Orchestrator)
        label = f"orchestrator {orchestrator}"
        if _has_past(orchestrator.offers.all(), orchestrator.name):
            pruned.retire(label, orchestrator)
        else:
            pruned.delete(label, orchestrator)
    offers = Offer.objects.filter(orchestrator__name__in=list(listed.offers))
    for offer in offers.select_related("orchestrator", "capability"):
        if offer.capability.slug in listed.offers[offer.orchestrator.name]:
            continue
        if _has_past([offer], offer.orchestrator.name, offer.capability.slug):
            pruned.retire(f"offer {offer}", offer)
        else:
            pruned.delete(f"offer {offer}", offer)


def prune_others(listed: Listed, pruned: Pruned) -> None:
    """The rest, referring ones first."""
    for client in _left_out(CLIENTS, listed):
        assert isinstance(client, Client)
        _prune_client(client, pruned)
    for section in (SIGNATURES, DISCOVERY, RATES, PIPELINES, ALERTS, CHANNELS):
        for instance in _left_out(section, listed):
            pruned.delete(f"{section.label} {instance}", instance)
    for section, reason in (
        (TIERS, _tier_stays),
        (CAPABILITIES, _capability_stays),
        (PROFILES, _profile_stays),
    ):
        for instance in _left_out(section, listed):
            why = reason(instance)
            if why:
                pruned.kept.append(f"{section.label} {instance} stays: {why}.")
            else:
                pruned.delete(f"{section.label} {instance}", instance)


def _left_out(section: Section, listed: Listed) -> Iterator[models.Model]:
    if section.name in listed.names:
        rows = section.model._default_manager.order_by(section.key)
        for instance in rows:
            if getattr(instance, section.key) not in listed.names[section.name]:
                yield instance


def _has_past(offers: models.QuerySet[Offer] | list[Offer], orchestrator: str, capability: str = "") -> bool:
    days = OfferDay.objects.filter(orchestrator=orchestrator)
    if capability:
        days = days.filter(capability=capability)
    return HealthSnapshot.objects.filter(offer__in=offers).exists() or days.exists()


def _prune_client(client: Client, pruned: Pruned) -> None:
    if not (client.keys.exists() or UsageHour.objects.filter(client=client.name).exists()):
        pruned.delete(f"client {client}", client)
    elif client.is_active:
        client.is_active = False
        client.save()
        pruned.changes.append(f"~ client {client}: is_active true -> false (it has keys or a history)")


def _tier_stays(tier: models.Model) -> str:
    assert isinstance(tier, Tier)
    return "clients are in it" if tier.clients.exists() else ""


def _capability_stays(capability: models.Model) -> str:
    assert isinstance(capability, Capability)
    if capability.offers.exists():
        return "there are offers for it"
    if capability.part_of.exists():
        return "others are made of it"
    if Pipeline.objects.filter(capability=capability).exists():
        return "a pipeline leads to it"
    # a client that may call nothing else would be left with an empty list, which means everything
    if Client.objects.filter(capabilities=capability).exists():
        return "clients are limited to it"
    return "it has a history" if UsageHour.objects.filter(capability=capability.slug).exists() else ""


def _profile_stays(profile: models.Model) -> str:
    assert isinstance(profile, RoutingProfile)
    return "capabilities use it" if profile.capabilities.exists() else ""
