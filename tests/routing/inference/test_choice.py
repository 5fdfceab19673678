"""Whom the gateway asks first, and what it says about why."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F

from orchestrators.models import Offer, OfferHealth, Orchestrator
from orchestrators.simulator import Container, Simulator
from routing.decisions import unpack
from routing.models import Job
from tests.routing.inference.scenes import (
    DEPTH,
    PICTURE,
    ask,
    depth_by,
    job_header,
    only_cheapest_first,
    orchestrator,
)
from tests.support.gateway import Gateway, in_thread

GWEI = 10**9


def explained(*arguments: str) -> str:
    out = io.StringIO()
    call_command("explain", *arguments, stdout=out)
    return out.getvalue()


async def explain(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await in_thread(explained, *arguments, "--json"))
    return found


async def counted(gateway: Gateway, times: int, *simulators: Simulator) -> dict[str, int]:
    """Who served so many calls."""
    before = {each.name: each.calls["depth"] for each in simulators}
    for _ in range(times):
        assert (await ask(gateway)).status_code == 200
    return {each.name: each.calls["depth"] - before[each.name] for each in simulators}


async def test_it_switches_from_cheapest_to_fastest(gateway: Gateway) -> None:
    """R9, R28: the value of a second decides between cheap and fast, from the next request on."""
    only_cheapest_first(gateway)
    policy = {"profile": "warm", "price_ceiling": "none", "max_in_flight": 4}
    async with (
        Simulator("birch", capabilities=[Container("depth", price=1, latency=0.6)]) as birch,
        Simulator("alder", capabilities=[Container("depth", price=100)]) as alder,
    ):
        await depth_by(gateway, birch, alder, **policy, value_of_second=0)
        for each in (birch, alder):
            await ask(gateway, "depth", each)
        cheapest = await counted(gateway, 3, birch, alder)
        await depth_by(gateway, birch, alder, **policy, value_of_second=GWEI * GWEI)
        fastest = await counted(gateway, 3, birch, alder)
        await depth_by(gateway, birch, alder, **policy, value_of_second=0)
        again = await counted(gateway, 1, birch, alder)

    assert cheapest == {"birch": 3, "alder": 0}
    assert fastest == {"birch": 0, "alder": 3}
    assert again == {"birch": 1, "alder": 0}


async def test_it_favours_the_faster_of_equally_dear_ones(gateway: Gateway) -> None:
    """R28, G11: measured 100 ms and 900 ms at one price: the first wins, and nobody has to say so."""
    only_cheapest_first(gateway)
    async with (
        Simulator("slow", capabilities=[Container("depth", price=10, latency=0.9)]) as slow,
        Simulator("quick", capabilities=[Container("depth", price=10, latency=0.1)]) as quick,
    ):
        await depth_by(gateway, slow, quick, profile="warm", max_in_flight=4)
        for each in (slow, quick):
            await ask(gateway, "depth", each)
        served = await counted(gateway, 3, slow, quick)

    assert served == {"slow": 0, "quick": 3}


async def test_it_favours_the_cheaper_of_equally_fast_ones(gateway: Gateway) -> None:
    """R29: known as equally fast at 10 and 100 wei: the first wins."""
    only_cheapest_first(gateway)
    async with (
        Simulator("dear", capabilities=[Container("depth", price=100)]) as dear,
        Simulator("cheap", capabilities=[Container("depth", price=10)]) as cheap,
    ):
        await depth_by(gateway, dear, cheap)
        known = {"state": "healthy", "warm_ms": 40.0, "epoch": F("epoch") + 1}
        await in_thread(OfferHealth.objects.all().update, **known)
        await gateway.runtime.refresh()
        served = await counted(gateway, 3, dear, cheap)

    assert served == {"dear": 0, "cheap": 3}


async def test_it_never_calls_an_offer_above_the_ceiling(gateway: Gateway) -> None:
    """R13, G10: one wei above is never called, not even when it is the only one; equal is."""
    async with (
        Simulator("above", capabilities=[Container("depth", price=1001)]) as above,
        Simulator("equal", capabilities=[Container("depth", price=1000)]) as equal,
    ):
        await depth_by(gateway, above, equal)
        statuses = [(await ask(gateway)).status_code for _ in range(5)]
        await equal.stop()
        statuses += [(await ask(gateway)).status_code for _ in range(3)]
        alone = await ask(gateway, "depth", above)
        found = await explain("depth")

    assert statuses[:5] == [200] * 5
    assert set(statuses[5:]) == {502}
    assert (alone.status_code, alone.json()["reasons"]) == (503, {"price_ceiling": 1, "not_included": 1})
    assert (above.calls["depth"], equal.calls["depth"]) == (0, 5)
    [refused] = [each for each in found["refused"] if each["orchestrator"] == "above"]
    assert refused["reason"] == "price_ceiling"
    assert "1001 wei/second is above the ceiling of 1000 wei/second" in refused["detail"]


async def test_it_remembers_who_competed(gateway: Gateway) -> None:
    """R27: with n offers, the job and `explain` list n candidates with the terms of each."""
    only_cheapest_first(gateway)
    gateway.runtime.service._decision_sample = 1.0
    async with (
        Simulator("alder", capabilities=[Container("depth", price=30)]) as alder,
        Simulator("birch", capabilities=[Container("depth", price=20)]) as birch,
        Simulator("cedar", capabilities=[Container("depth", price=10)]) as cedar,
        Simulator("douglas", capabilities=[Container("depth", price=5000)]) as douglas,
    ):
        await depth_by(gateway, alder, birch, cedar, douglas)
        found = await explain("depth")
        assert (await ask(gateway)).status_code == 200
        await gateway.drained()
        job = await in_thread(Job.objects.get)

    kept = unpack(job.decision)
    for decision in (found, kept):
        assert [each["orchestrator"] for each in decision["candidates"]] == ["cedar", "birch", "alder"]
        assert [each["terms"]["price"] for each in decision["candidates"]] == [
            *("10 wei/second", "20 wei/second", "30 wei/second")
        ]
        assert {each["class"] for each in decision["candidates"]} == {"second"}
        assert [(each["orchestrator"], each["reason"]) for each in decision["refused"]] == [
            ("douglas", "price_ceiling")
        ]
    terms = found["candidates"][0]["terms"]
    assert {"price", "latency_ms", "value_of_second_wei", "failure", "adjusted_wei"} <= set(terms)
    assert terms == kept["candidates"][0]["terms"]
    assert (found["capability"], found["chosen"], found["revision"]) == ("depth", "cedar", job.policy)
    assert job.orchestrator == "cedar"


async def test_it_explains_in_words_and_as_json(gateway: Gateway) -> None:
    """R27: the documented keys, and a line for everybody."""
    async with Simulator("alder", capabilities=[Container("depth", price=30)]) as alder:
        await depth_by(gateway, alder)
        words = await in_thread(explained, "depth")
        found = await explain("depth")
        await in_thread(Orchestrator.objects.update, mode="draining")
        nobody = await in_thread(explained, "depth")
        none = await explain("depth")

    assert {"capability", "revision", "chosen", "candidates", "refused"} <= set(found)
    assert set(found["candidates"][0]) == {"orchestrator", "class", "terms", "evidence"}
    assert f"depth, revision {found['revision']}, ceiling 1000 wei/second" in words
    assert "1. alder: second, unknown; 30 wei/second" in words
    assert "Nobody can serve it now." in nobody
    assert "alder: mode_orchestrator (its orchestrator is draining)" in nobody
    assert (none["chosen"], none["candidates"]) == (None, [])
    assert {"orchestrator", "reason"} <= set(none["refused"][0])
    assert none["revision"] > found["revision"]
    with pytest.raises(CommandError, match="no capability 'weather'. Known: .*depth"):
        await in_thread(explained, "weather")


async def test_it_takes_a_profiles_numbers_unless_overridden(gateway: Gateway) -> None:
    """R31: the profile fills the defaults, an own value wins."""

    async def seconds() -> float:
        return float((await gateway.get("/v1/capabilities/depth")).json()["timeout_seconds"])

    told = []
    for policy in ({"profile": "warm"}, {"profile": "chained"}, {"profile": "warm", "retry_timeout": 6.0}):
        await gateway.apply({"capabilities": [DEPTH | policy]})
        told.append(await seconds())
    await gateway.apply({"capabilities": [DEPTH | {"profile": "warm", "retry_timeout": 6.0, "cold_grace": 0}]})
    told.append(await seconds())

    assert told == [8 + 5 + 10, 30 + 20 + 30, 6 + 5 + 10, 6 + 5 + 0]


async def test_it_gives_an_offer_its_share(gateway: Gateway) -> None:
    """R47: a share limits the traffic of a cheap offer; alone it serves all of it."""
    async with (
        Simulator("birch", capabilities=[Container("depth", price=1)]) as birch,
        Simulator("alder", capabilities=[Container("depth", price=1000)]) as alder,
    ):
        await depth_by(gateway, birch, alder, profile="warm", value_of_second=0)
        for each in (birch, alder):
            await ask(gateway, "depth", each)
        await in_thread(Offer.objects.filter(orchestrator__name="birch").update, share=0.4)
        await gateway.runtime.refresh()
        served = {}
        for dice in (0.3, 0.5):
            gateway.runtime.service._draw = lambda dice=dice: dice
            served[dice] = await counted(gateway, 3, birch, alder)
        await alder.stop()
        alone = await ask(gateway)

    assert served == {0.3: {"birch": 3, "alder": 0}, 0.5: {"birch": 0, "alder": 3}}
    assert alone.status_code == 200


async def test_it_chooses_between_protocols_by_the_same_terms(gateway: Gateway) -> None:
    """R4, R6: a bare container and an orchestrator compete for one capability, by price alone."""
    only_cheapest_first(gateway)
    async with (
        Simulator("alder", capabilities=[Container("depth", price=50 * GWEI)]) as alder,
        Simulator("birch", capabilities=[Container("depth")], protocol="direct") as birch,
    ):
        served = []
        for price in (10, 90):
            offer = {"capability": "depth", "price": f"{price} gwei/second"}
            await gateway.apply(
                {
                    "capabilities": [DEPTH | {"price_ceiling": "none", "typical_seconds": 10.0}],
                    "orchestrators": [orchestrator(alder, "depth"), orchestrator(birch, offer)],
                }
            )
            await gateway.probe()
            for each in (alder, birch):
                await ask(gateway, "depth", each)
            served.append(await counted(gateway, 2, alder, birch))

    assert served == [{"alder": 0, "birch": 2}, {"alder": 2, "birch": 0}]


@pytest.mark.parametrize("model", [Offer, Orchestrator])
async def test_it_sends_nothing_new_where_people_said_stop(gateway: Gateway, model: Any) -> None:
    """R8: only an active offer of an active orchestrator gets traffic; the reason says whose mode it is."""
    async with Simulator("alder", capabilities=[Container("depth", price=1)]) as alder:
        await depth_by(gateway, alder)
        answers = []
        for mode in ("discovered", "trial", "draining", "disabled", "retired"):
            await in_thread(model.objects.all().update, mode=mode)
            await gateway.runtime.refresh()
            answers.append(await ask(gateway))
        stopped = alder.calls["depth"]
        await in_thread(model.objects.all().update, mode="active")
        await gateway.runtime.refresh()
        active = await ask(gateway)

    reason = f"mode_{model._meta.model_name}"
    assert [(answer.status_code, answer.json()["reasons"]) for answer in answers] == [(503, {reason: 1})] * 5
    assert stopped == 0
    assert active.status_code == 200


async def test_it_obeys_a_clients_choice_of_orchestrators(gateway: Gateway) -> None:
    """Included orchestrators only, excluded ones never, on the route of stock clients."""
    only_cheapest_first(gateway)
    async with (
        Simulator("birch", capabilities=[Container("depth", price=1)]) as birch,
        Simulator("alder", capabilities=[Container("depth", price=1000)]) as alder,
    ):
        await depth_by(gateway, birch, alder)
        included = await ask(gateway, "depth", alder)
        without = json.dumps({"orchestrators": {"exclude": [birch.service_uri]}})
        excluded = await gateway.post("/process/request/", headers=job_header(parameters=without), json=PICTURE)
        nobody = json.dumps({"orchestrators": {"include": ["https://elsewhere:1"]}})
        refused = await gateway.post("/process/request/", headers=job_header(parameters=nobody), json=PICTURE)

    assert (included.status_code, excluded.status_code) == (200, 200)
    assert (birch.calls["depth"], alder.calls["depth"]) == (0, 2)
    assert (refused.status_code, refused.json()["reasons"]) == (503, {"not_included": 2})
