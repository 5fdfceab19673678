"""The -orchAddr of a stock gateway becomes orchestrators (R6)."""

from __future__ import annotations

import io
from ipaddress import ip_network
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from orchestrators.core.discovery import orch_addr as parse
from orchestrators.models import ConfigRevision, Offer, Orchestrator

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("import_orch_addr", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("item", "uri"),
    [
        ("https://a.example:8935", "https://a.example:8935"),
        ("http://a.example:1", "http://a.example:1"),
        ("a.example", "https://a.example:8935"),
        ("a.example:9000", "https://a.example:9000"),
        (":9000", "https://127.0.0.1:9000"),
        ("  10.0.0.1  ", "https://10.0.0.1:8935"),
        ("https://a.example", "https://a.example"),  # the stock gateway adds no port to a full URL
        ("https://a.example:8935/", "https://a.example:8935"),
        ("[::1]:9000", "https://[::1]:9000"),
    ],
)
def test_it_reads_addresses_as_the_stock_gateway_does(item: str, uri: str) -> None:
    assert parse(item) == [uri]


def test_it_skips_empty_and_repeated_items() -> None:
    assert parse(" a.example , ,https://a.example:8935,") == ["https://a.example:8935"]


def test_it_creates_the_orchestrators(settings: Any) -> None:
    """R6: a comma-separated -orchAddr creates the orchestrators, which get traffic like any others."""
    settings.BYOCGW_ALLOWED_NETWORKS = (ip_network("10.0.0.0/8"),)
    out = run("https://a.example:8935, b.example,10.0.0.1:9000,10.0.0.1:9001")
    assert list(Orchestrator.objects.values_list("name", "service_uri", "protocol", "mode")) == [
        ("10.0.0.1", "https://10.0.0.1:9000", "byoc", "active"),
        ("10.0.0.1-9001", "https://10.0.0.1:9001", "byoc", "active"),
        ("a.example", "https://a.example:8935", "byoc", "active"),
        ("b.example", "https://b.example:8935", "byoc", "active"),
    ]
    assert "+ orchestrator a.example: https://a.example:8935" in out
    assert ConfigRevision.objects.get().via == "command"


def test_it_refuses_an_address_of_a_network_that_is_not_allowed() -> None:
    with pytest.raises(CommandError, match=r"10\.0\.0\.1 is a private address; .*BYOCGW_ALLOWED_NETWORKS"):
        run("a.example,10.0.0.1:9000")
    assert not Orchestrator.objects.exists()


def test_it_leaves_known_addresses_alone() -> None:
    Orchestrator.objects.create(name="alder", service_uri="https://a.example:8935", mode="draining")
    out = run("a.example,b.example")
    assert "https://a.example:8935 is already there: alder" in out
    assert Orchestrator.objects.get(name="alder").mode == "draining"
    assert Orchestrator.objects.count() == 2


def test_it_adds_offers_when_asked_to() -> None:
    run("a.example,b.example", "--capability", "depth", "--capability", "pose", "--mode", "discovered")
    assert set(Offer.objects.values_list("orchestrator__name", "capability__slug", "mode")) == {
        (name, slug, "active") for name in ("a.example", "b.example") for slug in ("depth", "pose")
    }
    assert set(Orchestrator.objects.values_list("mode", flat=True)) == {"discovered"}


def test_names_stay_unique_and_valid() -> None:
    Orchestrator.objects.create(name="a.example", service_uri="http://x")
    Orchestrator.objects.create(name="a.example-8935", service_uri="http://y")
    run("a.example,[::1]:9000," + "long." * 40 + "example")
    assert Orchestrator.objects.get(service_uri="https://a.example:8935").name == "a.example-2"
    assert Orchestrator.objects.get(service_uri="https://[::1]:9000").name == "1"
    for orchestrator in Orchestrator.objects.all():
        orchestrator.full_clean()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a.example,https://b.example/path"], "Nothing was added."),
        (["a.example,https://b.example:x"], "Nothing was added."),
        ([" , "], "no address"),
        (["a.example", "--capability", "smell"], "no capability smell"),
        (["a.example", "--protocol", "carrier-pigeon"], "invalid choice"),
    ],
)
def test_it_is_all_or_nothing(arguments: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        run(*arguments)
    assert not Orchestrator.objects.exists()
