"""`manage.py explain --job`: what became of a call, and why it was routed so."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from orchestrators.simulator import Container, Simulator
from tests.routing.inference.scenes import ask, depth_by, only_cheapest_first
from tests.support.gateway import Gateway, in_thread


def explained(*arguments: str) -> str:
    out = io.StringIO()
    call_command("explain", *arguments, stdout=out)
    return out.getvalue()


async def test_it_tells_the_story_of_a_failover(gateway: Gateway) -> None:
    """In words and as JSON: attempts, candidates with their terms, who was refused and why, the revision."""
    only_cheapest_first(gateway)
    gateway.runtime.service._draw = lambda: 0.25
    async with (
        Simulator("cedar", capabilities=[Container("depth", price=10)]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=20)]) as alder,
        Simulator("douglas", capabilities=[Container("depth", price=5000)]) as douglas,
    ):
        await depth_by(gateway, cedar, alder, douglas, profile="warm")
        cedar.fault("depth", "gpu_oom")
        request_id = (await ask(gateway)).headers["x-request-id"]
        await gateway.drained()
    words = await in_thread(explained, "--job", request_id)
    found: dict[str, Any] = json.loads(await in_thread(explained, "--job", request_id, "--json"))

    first, *lines = words.splitlines()
    assert first.startswith(f"depth, revision {gateway.runtime.table.revision}, for acme at ")
    assert ": ok (200) in " in first
    assert lines[0].startswith("attempt 1: cedar: gpu_oom in ") and "out of memory" in lines[0]
    assert lines[1].startswith("attempt 2: alder: ok in ")
    assert lines[2].startswith("1. cedar: second, unknown; 10 wei/second, expected ")
    assert lines[4] == "-  douglas: price_ceiling (5000 wei/second is above the ceiling of 1000 wei/second)"
    assert lines[5] == "drawn with 0.25, 0.25, 0.25"
    assert (found["request_id"], found["orchestrator"]) == (request_id, "alder")
    assert set(found["decision"]) == {"candidates", "refused", "draws"}


async def test_it_says_when_nothing_was_kept_and_who_was_not_to_blame(gateway: Gateway) -> None:
    gateway.runtime.service._decision_sample = 0.0
    async with (
        Simulator("alder", capabilities=[Container("depth", price=5)]) as alder,
        Simulator("birch", capabilities=[Container("depth", price=5)]) as birch,
    ):
        await depth_by(gateway, alder, birch, profile="warm")
        await ask(gateway, "depth", alder)
        smooth = (await ask(gateway, "depth", alder)).headers["x-request-id"]
        for each in (alder, birch):
            each.fault("depth", "server_error")
        failed = (await ask(gateway)).headers["x-request-id"]
        await gateway.drained()

    assert "Its decision was not kept." in await in_thread(explained, "--job", smooth)
    assert (await in_thread(explained, "--job", failed)).count("not held against it") == 2


@pytest.mark.django_db
def test_it_says_what_it_does_not_know() -> None:
    with pytest.raises(CommandError, match="There is no job 'nothing'"):
        explained("--job", "nothing")
    with pytest.raises(CommandError, match="capability --job --terms is required"):
        explained()
    with pytest.raises(CommandError, match="not allowed with argument"):
        explained("depth", "--job", "x")
    with pytest.raises(CommandError, match="There is no tier 'large'"):
        explained("depth", "--tier", "large")
