"""`/discovery/`: who is on the roster, in which formats, and who may read it."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import OperationalError, connection
from django.test import Client as Browser
from django.utils import timezone

from orchestrators.core.discovery import Entry, Format, Kind, Named, read
from orchestrators.core.price import Price
from orchestrators.models import Advert, Offer, OfferHealth, Orchestrator
from routing.configuration import apply
from routing.models import ApiKey, Client

pytestmark = pytest.mark.django_db
ROSTER = "/discovery/orchestrators.json"
NETWORK = "/discovery/network-capabilities.json"
DOCUMENT: dict[str, Any] = {
    "capabilities": [
        {"slug": "depth", "profile": "per-frame", "price_ceiling": "1000 wei/second"},
        {"slug": "pose", "profile": "per-frame", "price_ceiling": "none"},
    ],
    "tiers": [{"slug": "cheap", "price_ceilings": {"depth": "100 wei/second"}}],
    "clients": [{"name": "acme", "tier": "cheap", "capabilities": ["depth"]}],
    "orchestrators": [
        {"name": "alder", "service_uri": "https://alder.example:8935", "offers": [{"capability": "depth"}]},
        {
            "name": "birch",
            "service_uri": "https://birch.example:8935",
            "offers": [{"capability": "depth", "wire_name": "depth-anything"}, {"capability": "pose"}],
        },
    ],
}


@pytest.fixture(autouse=True)
def two_that_are_well(settings: Any, tmp_path: Any, shipped: None) -> None:
    settings.STATIC_ROOT = tmp_path
    assert apply(DOCUMENT, who="test").errors == []
    for offer, price in zip(Offer.objects.order_by("pk"), ("700", "90", "3"), strict=True):
        probed(offer, price)


def probed(offer: Offer, price: str, state: str = "healthy", **claim: Any) -> None:
    at = timezone.now()
    Advert.objects.create(offer=offer, **{"claimed": True, "price": Price.parse(f"{price} wei/second")} | claim)
    OfferHealth.objects.create(offer=offer, state=state, epoch=1, probed_at=at, last_success_at=at)


def told(browser: Browser, url: str = ROSTER, **headers: str) -> Any:
    answer = browser.get(url, REMOTE_ADDR="127.0.0.1", **headers)
    assert answer.status_code == 200, answer.content
    assert answer["content-type"] == "application/json"
    return answer.json()


def addresses(browser: Browser, url: str = ROSTER, **headers: str) -> set[str]:
    return {each["address"].split("//")[1].split(".")[0] for each in told(browser, url, **headers)}


def test_it_is_a_webhooks_list_with_scores_that_are_numbers(client: Browser) -> None:
    assert told(client) == [
        {"address": "https://birch.example:8935", "score": 1.0, "capabilities": ["depth-anything", "pose"]},
        {"address": "https://alder.example:8935", "score": 1.0, "capabilities": ["depth"]},
    ]


@pytest.mark.parametrize(("name", "found"), [("depth", {"alder", "birch"}), ("pose", {"birch"})])
def test_it_is_filtered_by_capability(client: Browser, name: str, found: set[str]) -> None:
    assert addresses(client, f"{ROSTER}?capability={name}") == found


def test_a_capability_nobody_knows_is_an_error_that_keeps_a_stock_gateways_last_list(client: Browser) -> None:
    answer = client.get(f"{ROSTER}?capability=nothing", REMOTE_ADDR="127.0.0.1")
    assert (answer.status_code, answer.json()) == (404, {"detail": "There is no capability 'nothing'."})


@pytest.mark.parametrize(
    "change",
    [
        lambda alder: Orchestrator.objects.update(mode="discovered"),
        lambda alder: Offer.objects.filter(pk=alder.pk).update(mode="disabled"),
        lambda alder: Orchestrator.objects.filter(name="alder").update(protocol="direct"),
        lambda alder: Advert.objects.filter(offer=alder).update(price="1001 wei/second"),
        lambda alder: Advert.objects.filter(offer=alder).update(claimed=False),
        lambda alder: OfferHealth.objects.filter(offer=alder).update(state="down", epoch=2),
        lambda alder: OfferHealth.objects.filter(offer=alder).update(state="probation", epoch=2),
        lambda alder: OfferHealth.objects.filter(offer=alder).delete(),
    ],
    ids=["discovered", "disabled", "direct", "too-dear", "not-claimed", "down", "probation", "unknown"],
)
def test_only_who_is_well_and_allowed_is_on_it(client: Browser, change: Any) -> None:
    change(Offer.objects.get(orchestrator__name="alder"))
    assert "alder" not in addresses(client)


def test_degraded_is_still_used(client: Browser) -> None:
    OfferHealth.objects.update(state="degraded", epoch=2)
    assert addresses(client) == {"alder", "birch"}


def test_both_documents_are_read_again_by_discovery(client: Browser) -> None:
    """R4, R69: what one gateway exports, another takes in."""
    served = (Named("depth-anything"), Named("pose"))
    again = read(Format.ADDRESSES, json.dumps(told(client)).encode())
    assert again.entries[0] == Entry("https://birch.example:8935", 1.0, serves=served)
    again = read(Format.NETWORK, json.dumps(told(client, NETWORK)).encode())
    assert again.entries[0].serves == (
        Named("depth-anything", Kind.BYOC, "90 wei/second"),
        Named("pose", Kind.BYOC, "3 wei/second"),
    )


def test_runners_are_told_with_their_paths_and_are_no_byoc(client: Browser) -> None:
    Orchestrator.objects.filter(name="alder").update(protocol="live-runner")
    Offer.objects.filter(orchestrator__name="alder").update(wire_name="acme/depth", path="apps/depth/app")
    Advert.objects.update(price="0 wei/second")
    entries = read(Format.ADDRESSES, json.dumps(told(client)).encode()).entries
    (alder,) = [each for each in entries if "alder" in each.service_uri]
    assert alder.serves == (Named("acme/depth", Kind.RUNNER, "0 wei/second", "apps/depth/app"),)
    listed = {each["orch_uri"]: each["capabilities_prices"] for each in told(client, NETWORK)["orchestrators"]}
    assert listed["https://alder.example:8935"] == []


# --- who may read it -----------------------------------------------------------------------------


def status(browser: Browser, address: str, **headers: str) -> int:
    return browser.get(ROSTER, REMOTE_ADDR=address, **headers).status_code


def test_strangers_may_not(client: Browser, settings: Any) -> None:
    assert status(client, "203.0.113.7") == 403
    assert status(client, "") == 403
    settings.BYOCGW_ALLOWED_NETWORKS = ()
    assert status(client, "127.0.0.1") == 403


def test_neighbours_may(client: Browser, settings: Any) -> None:
    settings.BYOCGW_ALLOWED_NETWORKS = (ip_network("10.0.0.0/8"),)
    assert status(client, "10.1.2.3") == 200
    assert status(client, "::ffff:10.1.2.3") == 200
    assert status(client, "127.0.0.1") == 403


def test_staff_may_who_may_view_orchestrators(client: Browser) -> None:
    bob = User.objects.create_user("bob", is_staff=True)
    client.force_login(bob)
    assert status(client, "203.0.113.7") == 403
    bob.user_permissions.set(Permission.objects.filter(codename="view_orchestrator"))
    assert status(client, "203.0.113.7") == 200


def test_a_key_opens_it_only_where_orchestrators_are_exposed_anyway(client: Browser, settings: Any) -> None:
    """And then for what its client may call, within its own ceilings."""
    key, secret = ApiKey.issue(Client.objects.get(name="acme"), now=timezone.now())
    key.save()
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {secret}"}
    assert status(client, "203.0.113.7", **bearer) == 403
    settings.BYOCGW_EXPOSE_ORCHESTRATOR = True
    assert status(client, "203.0.113.7", HTTP_AUTHORIZATION="Bearer byoc_wrong") == 403
    assert client.get(ROSTER, REMOTE_ADDR="203.0.113.7", **bearer).json() == [
        {"address": "https://birch.example:8935", "score": 1.0, "capabilities": ["depth-anything"]}
    ]
    ApiKey.objects.update(expires_at=timezone.now())
    assert status(client, "203.0.113.7", **bearer) == 403


def test_it_is_read_only(client: Browser) -> None:
    assert client.post(ROSTER, REMOTE_ADDR="127.0.0.1").status_code == 405


def test_while_the_database_is_away_a_stock_gateway_keeps_its_list(client: Browser) -> None:
    def away(execute: Any, sql: str, *rest: Any) -> Any:
        raise OperationalError("gone")

    with connection.execute_wrapper(away):
        answer = client.get(ROSTER, REMOTE_ADDR="127.0.0.1")
    assert answer.status_code == 503
