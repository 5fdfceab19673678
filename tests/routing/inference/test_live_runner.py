"""Live Runner upstream: the same contracts, health and policy as BYOC, and nothing of HTTP lost on the way."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrators.models import Advert
from orchestrators.simulator import Container, Simulator
from orchestrators.simulator.containers import Kind
from orchestrators.simulator.faults import Answer
from routing.explain import explain_now
from tests.routing.inference.scenes import (
    DEPTH,
    PICTURE,
    attempts,
    health,
    only_cheapest_first,
    orchestrator,
)
from tests.support.gateway import Gateway, in_thread

URL = "/v1/capabilities/depth"


def runner(name: str, **container: Any) -> Simulator:
    kinds = {"kind": "depth"} | container
    return Simulator(name, capabilities=[Container("depth", **kinds)], protocol="live-runner")


def by_runner(simulator: Simulator) -> dict[str, Any]:
    offer = {"capability": "depth", "wire_name": "simulator/depth", "path": "apps/depth/app"}
    return orchestrator(simulator, offer)


async def served_by(gateway: Gateway, *orchestrators: dict[str, Any], **policy: Any) -> None:
    await gateway.apply({"capabilities": [DEPTH | policy], "orchestrators": list(orchestrators)})
    await gateway.probe()


async def test_an_unpaid_runner_serves(gateway: Gateway) -> None:
    async with runner("alder", price=0) as alder:
        await served_by(gateway, by_runner(alder))
        answer = await gateway.post(f"{URL}/v1/depth?size=small", json=PICTURE)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert "depth" in answer.json()
    assert (alder.jobs[-1].method, alder.jobs[-1].path, alder.jobs[-1].query) == (
        *("POST", b"v1/depth", b"size=small"),
    )


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_other_methods_reach_runners_alone(gateway: Gateway, method: str) -> None:
    """G15: BYOC knows POST; an offer that would turn the call into one is not asked."""
    byoc = Simulator("birch", capabilities=[Container("depth", price=0)])
    async with runner("alder", price=0, kind="echo") as alder, byoc as birch:
        await served_by(gateway, by_runner(alder), orchestrator(birch, "depth"), response={})
        auth = {"authorization": f"Bearer {gateway.key}"}
        answer = await gateway.http.request(method, f"{URL}/items/7?x=1", headers=auth, content=b"bytes")
    assert (answer.status_code, answer.content) == (200, b"bytes")
    assert (alder.jobs[-1].method, alder.jobs[-1].query, birch.calls["depth"]) == (method, b"x=1", 0)


async def test_no_content_is_an_answer(gateway: Gateway) -> None:
    """R3, R48: an app that has deleted something says 204; nobody else is asked to do it once more."""
    async with runner("alder", price=0) as alder, runner("birch", price=0) as birch:
        await served_by(gateway, by_runner(alder), by_runner(birch), response={})
        for each in (alder, birch):
            each["depth"].kind = Kind(lambda work: Answer(b"", "", status=204))
        auth = {"authorization": f"Bearer {gateway.key}"}
        answers = [await gateway.http.request("DELETE", f"{URL}/items/7", headers=auth) for _ in range(3)]
        await gateway.drained()
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 3
    assert not any({"content-length", "transfer-encoding"} & set(answer.headers) for answer in answers)
    assert [outcome for _, outcome in await attempts()] == ["ok"] * 3
    assert len(alder.jobs) + len(birch.jobs) == 3


async def test_no_content_is_none_where_an_answer_is_promised(gateway: Gateway) -> None:
    """R56: a contract that names what comes back is broken by nothing."""
    async with runner("alder", price=0) as alder:
        await served_by(gateway, by_runner(alder))
        alder["depth"].kind = Kind(lambda work: Answer(b"", "", status=204))
        answer = await gateway.post(URL, json=PICTURE)
    assert answer.status_code == 502
    assert [each["class"] for each in answer.json()["attempts"]] == ["api_mismatch"]


async def test_a_capability_without_runners_keeps_to_post(gateway: Gateway) -> None:
    async with Simulator("birch", capabilities=[Container("depth", price=0)]) as birch:
        await served_by(gateway, orchestrator(birch, "depth"))
        answer = await gateway.get(f"{URL}/items/7")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_an_event_stream_comes_through_whole(gateway: Gateway) -> None:
    async with runner("alder", price=0, kind="text-reversal") as alder:
        await served_by(gateway, by_runner(alder), response={})
        answer = await gateway.post(f"{URL}/reverse-stream", json={"text": "ab cd"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("data:") == 2


async def test_a_priced_runner_is_refused_at_selection_with_its_reason(gateway: Gateway) -> None:
    """Nothing is sent to it, though its price is below the ceiling: it could not be paid."""
    async with runner("alder", price=7) as alder:
        await served_by(gateway, by_runner(alder))
        answer = await gateway.post(URL, json=PICTURE)
        told = await in_thread(explain_now, "depth")
    assert (answer.status_code, answer.json()["reasons"]) == (503, {"payment": 1})
    (refused,) = told["refused"]
    assert (refused["orchestrator"], refused["reason"]) == ("alder", "payment")
    assert refused["detail"] == "asks 7 wei/second to be paid by ticket; this gateway calls unpaid runners only"
    assert alder.calls["depth"] == 0


async def test_a_runner_that_turns_priced_is_rejected_and_another_asked(gateway: Gateway) -> None:
    """402 is the orchestrator's word, and no fault of the client's."""
    async with runner("alder", price=0) as alder, runner("birch", price=0) as birch:
        await served_by(gateway, by_runner(alder), by_runner(birch))
        alder["depth"].price = birch["depth"].price = 5  # type: ignore[assignment]
        answer = await gateway.post(URL, json=PICTURE)
        await gateway.drained()
    assert (answer.status_code, answer.json()["code"]) == (502, "exhausted")
    assert {outcome for _, outcome in await attempts()} == {"rejected"}
    assert (await health("alder")).state == "down"


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("no_capacity", "busy"),
        ("crash", "container_crash"),
        ("gpu_oom", "gpu_oom"),
        ("wrong_schema", "api_mismatch"),
    ],
)
async def test_every_failure_leads_to_another(gateway: Gateway, fault: str, outcome: str) -> None:
    """R67, over this protocol too."""
    async with runner("alder", price=0) as alder, runner("birch", price=0) as birch:
        await served_by(gateway, by_runner(alder), by_runner(birch))
        only_cheapest_first(gateway)
        alder.fault("depth", fault)
        answer = await gateway.post(URL, json=PICTURE)
        await gateway.drained()
    assert answer.status_code == 200
    assert await attempts() == [("alder", outcome), ("birch", "ok")]


async def test_probes_see_what_is_claimed(gateway: Gateway) -> None:
    """R71: hidden from the list twice is claimed no more, and listed again is claimed again."""
    async with runner("alder", price=0, capacity=3) as alder:
        await served_by(gateway, by_runner(alder))
        assert await claims() == [(True, 3, "0 wei/second")]
        alder.fault("depth", "no_capacity")
        await gateway.probe()
        await gateway.probe()
        assert (await claims())[0][0] is False
        alder.fault("depth", "none")
        await gateway.probe()
        assert (await claims())[0][0] is True


async def claims() -> list[tuple[bool, int | None, str]]:
    rows = Advert.objects.values_list("claimed", "largest_capacity", "price")
    return await in_thread(lambda: [(claimed, largest, str(price)) for claimed, largest, price in rows])
