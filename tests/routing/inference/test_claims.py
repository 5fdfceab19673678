"""Claimed or not: an orchestrator's own word decides whether it is asked, and it may change it."""

from __future__ import annotations

from orchestrators.core.health import State
from orchestrators.models import Advert, Capability
from orchestrators.simulator import Container, Simulator
from tests.routing.inference.scenes import ask, attempts, depth_by, health, only_cheapest_first
from tests.support.gateway import Gateway, in_thread


async def is_claimed(orchestrator: str) -> bool:
    return await in_thread(lambda: Advert.objects.get(offer__orchestrator__name=orchestrator).claimed)


async def test_it_routes_only_where_the_capability_is_advertised(gateway: Gateway) -> None:
    """R71: an orchestrator that stops advertising is skipped, and asked again when it advertises again."""
    only_cheapest_first(gateway)
    async with (
        Simulator("birch", capabilities=[Container("depth", price=1)]) as birch,
        Simulator("alder", capabilities=[Container("depth", price=1000)]) as alder,
    ):
        await depth_by(gateway, birch, alder)
        birch["depth"].registered = False
        for _ in range(2):  # one empty token may be a full orchestrator
            await gateway.probe()
        claims = [await is_claimed("birch")]
        statuses = [(await ask(gateway)).status_code for _ in range(3)]
        skipped = birch.calls["depth"] == 0
        birch["depth"].register()
        await gateway.probe()
        claims.append(await is_claimed("birch"))
        statuses.append((await ask(gateway, "depth", birch)).status_code)

    assert claims == [False, True]
    assert statuses == [200] * 4
    assert skipped
    assert (birch.calls["depth"], alder.calls["depth"]) == (1, 3)


async def test_it_believes_no_capacity_at_once(gateway: Gateway) -> None:
    """R71: the orchestrator's own 503 ends the claim without a probe; the next probe restores it."""
    only_cheapest_first(gateway)
    async with (
        Simulator("birch", capabilities=[Container("depth", price=1)]) as birch,
        Simulator("alder", capabilities=[Container("depth", price=1000)]) as alder,
    ):
        await depth_by(gateway, birch, alder)
        birch.fault("depth", "no_capacity")
        statuses = [(await ask(gateway)).status_code for _ in range(3)]
        asked_once = birch.calls["depth"] == 1  # before anything was written
        await gateway.drained()
        await gateway.runtime.refresh()
        statuses.append((await ask(gateway)).status_code)
        claims = [await is_claimed("birch")]
        birch.fault("depth", "none")
        await gateway.probe()
        claims.append(await is_claimed("birch"))
        await ask(gateway, "depth", birch)
        await gateway.drained()

    assert statuses == [200] * 4
    assert asked_once
    assert claims == [False, True]
    assert (await attempts())[:2] == [("birch", "not_claimed"), ("alder", "ok")]
    assert (await attempts())[-1] == ("birch", "ok")
    assert (await health("birch")).state == "healthy"


async def test_a_table_built_meanwhile_does_not_bring_it_back(gateway: Gateway) -> None:
    """R71: until its own word is stored, no newer table knows of it; what a probe finds afterwards counts."""
    only_cheapest_first(gateway)
    async with (
        Simulator("birch", capabilities=[Container("depth", price=1)]) as birch,
        Simulator("alder", capabilities=[Container("depth", price=1000)]) as alder,
    ):
        await depth_by(gateway, birch, alder, profile="warm", value_of_second=0)
        for each in (birch, alder):
            await ask(gateway, "depth", each)  # both are warm: only the claim keeps the cheaper one out
        birch.fault("depth", "no_capacity")
        await ask(gateway)
        await in_thread(Capability.objects.filter(slug="depth").update, description="as of now")
        await gateway.runtime.refresh()
        statuses = [(await ask(gateway)).status_code for _ in range(2)]
        asked = [birch.calls["depth"]]
        birch.fault("depth", "none")
        await gateway.drained()
        await gateway.probe()
        statuses.append((await ask(gateway)).status_code)
        asked.append(birch.calls["depth"])

    assert statuses == [200] * 3
    assert asked == [2, 3]


async def test_it_claims_again_by_serving(gateway: Gateway) -> None:
    """Not claimed is a last resort; its success restores the claim."""
    async with Simulator("birch", capabilities=[Container("depth", price=1)]) as birch:
        await depth_by(gateway, birch)
        birch.fault("depth", "no_capacity", times=1)
        refused = await ask(gateway)
        await gateway.drained()
        claims = [await is_claimed("birch")]
        await gateway.runtime.refresh()
        served = await ask(gateway)
        await gateway.drained()
        claims.append(await is_claimed("birch"))

    assert (refused.status_code, served.status_code) == (502, 200)
    assert claims == [False, True]


async def test_it_moves_on_when_its_credentials_are_refused(gateway: Gateway) -> None:
    """G8: rejected is between the gateway and the orchestrator: the client is served, a look ends it."""
    only_cheapest_first(gateway)
    async with (
        Simulator("birch", capabilities=[Container("depth", price=1)]) as birch,
        Simulator("alder", capabilities=[Container("depth", price=1000)]) as alder,
    ):
        await depth_by(gateway, birch, alder)
        birch.fault("depth", "credentials")
        statuses = [(await ask(gateway)).status_code for _ in range(3)]
        asked = birch.calls["depth"]
        await gateway.drained()
        down = await health("birch")
        birch.fault("depth", "none")
        await gateway.probe()

    assert statuses == [200] * 3
    assert asked == 1
    assert (down.state, down.cause, down.until) == ("down", "rejected", None)
    assert "creds" in down.reason
    assert (await health("birch")).state == "probation"
    assert gateway.runtime.board.live(down.offer_id).health.state is State.PROBATION
