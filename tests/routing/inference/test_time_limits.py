"""Time and attempts: what a capability allows is what a request gets, measured against slow orchestrators."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

import httpx

from orchestrators.simulator import Container, Simulator
from tests.routing.inference.scenes import ask, attempts, depth_by
from tests.support.gateway import Gateway


async def timed(gateway: Gateway, **headers: str) -> tuple[httpx.Response, float]:
    started = time.monotonic()
    answer = await gateway.post("/v1/capabilities/depth", json={"image": "a picture"}, headers=headers)
    return answer, time.monotonic() - started


async def test_it_gives_the_first_call_its_cold_grace(gateway: Gateway) -> None:
    """R61: the first call may take longer than a warm one; the same time later is a time-out."""
    async with Simulator("alder", capabilities=[Container("depth", price=1, latency=0.8)]) as alder:
        await depth_by(gateway, alder, profile="warm", attempt_timeout=0.3, cold_grace=3.0)
        first = await ask(gateway)
        second, took = await timed(gateway)

    assert first.status_code == 200
    assert (second.status_code, second.json()["code"]) == (504, "deadline")
    assert [attempt["class"] for attempt in second.json()["attempts"]] == ["timeout"]
    assert took < 3.0  # seconds of grace, which it did not get


async def test_it_starts_no_attempt_after_the_retry_timeout(gateway: Gateway) -> None:
    """R12, R62, G13: each attempt fails after 0.6 s, by the service's clock; within 1 s two of them start, not
    ten."""
    async with AsyncExitStack() as stack:
        simulators = [
            await stack.enter_async_context(
                Simulator(name, capabilities=[Container("depth", price=1, fault="gpu_oom")])
            )
            for name in ("alder", "birch", "cedar", "douglas")
        ]
        await depth_by(gateway, *simulators, max_attempts=10, retry_timeout=1.0, attempt_timeout=5.0)
        began = sum(simulator.calls["depth"] for simulator in simulators)
        gateway.runtime.service._clock = lambda: 0.6 * (sum(each.calls["depth"] for each in simulators) - began)
        answer = await ask(gateway)

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (502, "exhausted")
    assert [attempt["class"] for attempt in problem["attempts"]] == ["gpu_oom", "gpu_oom"]
    assert sum(simulator.calls["depth"] for simulator in simulators) == began + 2


async def test_it_makes_no_more_attempts_than_allowed(gateway: Gateway) -> None:
    """R12: of four that fail, as many are asked as the capability says, each another one."""
    async with AsyncExitStack() as stack:
        simulators = [
            await stack.enter_async_context(
                Simulator(name, capabilities=[Container("depth", price=1, fault="busy")])
            )
            for name in ("alder", "birch", "cedar", "douglas")
        ]
        for allowed in (1, 3):
            await depth_by(gateway, *simulators, max_attempts=allowed)
            for simulator in simulators:
                simulator.registry.calls.clear()
            gateway.runtime.board.forget(())  # nobody is busy any more
            answer = await ask(gateway)
            asked = sorted(simulator.calls["depth"] for simulator in simulators)

            assert answer.status_code == 502
            assert len(answer.json()["attempts"]) == allowed
            assert asked == [0] * (4 - allowed) + [1] * allowed


async def test_it_obeys_a_clients_shorter_time(gateway: Gateway) -> None:
    """R62: a client may shorten the whole call; nobody else is tried once its time is over."""
    async with (
        Simulator("alder", capabilities=[Container("depth", price=1, fault="hang")]) as alder,
        Simulator("birch", capabilities=[Container("depth", price=1, fault="hang")]) as birch,
    ):
        await depth_by(gateway, alder, birch)
        answer, took = await timed(gateway, **{"x-byocgw-timeout": "0.5"})
        await gateway.drained()

    assert (answer.status_code, answer.json()["code"]) == (504, "deadline")
    assert took < 10.0  # an attempt that hangs has 18 s
    assert [cls for _, cls in await attempts()] == ["timeout"]
