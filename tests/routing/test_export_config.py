"""The configuration as text: what `apply` reads, and what a stock gateway reads."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from orchestrators.models import Capability, ConfigRevision, Orchestrator
from routing.configuration import apply, export
from routing.configuration.document import read
from routing.models import ApiKey, Client

pytestmark = pytest.mark.django_db

EVERYTHING = {
    "profiles": [
        {
            "slug": "overnight",
            "max_attempts": 5,
            "retry_timeout": 600,
            "attempt_timeout": 0.5,
            "cold_grace": 0,
            "latency_target_ms": 60000,
            "max_in_flight": 1,
            "seat_wait": 0,
            "fresh_for": 3600,
            "value_of_second": 0,
            "suggested_ceiling": "1/3 wei/pixel",
        }
    ],
    "capabilities": [
        {
            "slug": "depth",
            "description": "on: yes, no # and\nünïcode: 'x'",
            "profile": "overnight",
            "stateful": True,
            "max_attempts": 1,
            "typical_seconds": 2.5,
            "parts": ["pose"],
            "response": {"content_types": ["image/*"], "schema": {"const": True, "maximum": 1e18}},
            "sample_request": {"path": "2026-11-23", "body": {"n": None, "list": [1, 1.5, "1"]}},
            "price_ceiling": "none",
        }
    ],
    "tiers": [{"slug": "gold", "requests_per_minute": 60, "price_ceilings": {"depth": "0.5 wei/pixel"}}],
    "clients": [{"name": "acme", "tier": "gold", "capabilities": ["depth", "pose"], "is_active": False}],
    "orchestrators": [
        {
            "name": "birch",
            "service_uri": "http://127.0.0.1:9102",
            "protocol": "direct",
            "notes": "none",
            "offers": [{"capability": "depth", "price": "0 wei/pixel", "share": 0.005}],
        }
    ],
    "signatures": [
        {
            "name": "queue-full",
            "order": 5,
            "enabled": False,
            "status_from": 500,
            "status_to": 502,
            "text": 'Queue: full # "now"',
            "header": "X-Queue:",
            "cls": "busy",
            "note": "yes",
        },
    ],
    "discovery": [
        {
            "name": "naap",
            "url": "https://lists.example/v1/discover?caps=a",
            "trusted": True,
            "interval": 3600,
            "names": {"flux-schnell": "image-to-image"},
            "exclude": ["o9.example"],
        },
        {"name": "ours", "format": "orch-addr", "text": "https://o1.example:8935\n", "enabled": False},
    ],
}


def exported(*options: str) -> str:
    out = io.StringIO()
    call_command("export_config", *options, stdout=out)
    return out.getvalue()


def test_it_round_trips_through_text() -> None:
    assert apply(EVERYTHING, who="ada").errors == []
    text = exported()
    again = apply(read(text.encode()), who="ada", prune=True)
    assert (again.changes, again.errors, again.kept) == ([], [], [])
    assert read(text.encode()) == export()


def test_it_shows_only_what_differs_from_the_defaults() -> None:
    apply(EVERYTHING, who="ada")
    found = export()
    for section, entries in EVERYTHING.items():
        for entry in entries:
            assert entry in found[section]


def test_it_is_always_in_the_same_order() -> None:
    for name in ("cedar", "alder", "birch"):
        Orchestrator.objects.create(name=name, service_uri=f"https://{name}.example")
    assert [each["name"] for each in export()["orchestrators"]] == ["alder", "birch", "cedar"]
    assert list(export()) == [
        *("profiles", "capabilities", "tiers", "clients", "orchestrators", "signatures", "discovery"),
        *("rates", "pipelines", "channels", "alerts"),
    ]
    assert exported() == exported()


def test_keys_are_never_in_it() -> None:
    key, secret = ApiKey.issue(Client.objects.create(name="acme"), now=datetime(2026, 11, 23, tzinfo=UTC))
    key.save()
    text = exported()
    assert "acme" in text
    assert key.digest not in text
    assert key.hint not in text
    assert secret not in text


def test_the_number_of_queries_does_not_grow(django_assert_max_num_queries: object) -> None:
    document = {
        "orchestrators": [
            {"name": f"o{i}", "service_uri": f"https://o{i}.example", "offers": [{"capability": "depth"}]}
            for i in range(30)
        ],
        "clients": [{"name": f"c{i}", "capabilities": ["depth"]} for i in range(30)],
    }
    apply(document, who="ada")
    with django_assert_max_num_queries(16):  # type: ignore[operator]
        export()


def test_it_goes_back_to_an_earlier_change_set() -> None:
    apply(EVERYTHING, who="ada")
    first = ConfigRevision.objects.get()
    apply({"clients": [{"name": "acme"}], "orchestrators": []}, who="ada", prune=True)
    earlier = read(exported("--revision", str(first.pk)).encode())
    assert apply(earlier, who="ada", prune=True).errors == []
    assert export() == earlier
    with pytest.raises(CommandError, match="no change set 999"):
        exported("--revision", "999")


def test_it_lists_active_orchestrators_as_orch_addr() -> None:
    """R6: the same list that a stock gateway takes."""
    for number, mode in enumerate(["active", "draining", "active"]):
        Orchestrator.objects.create(name=f"o{number}", service_uri=f"https://10.0.0.{number}:8935", mode=mode)
    assert exported("--format", "orch-addr") == "https://10.0.0.0:8935,https://10.0.0.2:8935\n"


def test_a_capability_of_defaults_is_short() -> None:
    Capability.objects.exclude(slug="pose").delete()
    Capability.objects.update(description="")
    assert export()["capabilities"] == [{"slug": "pose", "profile": "per-frame"}]
