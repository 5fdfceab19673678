"""A retry finds the good one full: it waits for a seat, as a first attempt does."""

from __future__ import annotations

import asyncio

from orchestrators.simulator import Container, Simulator
from tests.routing.inference.scenes import ask, depth_by, only_cheapest_first, wait_for_a_seat
from tests.support.gateway import Gateway


async def test_a_retry_waits_for_a_seat_longer_than_a_first_attempt(gateway: Gateway) -> None:
    """R67: Cedar fails, Alder's one seat is taken for 0.9 s: 200 after that, though it may wait 0.3 s.

    A first attempt that nobody failed yet is told 503 after these 0.3 s.
    """
    only_cheapest_first(gateway)
    async with (
        Simulator("cedar", capabilities=[Container("depth", price=1)]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=1000, latency=0.9)]) as alder,
    ):
        await depth_by(gateway, cedar, alder, profile="warm", max_in_flight=1, value_of_second=0)
        await wait_for_a_seat(gateway, 0.3)
        cedar.fault("depth", "server_error")
        first = asyncio.create_task(ask(gateway, "depth", alder))
        while alder["depth"].in_flight == 0:
            await asyncio.sleep(0.005)
        second, impatient = await asyncio.gather(ask(gateway), ask(gateway, "depth", alder))

    assert (await first).status_code == 200
    assert (impatient.status_code, impatient.json()["reasons"]["no_seat"]) == (503, 1)
    assert second.status_code == 200
    assert second.headers["x-byocgw-attempts"] == "2"
