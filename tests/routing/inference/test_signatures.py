"""An operator's own signatures judge live traffic, over both protocols, within a second of a change."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrators.models import FailureSignature
from orchestrators.simulator import Container, Simulator
from tests.routing.inference.scenes import ask, attempts, depth_by, health, only_cheapest_first, orchestrator
from tests.routing.inference.scripted import Conversation, Scripted
from tests.support.gateway import Gateway, in_thread

PIPELINE = {"name": "pipeline", "order": 1, "status_from": 500, "status_to": 599, "text": "Pipeline Error"}
STATE = {"name": "state", "order": 1, "status_from": 400, "status_to": 599, "header": "X-Model-State: loading"}


@pytest.mark.parametrize("protocol", ["byoc", "direct"])
async def test_it_judges_an_answer_by_an_operators_words(gateway: Gateway, protocol: Any) -> None:
    """R64: and asks another orchestrator, as for any failure."""
    only_cheapest_first(gateway)
    bad = Container("depth", price=1, fault="server_error")
    async with (
        Simulator("cedar", protocol=protocol, capabilities=[bad]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=100)]) as alder,
    ):
        offered = {"capability": "depth", "price": "1 wei/second"} if protocol == "direct" else "depth"
        await depth_by(gateway, alder)
        await gateway.apply(
            {
                "orchestrators": [orchestrator(cedar, offered)],
                "signatures": [PIPELINE | {"cls": "gpu_oom"}],
            }
        )
        await gateway.probe()
        answers = [await ask(gateway) for _ in range(2)]
        await gateway.drained()

    assert [answer.status_code for answer in answers] == [200, 200]
    assert {outcome for name, outcome in await attempts() if name == "cedar"} == {"gpu_oom"}


async def test_without_it_the_status_tells(gateway: Gateway) -> None:
    async with Simulator("cedar", capabilities=[Container("depth", price=1)]) as cedar:
        await depth_by(gateway, cedar)
        cedar.fault("depth", "gpu_oom", times=1)
        await in_thread(FailureSignature.objects.update, enabled=False)
        await gateway.runtime.refresh()
        await ask(gateway)
        await gateway.drained()
    assert await attempts() == [("cedar", "upstream_error")]


async def test_it_judges_an_answer_by_a_header(gateway: Gateway) -> None:
    """R63: a start that is told by a header alone is no fault, and the next one serves the request."""

    async def loading(call: Conversation) -> None:
        await call.whole()
        await call.say(b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nX-Model-State: Loading weights\r\n\r\n")

    only_cheapest_first(gateway)
    async with (
        Scripted("birch", loading) as birch,
        Simulator("alder", capabilities=[Container("depth", price=100)]) as alder,
    ):
        await depth_by(gateway, alder)
        await gateway.apply(
            {
                "orchestrators": [orchestrator(birch, birch.offer("depth"))],  # type: ignore[arg-type]
                "signatures": [STATE | {"cls": "cold_start"}],
            }
        )
        await gateway.probe()
        answers = [await ask(gateway) for _ in range(3)]
        await gateway.drained()

    assert [answer.status_code for answer in answers] == [200] * 3
    assert {outcome for name, outcome in await attempts() if name == "birch"} == {"cold_start"}
    told = await health("birch")
    assert (told.state, told.streak, told.cause) == ("unknown", 0, "")
