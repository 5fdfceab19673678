"""W3C Trace Context: from the client to every orchestrator that is asked, and into what is told of the call."""

from __future__ import annotations

from orchestrators.simulator import Container, Simulator
from routing.core.trace import span_id
from routing.models import Job
from tests.routing.inference.scenes import DEPTH, PICTURE, depth_by, only_cheapest_first, orchestrator
from tests.support.gateway import Gateway

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SENT = {"traceparent": f"00-{ID}-00f067aa0ba902b7-01", "tracestate": "rojo=00f067aa0ba902b7"}


def seen(simulator: Simulator) -> tuple[str | None, str | None]:
    headers = simulator.jobs[-1].headers
    return headers.get("traceparent"), headers.get("tracestate")


async def test_each_attempt_is_a_span_of_the_clients_trace(gateway: Gateway) -> None:
    async with (
        Simulator("cedar", capabilities=[Container("depth", price=1)]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=100)]) as alder,
    ):
        await depth_by(gateway, alder, cedar)
        only_cheapest_first(gateway)
        cedar.fault("depth", "gpu_oom", times=1)
        answer = await gateway.post("/v1/capabilities/depth", json=PICTURE, headers=SENT)
        request_id = answer.headers["x-request-id"]
        told = (await gateway.get(f"/v1/jobs/{request_id}")).json()
        await gateway.drained()
        job = await Job.objects.aget(pk=request_id)

    assert answer.headers["x-byocgw-attempts"] == "2"
    assert seen(cedar) == (f"00-{ID}-{span_id(request_id, 1)}-01", SENT["tracestate"])
    assert seen(alder) == (f"00-{ID}-{span_id(request_id, 2)}-01", SENT["tracestate"])
    assert told["trace"] == job.trace == ID


async def test_without_a_trace_the_call_begins_its_own(gateway: Gateway) -> None:
    """Also where containers are asked directly."""
    async with Simulator("birch", protocol="direct", capabilities=[Container("depth")]) as birch:
        offered = {"capability": "depth", "price": "1 wei/second"}
        await gateway.apply({"capabilities": [DEPTH], "orchestrators": [orchestrator(birch, offered)]})
        answer = await gateway.post("/v1/capabilities/depth", json=PICTURE, headers={"traceparent": "nonsense"})
    request_id = answer.headers["x-request-id"]
    assert seen(birch) == (f"00-{request_id}-{span_id(request_id, 1)}-00", None)
