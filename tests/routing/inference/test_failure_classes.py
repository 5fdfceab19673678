"""What went wrong, told from traffic: every fault by its class, over both protocols."""

from __future__ import annotations

from typing import Any

from orchestrators.simulator import Container, Simulator
from routing.models import Attempt
from tests.routing.inference.scenes import PICTURE, ask, only_cheapest_first, orchestrator
from tests.support.gateway import Gateway, in_thread

CONTRACT = {"content_types": ["application/json"], "schema": {"type": "object", "required": ["depth"]}}
CONTAINERS = {
    "cold_start:loading=true,seconds=60": "cold_start",
    "gpu_oom": "gpu_oom",
    "crash": "container_crash",
    "wrong_schema": "api_mismatch",
    "wrong_content_type": "api_mismatch",
    "empty": "api_mismatch",
    "busy": "busy",
    "rate_limited": "busy",
    "server_error": "upstream_error",
    "hang": "timeout",
    "mid_stream_break": "upstream_error",
}
ORCHESTRATORS = {
    "refused_worker": "container_crash",
    "timeout_text": "timeout",
    "credentials": "rejected",
    "balance": "rejected",
    "no_capacity": "not_claimed",
}


def slug_of(fault: str) -> str:
    return fault.partition(":")[0].replace("_", "-")


def offers_of(simulator: Simulator, faults: dict[str, str]) -> dict[str, Any]:
    direct = simulator.protocol == "direct"
    return orchestrator(
        simulator,
        *(
            {"capability": slug_of(fault)}
            | ({"path": slug_of(fault), "price": f"{price_of(simulator)} wei/second"} if direct else {})
            for fault in faults
        ),
    )


def price_of(simulator: Simulator) -> int:
    return 1 if simulator.name == "cedar" else 1000


async def classes(gateway: Gateway, protocol: Any, faults: dict[str, str]) -> tuple[dict[str, str], set[int]]:
    """Every capability has its own fault at Cedar, and a good answer at Alder: class by fault, and statuses."""
    only_cheapest_first(gateway)
    bad = [Container(slug_of(fault), price=1, kind="depth") for fault in faults]
    good = [Container(slug_of(fault), price=1000, kind="depth") for fault in faults]
    policy = {"profile": "warm", "price_ceiling": "none", "response": CONTRACT}
    async with (
        Simulator("cedar", capabilities=bad, protocol=protocol) as cedar,
        Simulator("alder", capabilities=good, protocol=protocol) as alder,
    ):
        await gateway.apply(
            {
                "capabilities": [
                    {"slug": slug_of(fault), "attempt_timeout": 1.5, "cold_grace": 0, "value_of_second": 0}
                    | policy
                    for fault in faults
                ],
                "orchestrators": [offers_of(cedar, faults), offers_of(alder, faults)],
            }
        )
        await gateway.probe()
        statuses = set()
        for fault in faults:
            kind, _, options = fault.partition(":")
            cedar.fault(slug_of(fault), kind, **dict(part.split("=") for part in options.split(",") if part))
            statuses.add((await ask(gateway, slug_of(fault))).status_code)
        await gateway.drained()
    seen = await in_thread(
        lambda: dict(
            Attempt.objects.filter(number=1, orchestrator="cedar").values_list("capability", "outcome")
        )
    )
    return seen, statuses


async def test_it_classifies_what_an_orchestrator_does(gateway: Gateway) -> None:
    """R63, R64, R65, R66: by the orchestrator's own words, its container's, or the connection."""
    faults = CONTAINERS | ORCHESTRATORS
    seen, statuses = await classes(gateway, "byoc", faults)

    assert seen == {slug_of(fault): cls for fault, cls in faults.items()}
    assert statuses == {200}


async def test_it_classifies_what_a_bare_container_does(gateway: Gateway) -> None:
    """R63, R64, R65, R66: the same faults of a container without an orchestrator in front."""
    seen, statuses = await classes(gateway, "direct", CONTAINERS)

    assert seen == {slug_of(fault): cls for fault, cls in CONTAINERS.items()}
    assert statuses == {200}


async def test_it_tells_a_dead_container_from_an_unreachable_orchestrator(gateway: Gateway) -> None:
    """R65: nobody listens: behind the direct protocol that is a crash, else nobody can be reached."""
    async with (
        Simulator("alder", capabilities=[Container("depth", price=1)]) as alder,
        Simulator("birch", capabilities=[Container("depth")], protocol="direct") as birch,
    ):
        await gateway.apply(
            {
                "capabilities": [{"slug": "depth", "profile": "per-frame", "price_ceiling": "none"}],
                "orchestrators": [
                    orchestrator(alder, "depth"),
                    orchestrator(birch, {"capability": "depth", "price": "1 wei/second"}),
                ],
            }
        )
        await gateway.probe()
        await alder.stop()
        await birch.stop()
        answer = await gateway.post("/v1/capabilities/depth", json=PICTURE)
        await gateway.drained()

    assert (answer.status_code, answer.json()["code"]) == (502, "exhausted")
    seen = await in_thread(lambda: dict(Attempt.objects.values_list("orchestrator", "outcome")))
    assert seen == {"alder": "unreachable", "birch": "container_crash"}
