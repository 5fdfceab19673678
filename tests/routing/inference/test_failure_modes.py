"""What a client sees when orchestrators fail: the good answer of another one, or a typed refusal."""

from __future__ import annotations

import base64
import json

import httpx
import pytest

from orchestrators.simulator import Container, Simulator
from routing.models import Attempt, Job
from tests.routing.inference.scenes import PICTURE, depth_by
from tests.support.gateway import Gateway, in_thread

# The founding document's four, as a simulated orchestrator shows them, and what we call them.
MODES = {
    "cold_start": ("cold_start", {"loading": True, "seconds": 60}),
    "gpu_oom": ("gpu_oom", {}),
    "container_crash": ("crash", {}),
    "api_mismatch": ("wrong_schema", {}),
}
ROUTES = ("/v1/capabilities/depth", "/process/request/depth")


def job_header(capability: str = "depth", **fields: object) -> dict[str, str]:
    job = {"request": "{}", "capability": capability, "timeout_seconds": 20, **fields}
    return {"livepeer": base64.b64encode(json.dumps(job).encode()).decode()}


async def ask(gateway: Gateway, route: str) -> httpx.Response:
    headers = job_header() if route.startswith("/process/") else {}
    return await gateway.post(route, json=PICTURE, headers=headers)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("mode", MODES)
async def test_it_asks_another_orchestrator(gateway: Gateway, mode: str, route: str) -> None:
    """R63, R64, R65, R66, R67: in each failure mode an alternative serves, and the client gets 200."""
    kind, options = MODES[mode]
    async with (
        Simulator("cedar", capabilities=[Container("depth", price=1)]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=100)]) as alder,
    ):
        await depth_by(gateway, cedar, alder)
        cedar.fault("depth", kind, **options)
        answers = [await ask(gateway, route) for _ in range(3)]
        await gateway.drained()

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert all("depth" in answer.json() for answer in answers)
    classes = await in_thread(lambda: set(Attempt.objects.values_list("orchestrator", "outcome")))
    assert ("cedar", mode) in classes
    assert {name for name, outcome in classes if outcome == "ok"} == {"alder"}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("mode", MODES)
async def test_it_refuses_with_a_type_when_everyone_fails(gateway: Gateway, mode: str, route: str) -> None:
    """R68, G3: no alternative, so an error that names classes and attempts; never 200, never empty."""
    kind, options = MODES[mode]
    async with (
        Simulator("cedar", capabilities=[Container("depth", price=1)]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=100)]) as alder,
    ):
        await depth_by(gateway, cedar, alder)
        for simulator in (cedar, alder):
            simulator.fault("depth", kind, **options)
        answer = await ask(gateway, route)
        await gateway.drained()

    problem = answer.json()
    assert answer.status_code == 502
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["code"] == "exhausted"
    assert [attempt["class"] for attempt in problem["attempts"]] == [mode, mode]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "127.0.0.1" not in answer.text
    job = await in_thread(Job.objects.get)
    assert (job.request_id, job.code, job.status, job.attempts_made) == (
        problem["request_id"],
        "exhausted",
        502,
        2,
    )
