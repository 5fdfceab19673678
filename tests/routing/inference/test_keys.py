"""What a key is good for, from where, until when; and clients that can send none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.utils import timezone

from orchestrators.simulator import Container, Simulator
from routing.configuration import plan
from routing.models import ApiKey
from tests.routing.inference.scenes import PICTURE, ask, depth_by
from tests.support.gateway import Gateway, in_thread


@pytest_asyncio.fixture
async def depth(gateway: Gateway) -> AsyncIterator[Gateway]:
    async with Simulator("alder", capabilities=[Container("depth", price=9)]) as alder:
        await depth_by(gateway, alder)
        yield gateway


async def change(gateway: Gateway, **values: Any) -> None:
    """The key in use, changed as the admin would."""
    await in_thread(lambda: ApiKey.objects.update(**values))
    await gateway.runtime.refresh()


async def keyless(gateway: Gateway) -> httpx.Response:
    return await gateway.http.post("/v1/capabilities/depth", json=PICTURE)


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


async def test_a_key_is_good_for_its_scope_alone(depth: Gateway) -> None:
    await change(depth, scope="read")
    refused, usage = await ask(depth), await depth.get("/v1/usage")
    await change(depth, scope="inference")
    served, denied = await ask(depth), await depth.get("/v1/usage")
    listed = await depth.get("/v1/capabilities")

    assert (told(refused), usage.status_code) == ((403, "key_not_allowed"), 200)
    assert (served.status_code, told(denied)) == (200, (403, "key_not_allowed"))
    assert listed.status_code == 200
    assert refused.json()["detail"] == "This API key is for read alone."


async def test_a_key_is_good_from_its_networks_alone(depth: Gateway) -> None:
    await change(depth, networks=["10.0.0.0/8"])
    elsewhere = await ask(depth)
    await change(depth, networks=["10.0.0.0/8", "127.0.0.0/8"])
    here = await ask(depth)
    await change(depth, networks=["unreadable"])  # by hand, in the database
    broken = await ask(depth)

    assert told(elsewhere) == told(broken) == (403, "key_not_allowed")
    assert here.status_code == 200


async def test_a_proxy_that_is_trusted_says_where_a_call_is_from(depth: Gateway) -> None:
    await change(depth, networks=["10.0.0.0/8"])
    headers = {"x-forwarded-for": "10.1.2.3", "x-forwarded-proto": "https"}
    behind = await depth.post("/v1/capabilities/depth", json=PICTURE, headers=headers)
    directly = await ask(depth)

    assert behind.status_code == 200
    assert told(directly) == (403, "key_not_allowed")


async def test_a_client_without_a_key_is_known_by_its_network(depth: Gateway) -> None:
    """G25"""
    stranger = await keyless(depth)
    tier = {"tiers": [{"slug": "open", "requests_per_minute": 1, "burst": 2}]}
    clients = [
        {"name": "everybody", "tier": "open", "networks": ["0.0.0.0/0"], "capabilities": ["pose"]},
        {"name": "lab", "tier": "open", "networks": ["127.0.0.0/8"]},
    ]
    await depth.apply(tier | {"clients": clients})
    answers = [await keyless(depth) for _ in range(3)]
    wrong = await depth.post("/v1/capabilities/depth", json=PICTURE, headers={"authorization": "Bearer byoc_x"})

    assert told(stranger) == (401, "unauthenticated")
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert told(wrong) == (401, "unauthenticated")  # a key that is sent must be a good one


def test_a_network_needs_a_tier_and_one_owner(shipped: None) -> None:
    document: dict[str, Any] = {
        "tiers": [{"slug": "open"}],
        "clients": [
            {"name": "a", "networks": ["10.0.0.0/8"]},
            {"name": "b", "tier": "open", "networks": ["10.0.0.1/8"]},
            {"name": "c", "tier": "open", "networks": "10.0.0.0/8"},
        ],
    }

    errors = plan(document).errors

    assert "clients[0].tier: A client that is known by its network needs a tier, with its limits." in errors
    assert any(each.startswith("clients[1].networks: 10.0.0.1/8 has host bits set") for each in errors)
    assert any(each.startswith("clients[2].networks: Must be a list of networks") for each in errors)


def test_two_clients_cannot_have_one_network(shipped: None) -> None:
    both = [{"name": name, "tier": "open", "networks": ["10.0.0.0/8"]} for name in "ab"]

    assert plan({"tiers": [{"slug": "open"}], "clients": both}).errors == [
        "clients[1].networks: 10.0.0.0/8 is a's already."
    ]


async def test_a_rotated_key_works_on_for_its_overlap(depth: Gateway, capsys: Any) -> None:
    old = depth.key
    hint = old[:10]
    await sync_to_async(call_command)("rotate_api_key", hint, "--overlap", "1", "--quiet")
    depth.key = capsys.readouterr().out.strip()
    await depth.runtime.refresh()
    new = await ask(depth)
    both = await depth.post("/v1/capabilities/depth", json=PICTURE, headers={"authorization": f"Bearer {old}"})
    stored = await in_thread(lambda: ApiKey.objects.get(hint=hint))

    assert (new.status_code, both.status_code) == (200, 200)
    assert timedelta(minutes=59) < stored.expires_at - timezone.now() <= timedelta(hours=1)


@pytest.mark.django_db
def test_only_one_valid_key_can_be_rotated() -> None:
    with pytest.raises(CommandError, match="0 keys that are not revoked begin with 'byoc_nope'"):
        call_command("rotate_api_key", "byoc_nope")


async def test_peppers_rotate_while_old_keys_work(depth: Gateway, settings: Any) -> None:
    plain = depth.key
    settings.BYOCGW_KEY_PEPPERS = ["salt", ""]
    peppered = await depth.issue_key("zoo")
    answers = [
        await depth.post("/v1/capabilities/depth", json=PICTURE, headers={"authorization": f"Bearer {key}"})
        for key in (plain, peppered)
    ]
    settings.BYOCGW_KEY_PEPPERS = ["salt"]
    depth.runtime.table.shown.clear()  # as the restart does that a setting takes
    after = [
        await depth.post("/v1/capabilities/depth", json=PICTURE, headers={"authorization": f"Bearer {key}"})
        for key in (plain, peppered)
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.status_code for answer in after] == [401, 200]


async def test_the_books_say_when_a_key_was_last_used(depth: Gateway) -> None:
    await ask(depth)
    last_used = None
    async with asyncio.timeout(10):
        while last_used is None:  # the worker's own report may be writing it just now
            await depth.runtime.drain()
            last_used = (await in_thread(lambda: ApiKey.objects.get(client__name="acme"))).last_used
    assert abs(last_used - timezone.now()) < timedelta(seconds=60)
