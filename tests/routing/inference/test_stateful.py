"""Containers that keep state between requests cannot be asked twice; all others are, with the same bytes."""

from __future__ import annotations

import pytest

from orchestrators.simulator import Container, Simulator
from tests.routing.inference.scenes import PICTURE, ask, attempts, depth_by, only_cheapest_first
from tests.support.gateway import Gateway

MAY_HAVE_BEGUN = {"gpu_oom": 502, "crash": 502, "wrong_schema": 502, "timeout_text": 504, "server_error": 502}
CANNOT_HAVE = ("busy", "rate_limited", "credentials", "no_capacity")


@pytest.mark.parametrize("fault", MAY_HAVE_BEGUN)
async def test_it_asks_once_where_the_container_may_have_begun(gateway: Gateway, fault: str) -> None:
    """R49: a stateful capability gets exactly one attempt after the request may have reached it."""
    only_cheapest_first(gateway)
    async with (
        Simulator("cedar", capabilities=[Container("depth", price=1)]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=1000)]) as alder,
    ):
        await depth_by(gateway, cedar, alder, stateful=True)
        cedar.fault("depth", fault)
        answer = await ask(gateway)

    assert answer.status_code == MAY_HAVE_BEGUN[fault]
    assert len(answer.json()["attempts"]) == 1
    assert (cedar.calls["depth"], alder.calls["depth"]) == (1, 0)


async def test_it_moves_on_where_nothing_can_have_begun(gateway: Gateway) -> None:
    """R49: what was refused at the door, or never sent, may be asked of the next one."""
    only_cheapest_first(gateway)
    async with (
        Simulator("birch", capabilities=[Container("depth", price=1)]) as birch,
        Simulator("cedar", capabilities=[Container("depth", price=10)]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=1000)]) as alder,
    ):
        await depth_by(gateway, birch, cedar, alder, stateful=True, max_attempts=3)
        await birch.stop()
        cedar.fault("depth", "busy")
        answer = await ask(gateway)
        await gateway.drained()

    assert answer.status_code == 200
    assert await attempts() == [("birch", "unreachable"), ("cedar", "busy"), ("alder", "ok")]


@pytest.mark.parametrize("fault", CANNOT_HAVE)
async def test_it_tells_a_refusal_from_a_start(gateway: Gateway, fault: str) -> None:
    """R49: each of the ways to refuse before any work is begun."""
    only_cheapest_first(gateway)
    async with (
        Simulator("cedar", capabilities=[Container("depth", price=1)]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=1000)]) as alder,
    ):
        await depth_by(gateway, cedar, alder, stateful=True)
        cedar.fault("depth", fault)
        answer = await ask(gateway)

    assert answer.status_code == 200
    assert (cedar.calls["depth"], alder.calls["depth"]) == (1, 1)


async def test_it_repeats_a_stateless_request_byte_for_byte(gateway: Gateway) -> None:
    """R48: another orchestrator gets the same request, and nothing about the first or about a session."""
    only_cheapest_first(gateway)
    async with (
        Simulator("cedar", capabilities=[Container("depth", price=1)]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=1000)]) as alder,
    ):
        await depth_by(gateway, cedar, alder)
        cedar.fault("depth", "crash")
        cookies = {"cookie": "session=1"}
        answer = await gateway.post("/v1/capabilities/depth/a%2Fb/c", json=PICTURE, headers=cookies)

    [first], [second] = cedar.jobs, alder.jobs
    assert answer.status_code == 200
    assert (first.body, first.path) == (second.body, second.path)
    assert first.body == answer.request.content
    own = {"host", "livepeer", "traceparent"}  # an attempt is a span of its own, of the request's trace
    assert {name: text for name, text in first.headers.items() if name not in own} == {
        name: text for name, text in second.headers.items() if name not in own
    }
    assert first.headers["traceparent"][:35] == second.headers["traceparent"][:35]
    assert "cookie" not in second.headers
    assert "set-cookie" not in answer.headers
    assert first.livepeer["id"] == second.livepeer["id"] == answer.headers["x-request-id"]
