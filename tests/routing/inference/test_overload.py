"""A worker carries so many calls and no more; whoever comes on top is told to come back, at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from orchestrators.simulator import Container, Simulator
from tests.routing.inference.scenes import ask, depth_by
from tests.support.gateway import Gateway


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


async def test_it_turns_away_what_it_cannot_carry(gateway: Gateway) -> None:
    """Before the key and the body are looked at, and only as long as it is full."""
    gateway.runtime.max_in_flight = 2
    async with Simulator("alder", capabilities=[Container("depth", price=1, fault="hang")]) as alder:
        await depth_by(gateway, alder)
        inside = [asyncio.create_task(ask(gateway)) for _ in range(2)]
        await until(lambda: gateway.runtime.in_flight == 2)
        refused = await gateway.http.post("/v1/capabilities/depth", content=b"x" * 2**20)
        listing = await gateway.http.get("/v1/capabilities")
        for call in inside:
            call.cancel()
        await until(lambda: gateway.runtime.in_flight == 0)
        alder.fault("depth", "none")
        served = await ask(gateway)

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "overloaded"
    assert listing.status_code == 503
    assert gateway.runtime.turned_away == 2
    assert served.status_code == 200
    assert gateway.runtime.in_flight == 0
