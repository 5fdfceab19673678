"""The admin of discovery: ask, see the diff, apply what was shown; and one action that activates (R70)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client

from orchestrators.models import (
    ConfigRevision,
    DiscoveredEndpoint,
    DiscoveryRun,
    DiscoverySource,
    Offer,
    Orchestrator,
)
from tests.orchestrators.scenes import offer
from tests.support.forms import act, submit
from tests.support.lists import ListServer, listing

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("shipped")]

LIST = "/admin/orchestrators/discoverysource/"
PAGE = f"{LIST}discover/"
O1 = "https://o1.example:8935"


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def ada(client: Client) -> Client:
    """Ada runs the gateway."""
    client.force_login(User.objects.create_superuser("ada"))
    return client


@pytest.fixture
def lists() -> Iterator[ListServer]:
    with listing() as server:
        server.say["/pool"] = [{"address": O1, "capabilities": ["depth", "sdxl"]}]
        DiscoverySource.objects.create(name="naap", url=f"{server.url}/pool")
        yield server


def post(browser: Client, **data: str) -> list[str]:
    """What the admin says."""
    browser.cookies.pop("messages", None)
    answer = browser.post(PAGE, data)
    assert (answer.status_code, answer["location"]) == (302, PAGE)
    return [str(each) for each in get_messages(answer.wsgi_request)]


def digest(browser: Client) -> str:
    (found,) = re.findall(r'name="digest" value="([0-9a-f]{64})"', browser.get(PAGE).content.decode())
    return str(found)


def test_asking_shows_the_difference_and_decides_nothing(ada: Client, lists: ListServer) -> None:
    assert post(ada, ask="1") == ["1 of 1 sources answered."]
    page = ada.get(PAGE).content.decode()
    assert f"+ orchestrator o1.example: {O1} (discovered: named by naap)" in page
    assert "sdxl: no capability of that name" in page
    assert not Orchestrator.objects.exists()
    assert (DiscoveredEndpoint.objects.count(), DiscoveryRun.objects.count()) == (1, 1)


def test_what_was_shown_is_applied_as_one_change_set(ada: Client, lists: ListServer) -> None:
    post(ada, ask="1")
    assert post(ada, apply="1", digest=digest(ada)) == ["Applied. Changes: 2."]
    revision = ConfigRevision.objects.latest("pk")
    assert (revision.who, revision.via) == ("ada", "admin")
    assert len(revision.summary.splitlines()) == 2
    assert "Nothing to do." in ada.get(PAGE).content.decode()


def test_what_was_not_shown_is_not_applied(ada: Client, lists: ListServer) -> None:
    post(ada, ask="1")
    shown = digest(ada)
    lists.say["/pool"] = [{"address": O1}, {"address": "https://o2.example"}]
    post(ada, ask="1")
    (said,) = post(ada, apply="1", digest=shown)
    assert said.startswith("Something has changed since this was shown; nothing was applied.")
    assert not Orchestrator.objects.exists()


def test_one_action_activates_the_orchestrator_and_what_was_found_with_it(
    ada: Client, lists: ListServer
) -> None:
    """R70: discovered is not active; one action activates."""
    post(ada, ask="1")
    post(ada, apply="1", digest=digest(ada))
    found = Orchestrator.objects.get()
    assert (found.mode, Offer.objects.get().mode) == ("discovered", "discovered")
    act(ada, "/admin/orchestrators/orchestrator/", "activate", found)
    found.refresh_from_db()
    assert (found.mode, Offer.objects.get().mode) == ("active", "active")


def test_activating_one_that_was_disabled_leaves_its_offers(ada: Client) -> None:
    disabled = Orchestrator.objects.create(name="o", service_uri=O1, mode="disabled")
    found = offer(disabled, "depth", mode="discovered")
    act(ada, "/admin/orchestrators/orchestrator/", "activate", disabled)
    found.refresh_from_db()
    assert found.mode == "discovered"


def test_the_list_tells_how_each_source_does(ada: Client, lists: ListServer) -> None:
    post(ada, ask="1")
    lists.say["/pool"] = {"error": "down"}
    assert post(ada, ask="1")[0] == "0 of 1 sources answered."
    page = ada.get(LIST).content.decode()
    assert "1 listed, 1 kept" in page
    assert "is an object with error, not a list" in page
    assert PAGE in page
    for url in ("discoveryrun", "discoveredendpoint"):
        assert "naap" in ada.get(f"/admin/orchestrators/{url}/").content.decode()
    endpoint = DiscoveredEndpoint.objects.get()
    assert ada.get(f"/admin/orchestrators/discoveredendpoint/{endpoint.pk}/change/").status_code == 200


def test_a_source_is_added_in_the_form(ada: Client) -> None:
    submit(ada, f"{LIST}add/", name="ours", format="orch-addr", text=O1)
    made = DiscoverySource.objects.get()
    assert (made.name, made.names, made.exclude, made.trusted) == ("ours", {}, [], False)
    with pytest.raises(AssertionError, match="Give either a URL"):
        submit(ada, f"{LIST}add/", name="none")
    # beyond what a clock can add, which would end the loop for every source
    with pytest.raises(AssertionError, match=r"interval.*Give seconds, at most 2,592,000: a month"):
        submit(ada, f"{LIST}add/", name="late", format="orch-addr", text=O1, interval="9223372036854775807")


def test_who_may_only_look_neither_asks_nor_applies(client: Client, lists: ListServer) -> None:
    bob = User.objects.create_user("bob", is_staff=True)
    client.force_login(bob)
    assert client.get(PAGE).status_code == 403
    bob.user_permissions.set(Permission.objects.filter(codename="view_discoverysource"))
    assert "Ask all sources" not in client.get(PAGE).content.decode()
    assert client.post(PAGE, {"ask": "1"}).status_code == 403
    assert lists.asked == []
