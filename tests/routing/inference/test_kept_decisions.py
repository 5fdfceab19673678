"""Which calls keep their decision: all that did not go well at once, and a sample of the rest."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrators.simulator import Container, Simulator
from routing.decisions import is_sampled, unpack
from routing.models import Job
from tests.routing.inference.scenes import PICTURE, ask, depth_by, only_cheapest_first
from tests.support.gateway import Gateway, in_thread


@pytest.fixture(autouse=True)
def no_sample(settings: Any) -> None:
    """Only what must be kept; tests of the sample set their own. Before the gateway starts."""
    settings.BYOCGW_DECISION_SAMPLE = 0.0


async def jobs(gateway: Gateway) -> list[Job]:
    await gateway.drained()
    return await in_thread(lambda: list(Job.objects.order_by("at")))


async def test_it_keeps_failures_and_failovers_only(gateway: Gateway) -> None:
    """With what removed each other one, and the draw."""
    only_cheapest_first(gateway)
    async with (
        Simulator("cedar", capabilities=[Container("depth", price=10)]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=20)]) as alder,
        Simulator("douglas", capabilities=[Container("depth", price=5000)]) as douglas,
    ):
        await depth_by(gateway, cedar, alder, douglas, profile="warm", value_of_second=0)
        for each in (cedar, alder):
            assert (await ask(gateway, "depth", each)).status_code == 200
        assert (await ask(gateway)).status_code == 200
        cedar.fault("depth", "gpu_oom")
        assert (await ask(gateway)).headers["x-byocgw-attempts"] == "2"
        alder.fault("depth", "gpu_oom")
        assert (await ask(gateway)).status_code == 502

    *smooth, failover, failure = await jobs(gateway)
    assert [job.decision for job in smooth if job.code == "ok"] == [{}] * 3
    told = unpack(failover.decision)
    assert [each["orchestrator"] for each in told["candidates"]] == ["cedar", "alder"]
    assert [each["reason"] for each in told["refused"]] == ["price_ceiling"]
    assert told["draws"] == [0, 0, 0]
    assert unpack(failure.decision)["candidates"]


async def test_it_keeps_why_nobody_was_asked(gateway: Gateway) -> None:
    async with Simulator("douglas", capabilities=[Container("depth", price=5000)]) as douglas:
        await depth_by(gateway, douglas)
        assert (await ask(gateway)).status_code == 503

    [job] = await jobs(gateway)
    told = unpack(job.decision)
    assert told["candidates"] == []
    assert [(each["orchestrator"], each["reason"]) for each in told["refused"]] == [
        ("douglas", "price_ceiling")
    ]


async def test_it_keeps_nothing_where_nothing_was_decided(gateway: Gateway) -> None:
    assert (await gateway.post("/v1/capabilities/weather", json=PICTURE)).status_code == 404
    [job] = await jobs(gateway)
    assert job.decision == {}


async def test_it_keeps_a_sample_of_the_rest(gateway: Gateway) -> None:
    """By the request id, so that it can be told beforehand which."""
    gateway.runtime.service._decision_sample = 0.5
    async with Simulator("alder", capabilities=[Container("depth", price=10)]) as alder:
        await depth_by(gateway, alder, profile="warm")
        await asyncio.gather(*(ask(gateway) for _ in range(2)))
        for _ in range(30):
            assert (await ask(gateway)).status_code == 200

    smooth = [job for job in await jobs(gateway) if job.code == "ok"]
    kept = [job.request_id for job in smooth if job.decision]
    assert kept == [job.request_id for job in smooth if is_sampled(job.request_id, 0.5)]
    assert 0 < len(kept) < len(smooth)
