"""Whose fault was it: a request that every container refuses harms nobody's health."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import httpx
import pytest

from orchestrators.models import HealthSnapshot, OfferHealth
from orchestrators.simulator import Container, Simulator
from orchestrators.simulator.containers import Kind
from orchestrators.simulator.faults import Answer
from routing.models import Attempt
from tests.routing.inference.scenes import (
    ask,
    depth_by,
    health,
    job_header,
    only_cheapest_first,
    orchestrator,
)
from tests.support.gateway import Gateway, in_thread

TEXT = {"text": "abc"}
NOT_FOUND = Kind(lambda work: Answer(b'{"detail":"Not Found"}', status=404))


async def reversal_by(gateway: Gateway, *simulators: Simulator) -> None:
    policy = {"slug": "text-reversal", "profile": "warm", "price_ceiling": "none"}
    await gateway.apply(
        {
            "capabilities": [policy],
            "orchestrators": [orchestrator(each, "text-reversal") for each in simulators],
        }
    )
    await gateway.probe()


async def reverse(gateway: Gateway, path: str = "reverse-text") -> httpx.Response:
    return await gateway.post(f"/v1/capabilities/text-reversal/{path}", json=TEXT)


async def standing(gateway: Gateway) -> list[tuple[object, ...]]:
    """Everything that is known of every offer's health, in the database and in the gateway."""
    columns = ("offer_id", "state", "cause", "streak", "epoch", "ejections")
    rows = await in_thread(lambda: list(OfferHealth.objects.order_by("pk").values_list(*columns)))
    return [(*row, gateway.runtime.board.live(row[0]).health) for row in rows]


async def test_it_holds_a_bad_request_against_nobody(gateway: Gateway) -> None:
    """200 requests with a bad path or an input that every container refuses: no offer's health changes."""
    capabilities = [Container("depth", price=1, capacity=64), Container("text-reversal", capacity=64)]
    async with (
        Simulator("alder", capabilities=capabilities) as alder,
        Simulator("birch", capabilities=capabilities) as birch,
        Simulator("cedar", capabilities=capabilities) as cedar,
    ):
        await depth_by(gateway, alder, birch, cedar, max_in_flight=64)
        await reversal_by(gateway, alder, birch, cedar)
        before = await standing(gateway)
        answers = [reverse(gateway, "no-such-path") for _ in range(40)]
        answers += [gateway.post("/v1/capabilities/depth", json={"picture": 1}) for _ in range(40)]
        seen = Counter(answer.status_code for answer in await asyncio.gather(*answers))
        for fault, options in (("bad_input", {"status": 400}), ("server_error", {}), ("wrong_schema", {})):
            for each in (alder, birch, cedar):
                each.fault("depth", fault, **options)
            found = await asyncio.gather(*(ask(gateway) for _ in range(40)))
            seen.update(answer.status_code for answer in found)
        await gateway.drained()
        after = await standing(gateway)

    assert seen == {404: 40, 422: 40, 400: 40, 502: 80}
    assert after == before
    assert not await in_thread(HealthSnapshot.objects.filter(source="traffic").exists)
    blamed = Attempt.objects.filter(outcome__in=("upstream_error", "api_mismatch"), held_against=True)
    assert not await in_thread(blamed.exists)


async def test_it_passes_a_containers_refusal_on(gateway: Gateway) -> None:
    """A client's own error: one attempt, the container's status and words, no harm."""
    async with Simulator("alder", capabilities=[Container("depth", price=1)], protocol="direct") as alder:
        offer = {"capability": "depth", "price": "1 wei/second"}
        await gateway.apply(
            {
                "capabilities": [{"slug": "depth", "profile": "warm", "price_ceiling": "none"}],
                "orchestrators": [orchestrator(alder, offer)],
            }
        )
        answer = await gateway.post("/v1/capabilities/depth", json={"picture": 1})

    assert (answer.status_code, answer.headers["x-byocgw-attempts"]) == (422, "1")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.content)["detail"][0]["msg"] == "a string is required"


@pytest.mark.parametrize(("status", "cls"), [(408, "timeout"), (429, "busy")])
async def test_it_asks_another_where_one_had_no_time(gateway: Gateway, status: int, cls: str) -> None:
    """G8: a container's 408 and 429 are not about the input, so they end no request that others can serve."""
    only_cheapest_first(gateway)
    async with (
        Simulator("cedar", capabilities=[Container("text-reversal", price=1)]) as cedar,
        Simulator("alder", capabilities=[Container("text-reversal", price=10**15)]) as alder,
    ):
        await reversal_by(gateway, cedar, alder)
        cedar["text-reversal"].kind = Kind(lambda work: Answer(b"later", "text/plain", status=status))
        answer = await reverse(gateway)
        await gateway.drained()

    assert (answer.status_code, answer.json()["reversed"]) == (200, "cba")
    seen = await in_thread(
        lambda: list(Attempt.objects.order_by("number").values_list("orchestrator", "outcome"))
    )
    assert seen == [("cedar", cls), ("alder", "ok")]


async def test_it_fails_over_when_one_forgets_a_path(gateway: Gateway) -> None:
    """R66: 404 on a path that this orchestrator has served is a mismatch; another one answers."""
    only_cheapest_first(gateway)
    async with (
        Simulator("cedar", capabilities=[Container("text-reversal", price=1)]) as cedar,
        Simulator("alder", capabilities=[Container("text-reversal", price=10**15)]) as alder,
    ):
        await reversal_by(gateway, cedar, alder)
        served = await reverse(gateway)
        cedar["text-reversal"].kind = NOT_FOUND
        unknown = await reverse(gateway, "never-served")
        moved = await reverse(gateway)
        await gateway.drained()

    assert served.json()["reversed"] == moved.json()["reversed"] == "cba"
    assert (unknown.status_code, unknown.headers["x-byocgw-attempts"]) == (404, "1")
    assert moved.headers["x-byocgw-attempts"] == "2"
    row = await health("cedar", "text-reversal")
    assert (row.state, row.cause) == ("down", "api_mismatch")


async def test_it_delivers_what_two_agree_on(gateway: Gateway) -> None:
    """R66: the same 404 on a served path from two orchestrators is the request's; nobody is harmed."""
    only_cheapest_first(gateway)
    async with (
        Simulator("cedar", capabilities=[Container("text-reversal", price=1)]) as cedar,
        Simulator("alder", capabilities=[Container("text-reversal", price=10**15)]) as alder,
    ):
        await reversal_by(gateway, cedar, alder)
        for each in (cedar, alder):
            header = job_header("text-reversal", include=(each,))
            served = await gateway.post("/process/request/reverse-text", headers=header, json=TEXT)
            assert served.status_code == 200
        before = await standing(gateway)
        for each in (cedar, alder):
            each["text-reversal"].kind = NOT_FOUND
        answers = [await reverse(gateway) for _ in range(3)]
        await gateway.drained()
        after = await standing(gateway)

    assert [answer.status_code for answer in answers] == [404] * 3
    assert [answer.headers["x-byocgw-attempts"] for answer in answers] == ["2"] * 3
    assert answers[0].json() == {"detail": "Not Found"}
    assert [row[-1].state for row in after] == [row[-1].state for row in before]
    assert "down" not in {row[1] for row in after}


async def test_it_blames_the_first_when_the_second_succeeds(gateway: Gateway) -> None:
    """A container's own 500 that nobody else gives is its fault: two of them take the offer down."""
    only_cheapest_first(gateway)
    async with (
        Simulator("cedar", capabilities=[Container("depth", price=1)]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=1000)]) as alder,
    ):
        await depth_by(gateway, cedar, alder)
        cedar.fault("depth", "server_error")
        first = await ask(gateway)
        second = await ask(gateway, "depth", cedar)
        await gateway.drained()

    assert (first.status_code, second.status_code) == (200, 502)
    assert (cedar.calls["depth"], alder.calls["depth"]) == (2, 1)
    assert (await health("cedar")).state == "down"
    held = Attempt.objects.filter(orchestrator="cedar").values_list("held_against", flat=True)
    assert set(await in_thread(lambda: list(held))) == {True}
