"""`apply --prune`: what the document leaves out goes, or is put out of service if it has a past."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrators.models import Capability, HealthSnapshot, Offer
from routing.configuration import apply, export, plan
from routing.models import ApiKey, Client, OfferDay, Tier, UsageHour

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def example() -> dict[str, Any]:
    alder = {"name": "alder", "service_uri": "https://127.0.0.1:9101", "offers": [{"capability": "depth"}]}
    birch = {"name": "birch", "service_uri": "http://127.0.0.1:9102", "protocol": "direct"}
    offer = {"capability": "depth", "price": "10 wei/second"}
    return {"orchestrators": [alder, birch | {"offers": [offer]}], "clients": [{"name": "acme"}]}


def do(document: object, *, prune: bool = False) -> list[str]:
    foretold = plan(document, prune=prune)
    done = apply(document, who="ada", prune=prune)
    assert done.errors == [] and done == foretold
    return done.changes


def test_pruning_is_asked_for_and_stays_within_sections() -> None:
    do(example())
    birch = example()["orchestrators"][1]
    assert do({"orchestrators": [birch]}) == []
    assert do({"orchestrators": [birch]}, prune=True) == ["- orchestrator alder"]
    assert Client.objects.filter(name="acme").exists()
    assert Capability.objects.count() == 6


def test_what_has_a_history_is_retired() -> None:
    do(example())
    alder, birch = Offer.objects.select_related("orchestrator")
    HealthSnapshot.objects.create(
        offer=alder, at=NOW, source="probe", outcome="ok", before="unknown", after="healthy"
    )
    document = {"orchestrators": [example()["orchestrators"][1] | {"offers": []}]}
    assert do(document, prune=True) == [
        "~ orchestrator alder: mode active -> retired (it has a history)",
        "- offer birch / depth",
    ]
    assert do(document, prune=True) == []
    assert do(example(), prune=True)[0] == "~ orchestrator alder: mode retired -> active"


def test_an_offer_that_was_called_is_retired() -> None:
    do(example())
    OfferDay.objects.create(day=NOW, orchestrator="birch", capability="depth", attempts=1)
    birch = example()["orchestrators"][1]
    assert do({"orchestrators": [birch | {"offers": []}]}, prune=True) == [
        "- orchestrator alder",
        "~ offer birch / depth: mode active -> retired (it has a history)",
    ]


def test_offers_are_left_alone_where_none_are_listed() -> None:
    do(example())
    orchestrators = [{k: v for k, v in each.items() if k != "offers"} for each in example()["orchestrators"]]
    assert do({"orchestrators": orchestrators}, prune=True) == []


def test_a_new_orchestrator_may_take_over_an_address() -> None:
    do(example())
    document = {"orchestrators": [example()["orchestrators"][0] | {"name": "aspen"}]}
    assert do(document, prune=True) == [
        "- orchestrator alder",
        "- orchestrator birch",
        "+ orchestrator aspen",
        "+ offer aspen / depth",
    ]


def test_clients_with_keys_or_usage_are_switched_off() -> None:
    do({"clients": [{"name": "acme"}, {"name": "once"}, {"name": "idle"}]})
    ApiKey.issue(Client.objects.get(name="acme"), now=NOW)[0].save()
    UsageHour.objects.create(hour=NOW, client="once")
    assert do({"clients": []}, prune=True) == [
        "~ client acme: is_active true -> false (it has keys or a history)",
        "- client idle",
        "~ client once: is_active true -> false (it has keys or a history)",
    ]
    assert do({"clients": []}, prune=True) == []


def test_what_is_in_use_stays_and_says_why() -> None:
    do(example())
    do({"tiers": [{"slug": "gold"}, {"slug": "idle"}], "clients": [{"name": "b", "tier": "gold"}]})
    Client.objects.get(name="b").capabilities.add(Capability.objects.get(slug="segmentation"))
    Capability.objects.get(slug="video-to-video").parts.add(Capability.objects.get(slug="style-transfer"))
    nothing: dict[str, Any] = {"tiers": [], "profiles": [], "capabilities": []}
    foretold = plan(nothing, prune=True)
    done = apply(nothing, who="ada", prune=True)
    assert done == foretold
    assert done.changes == [
        "- tier idle",
        "- capability image-to-image",
        "- capability pose",
        "- capability video-to-video",
        "- routing profile chained",
    ]
    assert done.kept == [
        "tier gold stays: clients are in it.",
        "capability depth stays: there are offers for it.",
        "capability segmentation stays: clients are limited to it.",
        "capability style-transfer stays: others are made of it.",
        "routing profile per-frame stays: capabilities use it.",
        "routing profile warm stays: capabilities use it.",
    ]


def test_a_whole_export_is_a_way_back() -> None:
    do(example())
    earlier = export()
    do({"orchestrators": [], "clients": [], "tiers": [{"slug": "gold"}]}, prune=True)
    do(earlier, prune=True)
    assert export() == earlier
    assert not Tier.objects.exists()
