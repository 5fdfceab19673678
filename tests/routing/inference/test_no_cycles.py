"""What a call made is freed by counting references: the collector of cycles is asked seldom, so that it costs
no call anything."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from orchestrators.simulator import Container, Simulator
from tests.routing.inference.scenes import orchestrator
from tests.support.gateway import Gateway

OURS = ("byocgw", "routing.api", "routing.trip", "routing.delivery", "rest_framework", "uvicorn")


@pytest.fixture
def garbage() -> Iterator[list[object]]:
    """What nobody could reach any more when `gc.collect()` was called."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.enable()
    gc.garbage.clear()


async def test_a_call_leaves_no_cycle(gateway: Gateway, garbage: list[object]) -> None:
    async with Simulator("alder", capabilities=[Container("echo", price=100)]) as simulator:
        capability = {"slug": "echo", "profile": "warm", "price_ceiling": "none"}
        await gateway.apply({"capabilities": [capability], "orchestrators": [orchestrator(simulator, "echo")]})
        await gateway.probe()
        for number in range(5):
            if number == 1:  # what the first call alone makes, to be kept, is no matter
                gc.collect()
                garbage.clear()
            answer = await gateway.post("/v1/capabilities/echo", content=b"x")
            assert answer.status_code == 200, answer.text
        gc.collect()

    left = [type(each).__qualname__ for each in garbage if type(each).__module__.startswith(OURS)]
    assert left == []
