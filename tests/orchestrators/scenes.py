"""Registries that the tests of the prober and of the admin share.

Alder is warm and dear, Birch cheap, Cedar broken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

from orchestrators.core.price import Price
from orchestrators.models import (
    Advert,
    Capability,
    HealthSnapshot,
    Offer,
    OfferHealth,
    Orchestrator,
    RoutingProfile,
)
from orchestrators.prober import Report, Settings, Summary, run, selected
from orchestrators.simulator import Container, Simulator

T = TypeVar("T")
ALDER, BIRCH, CEDAR = "alder", "birch", "cedar"

SAMPLES: dict[str, dict[str, Any]] = {
    "depth": {
        "response": {
            "content_types": ["application/json"],
            "schema": {"type": "object", "required": ["depth"]},
        },
        "sample_request": {"content_type": "application/json", "path": "", "body": {"image": "a picture"}},
    },
    "echo": {
        "response": {"content_types": ["application/json"]},
        "sample_request": {"content_type": "application/json", "path": "", "body": {"hello": "there"}},
    },
}


def capability(slug: str, **fields: Any) -> Capability:
    """With its sample request, unless `sample_request=None`; overwrites the one that is shipped."""
    profile = RoutingProfile.objects.get(slug="warm")
    values = {"profile": profile, **SAMPLES.get(slug, {}), **fields}
    return Capability.objects.update_or_create(slug=slug, defaults=values)[0]


def orchestrator(name: str, uri: str = "", **fields: Any) -> Orchestrator:
    uri = uri or f"http://{name}.invalid:8935"
    return Orchestrator.objects.update_or_create(name=name, defaults={"service_uri": uri, **fields})[0]


def offer(of: Orchestrator, slug: str, **fields: Any) -> Offer:
    """Of a capability that need not exist yet."""
    known = Capability.objects.filter(slug=slug, sample_request__isnull=False).first()
    return Offer.objects.create(orchestrator=of, capability=known or capability(slug), **fields)


def simulator(name: str, *containers: Container, **options: object) -> Simulator:
    return Simulator(name, capabilities=containers or (Container("depth", price=10),), **options)  # type: ignore[arg-type]


def register(*simulators: Simulator) -> None:
    """Each with an offer for each of its capabilities."""
    for each in simulators:
        row = orchestrator(each.name, each.service_uri, protocol=each.protocol)
        for name in each.registry.registrations:
            price = Price.parse("10 wei/second") if each.protocol == "direct" else None
            path, wire_name = "", ""
            if each.protocol == "direct" and len(each.registry.registrations) > 1:
                path = name
            elif each.protocol == "live-runner":
                path, wire_name = f"apps/{name}/app", f"simulator/{name}"
            offer(row, name, price=price, path=path, wire_name=wire_name)


def health(name: str, slug: str = "depth") -> OfferHealth:
    return OfferHealth.objects.get(offer__orchestrator__name=name, offer__capability__slug=slug)


def advert(name: str, slug: str = "depth") -> Advert:
    return Advert.objects.get(offer__orchestrator__name=name, offer__capability__slug=slug)


def snapshot(name: str, slug: str = "depth") -> HealthSnapshot:
    """The latest."""
    of_offer = HealthSnapshot.objects.filter(offer__orchestrator__name=name, offer__capability__slug=slug)
    return of_offer.latest("pk")


def probe(**settings: Any) -> tuple[dict[tuple[str, str], Report], Summary]:
    """One run over everything; reports by (orchestrator, capability)."""
    reports: list[Report] = []
    summary = run(selected(), Settings(**settings), on_report=reports.append)
    return {(report.orchestrator, report.capability): report for report in reports}, summary


async def in_thread(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Database work of a test whose loop must go on serving."""
    return await sync_to_async(work, thread_sensitive=True)(*args, **kwargs)
