"""A capability is a contract: anybody's, and the same whoever serves it with whatever model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser

from orchestrators.models import Advert, HealthSnapshot, Offer, Orchestrator, RoutingProfile
from orchestrators.simulator import Container, Simulator, tokens
from routing.models import Job
from tests.routing.inference.scenes import DEPTH, PICTURE, depth_by, orchestrator
from tests.support.forms import submit
from tests.support.gateway import Gateway, in_thread


def add_in_the_admin(slug: str, *, offered_by: str) -> None:
    """What a person does with the form: a capability, its ceiling, and one offer for it."""
    browser = Browser()
    browser.force_login(User.objects.create_superuser("operator"))
    submit(
        browser,
        "/admin/orchestrators/capability/add/",
        slug=slug,
        profile=RoutingProfile.objects.get(slug="warm").pk,
        **{
            "ceilings-TOTAL_FORMS": 1,
            "ceilings-0-price": "1 gwei/second",
            "offers-TOTAL_FORMS": 1,
            "offers-0-orchestrator": Orchestrator.objects.get(name=offered_by).pk,
            "offers-0-mode": "active",
            "offers-0-share": 1,
        },
    )


async def test_a_capability_of_any_name_is_made_in_the_admin(
    gateway: Gateway, settings: Any, tmp_path: Path
) -> None:
    """R1: `subtitle-burn`, no AI at all, by the form alone; a request to it is forwarded."""
    settings.STATIC_ROOT = tmp_path  # nothing is collected there, and nobody minds
    async with Simulator("alder", capabilities=[Container("subtitle-burn", price=5, kind="echo")]) as alder:
        await gateway.apply({"orchestrators": [orchestrator(alder)]})
        await in_thread(add_in_the_admin, "subtitle-burn", offered_by="alder")
        await gateway.probe()
        answer = await gateway.post("/v1/capabilities/subtitle-burn/srt", content=b"1\n00:00 --> 00:01\nhi\n")

    assert (answer.status_code, answer.content) == (200, b"1\n00:00 --> 00:01\nhi\n")
    assert alder.jobs[-1].capability == "subtitle-burn"


async def test_the_url_outlives_every_offer_behind_it(gateway: Gateway) -> None:
    """R23: all orchestrators exchanged, another protocol, wire name and path; the client notices nothing."""
    url = "/v1/capabilities/depth"
    async with (
        Simulator("alder", capabilities=[Container("depth", price=5)]) as alder,
        Simulator("birch", protocol="direct", capabilities=[Container("midas", kind="depth")]) as birch,
    ):
        await depth_by(gateway, alder)
        before = await gateway.post(url, json=PICTURE), await gateway.get(url)
        successor = {"capability": "depth", "path": "midas/v2", "price": "7 wei/second"}
        await gateway.apply(
            {"orchestrators": [orchestrator(alder, mode="disabled"), orchestrator(birch, successor)]}
        )
        await gateway.probe()
        after = await gateway.post(url, json=PICTURE), await gateway.get(url)
        await gateway.drained()

    assert (alder.calls, birch.calls) == ({"depth": 1}, {"midas": 1})
    assert before[0].json() == after[0].json()
    assert before[1].json() == after[1].json()
    jobs = await in_thread(lambda: set(Job.objects.values_list("capability", "orchestrator")))
    assert jobs == {("depth", "alder"), ("depth", "birch")}


def report_models(monkeypatch: pytest.MonkeyPatch, models: Iterator[str]) -> None:
    """Each token names the next model, under the key that some orchestrators add."""
    honest = tokens.job_token

    def with_model(*arguments: Any) -> bytes:
        return json.dumps(json.loads(honest(*arguments)) | {"model_id": next(models)}).encode()

    monkeypatch.setattr(tokens, "job_token", with_model)


async def test_a_new_model_behind_an_offer_changes_nothing_for_routing(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R25, R26: the reported model is another one; the offer stays routable and keeps its history."""
    report_models(monkeypatch, iter(["a/Depth_v1", "b/Depth_v2"]))
    async with Simulator("alder", capabilities=[Container("depth", price=5)]) as alder:
        await depth_by(gateway, alder)
        first = await gateway.post("/v1/capabilities/depth", json=PICTURE)
        offer, snapshots = await in_thread(lambda: (Offer.objects.get().pk, HealthSnapshot.objects.count()))
        await gateway.probe()
        second = await gateway.post("/v1/capabilities/depth", json=PICTURE)

    assert (first.status_code, second.status_code) == (200, 200)
    advert = await in_thread(Advert.objects.get)
    assert (advert.offer_id, advert.model, advert.claimed) == (offer, "b/Depth_v2", True)
    told = await in_thread(lambda: [each.detail for each in HealthSnapshot.objects.filter(offer=offer)])
    assert len(told) > snapshots
    assert "implementation changed from 'a/Depth_v1' to 'b/Depth_v2'" in told[0]
    assert all("_v" not in str(job.livepeer) + str(job.path) for job in alder.jobs)


@pytest.mark.parametrize("slug", ["runwayml/stable-diffusion-v1-5", "RealVisXL_V4"])
async def test_a_model_id_is_no_capability(gateway: Gateway, slug: str) -> None:
    """R30: refused where it is written down, with the reason; and nothing is found under such a path."""
    with pytest.raises(AssertionError, match="contract"):
        await gateway.apply({"capabilities": [DEPTH | {"slug": slug}]})
    answer = await gateway.post(f"/v1/capabilities/{slug}", json=PICTURE)
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_capability")
