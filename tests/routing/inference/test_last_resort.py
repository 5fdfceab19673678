"""Nobody fit is left: one call at a time goes to whoever is fit the soonest, all others are told when."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from orchestrators.simulator import Container, Simulator
from tests.routing.inference.scenes import ask, attempts, depth_by, health, only_cheapest_first
from tests.support.gateway import Gateway


async def break_down(gateway: Gateway, simulator: Simulator) -> None:
    simulator.fault("depth", "gpu_oom", times=2)
    for _ in range(2):
        assert (await ask(gateway, "depth", simulator)).status_code == 502


def assert_refused(answer: httpx.Response, reasons: dict[str, int]) -> None:
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (503, "none_available")
    assert problem["detail"].startswith("no orchestrators available")
    assert problem["reasons"] == reasons


async def test_it_lets_one_call_through_at_a_time(gateway: Gateway) -> None:
    """R47: the only offer is down; one of four calls is tried there, three learn how long it stays so."""
    async with Simulator("cedar", capabilities=[Container("depth", price=1, latency=1.0)]) as cedar:
        await depth_by(gateway, cedar)
        await break_down(gateway, cedar)
        answers = await asyncio.gather(*(ask(gateway) for _ in range(4)))
        later = await ask(gateway)

    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == 3
    for answer in refused:
        assert_refused(answer, {"down": 1})
        assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert later.status_code == 200
    assert cedar.calls["depth"] == 4


async def test_it_asks_the_one_that_is_fit_the_soonest(gateway: Gateway) -> None:
    """R47: of one busy for 30 s and one down for 5 s at most, the latter."""
    only_cheapest_first(gateway)
    async with (
        Simulator("birch", capabilities=[Container("depth", price=1)]) as birch,
        Simulator("cedar", capabilities=[Container("depth", price=100)]) as cedar,
    ):
        await depth_by(gateway, birch, cedar)
        birch.fault("depth", "busy", seconds=30)
        await ask(gateway, "depth", birch)
        await break_down(gateway, cedar)
        answer = await ask(gateway)

    assert answer.status_code == 200
    assert (birch.calls["depth"], cedar.calls["depth"]) == (1, 3)


@pytest.mark.parametrize(("fault", "cls"), [("wrong_schema", "api_mismatch"), ("credentials", "rejected")])
async def test_it_never_asks_for_what_does_not_get_better(gateway: Gateway, fault: str, cls: str) -> None:
    """A wrong answer and a refused credential are no last resort."""
    async with Simulator("cedar", capabilities=[Container("depth", price=1, fault=fault)]) as cedar:
        await depth_by(gateway, cedar)
        first, second = await ask(gateway), await ask(gateway)

    assert (first.status_code, first.json()["code"]) == (502, "exhausted")
    assert_refused(second, {cls: 1})
    assert int(second.headers["retry-after"]) >= 1
    assert cedar.calls["depth"] == 1


async def test_it_leaves_a_busy_orchestrator_alone(gateway: Gateway) -> None:
    """Busy is no fault: for the seconds of its Retry-After the next one serves, health as it was."""
    only_cheapest_first(gateway)
    async with (
        Simulator("birch", capabilities=[Container("depth", price=1)]) as birch,
        Simulator("alder", capabilities=[Container("depth", price=100)]) as alder,
    ):
        await depth_by(gateway, birch, alder)
        birch.fault("depth", "rate_limited", seconds=30)
        statuses = [(await ask(gateway)).status_code for _ in range(4)]
        await gateway.drained()

    assert statuses == [200] * 4
    assert (birch.calls["depth"], alder.calls["depth"]) == (1, 4)
    assert (await attempts())[:2] == [("birch", "busy"), ("alder", "ok")]
    assert (await health("birch")).state == "unknown"


async def test_it_passes_the_time_of_a_busy_one_on(gateway: Gateway) -> None:
    """Everybody is busy, and the last resort is taken: Retry-After is the orchestrator's own."""
    async with Simulator("birch", capabilities=[Container("depth", price=1, latency=0.4)]) as birch:
        await depth_by(gateway, birch)
        birch.fault("depth", "busy", seconds=30)
        await ask(gateway)
        answers = await asyncio.gather(ask(gateway), ask(gateway))

    tried, refused = sorted(answers, key=lambda answer: answer.status_code)
    assert (tried.status_code, tried.json()["code"]) == (502, "exhausted")
    assert_refused(refused, {"busy": 1})
    assert 20 <= int(refused.headers["retry-after"]) <= 31
