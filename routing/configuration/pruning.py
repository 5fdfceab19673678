"""What a document leaves out, in the sections it has: deleted, or put out of service if it has a past.

History names its subjects, and it must stay readable. So an orchestrator or offer that was ever probed or
called is retired, a client with keys or usage is switched off, and a capability that anything still
refers to stays, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.models import Exists, OuterRef, Q

from orchestrators.models import Capability, HealthSnapshot, Mode, Offer, Orchestrator, RoutingProfile
from routing.configuration.entries import Listed
from routing.configuration.present import Present, name_of
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
from routing.models import ApiKey, Client, OfferDay, Pipeline, Tier, UsageHour


@dataclass(frozen=True, slots=True)
class Pruning:
    """`changes`: what is done, a line each. `kept`: what is not, and why. `writes`: that does it."""

    names: Listed
    present: Present
    changes: list[str]
    kept: list[str]
    writes: list[Callable[[], Any]]

    def orchestrators(self) -> None:
        """Orchestrators, and the offers of those that list theirs."""
        gone: list[Any] = self.left_out(ORCHESTRATORS)
        past = _orchestrators_with_past([each.name for each in gone])
        for orchestrator in gone:
            self.end(f"orchestrator {orchestrator}", orchestrator, has_past=orchestrator.name in past)
        left = [each for key, each in sorted(self.present.offers.items()) if self._leaves_out(*key)]
        used = _offers_with_past([each.orchestrator.name for each in left])
        for offer in left:
            has_past = (offer.orchestrator.name, offer.capability.slug) in used
            self.end(f"offer {offer}", offer, has_past=has_past)

    def others(self) -> None:
        """The rest, referring ones first."""
        self._clients(self.left_out(CLIENTS))
        for section in (SIGNATURES, DISCOVERY, RATES, PIPELINES, ALERTS, CHANNELS):
            for instance in self.left_out(section):
                self.delete(f"{section.label} {instance}", instance)
        for section, reason in (
            (TIERS, self._tier_stays),
            (CAPABILITIES, self._capability_stays),
            (PROFILES, self._profile_stays),
        ):
            gone = self.left_out(section)
            used = _used([name_of(each) for each in gone]) if section is CAPABILITIES else set()
            for instance in gone:
                why = reason(instance) or ("it has a history" if name_of(instance) in used else "")
                if why:
                    self.kept.append(f"{section.label} {instance} stays: {why}.")
                else:
                    self.delete(f"{section.label} {instance}", instance)

    def left_out(self, section: Section) -> list[Any]:
        if section.name not in self.names.names:
            return []
        there = sorted(self.present.by_name[section.model].items())
        return [each for name, each in there if name not in self.names.names[section.name]]

    def end(self, label: str, instance: Orchestrator | Offer, *, has_past: bool) -> None:
        if not has_past:
            self.delete(label, instance)
        elif instance.mode != Mode.RETIRED:
            self.changes.append(f"~ {label}: mode {instance.mode} -> {Mode.RETIRED.value} (it has a history)")
            instance.mode = Mode.RETIRED
            self.writes.append(instance.save)

    def delete(self, label: str, instance: models.Model) -> None:
        self.present.remove(instance)
        self.writes.append(instance.delete)
        self.changes.append(f"- {label}")

    def _leaves_out(self, orchestrator: str, capability: str) -> bool:
        return capability not in self.names.offers.get(orchestrator, {capability})

    def _clients(self, gone: list[Client]) -> None:
        past = _clients_with_past([each.name for each in gone])
        for client in gone:
            if client.name not in past:
                self.delete(f"client {client}", client)
            elif client.is_active:
                client.is_active = False
                self.writes.append(client.save)
                self.changes.append(f"~ client {client}: is_active true -> false (it has keys or a history)")

    # --- why one stays -------------------------------------------------------------------------------

    def _there(self, kind: type[models.Model]) -> Collection[Any]:
        return self.present.by_name[kind].values()

    def _tier_stays(self, tier: Tier) -> str:
        return "clients are in it" if any(each.tier == tier for each in self._there(Client)) else ""

    def _capability_stays(self, capability: Capability) -> str:
        slug = capability.slug
        if any(served == slug for _orchestrator, served in self.present.offers):
            return "there are offers for it"
        if any(self.present.related_to(Capability, "parts", slug)):
            return "others are made of it"
        if any(each.capability.slug == slug for each in self._there(Pipeline)):
            return "a pipeline leads to it"
        # a client that may call nothing else would be left with an empty list, which means everything
        if any(self.present.related_to(Client, "capabilities", slug)):
            return "clients are limited to it"
        return ""

    def _profile_stays(self, profile: RoutingProfile) -> str:
        used = any(each.profile.slug == profile.slug for each in self._there(Capability))
        return "capabilities use it" if used else ""


# --- what has a past: by name, of those asked about -------------------------------------------------


def _orchestrators_with_past(names: list[str]) -> set[str]:
    if not names:
        return set()
    probed = Exists(HealthSnapshot.objects.filter(offer__orchestrator=OuterRef("pk")))
    called = Q(name__in=OfferDay.objects.values("orchestrator"))
    rows = Orchestrator.objects.filter(Q(probed) | called, name__in=names)
    return set(rows.values_list("name", flat=True))


def _offers_with_past(orchestrators: list[str]) -> set[tuple[str, str]]:
    if not orchestrators:
        return set()
    pair = {"orchestrator": OuterRef("orchestrator__name"), "capability": OuterRef("capability__slug")}
    probed = Exists(HealthSnapshot.objects.filter(offer=OuterRef("pk")))
    called = Exists(OfferDay.objects.filter(**pair))
    rows = Offer.objects.filter(probed | called, orchestrator__name__in=orchestrators)
    return set(rows.values_list("orchestrator__name", "capability__slug"))


def _clients_with_past(names: list[str]) -> set[str]:
    if not names:
        return set()
    known = Exists(ApiKey.objects.filter(client=OuterRef("pk")))
    called = Q(name__in=UsageHour.objects.values("client"))
    return set(Client.objects.filter(Q(known) | called, name__in=names).values_list("name", flat=True))


def _used(capabilities: list[str]) -> set[str]:
    if not capabilities:
        return set()
    rows = UsageHour.objects.filter(capability__in=capabilities).order_by()
    return set(rows.values_list("capability", flat=True).distinct())
