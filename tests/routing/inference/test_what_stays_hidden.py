"""What never leaves: credentials upstream, orchestrators' names downstream, bodies into the database."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
from django.db import connection

from orchestrators.models import Advert
from orchestrators.simulator import Container, Simulator
from tests.routing.inference.scenes import DEPTH, PICTURE, depth_by, orchestrator
from tests.routing.inference.scripted import Scripted, answering
from tests.support.gateway import Gateway, in_thread

MODEL = "someone/Depth_Anything_v2"
PRYING = {
    "cookie": "session=secret",
    "proxy-authorization": "Basic secret",
    "x-api-key": "secret",
    "x-forwarded-for": "10.0.0.1",
    "x-model": "their/Model_v1",
    "x-gpu": "0",
    "user-agent": "their client",
    "livepeer-payment": "c2VjcmV0",
    "referer": "https://secret.example/",
    "accept": "application/json;q=0.9",
    "accept-language": "de",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}
FORWARDED = ("accept", "accept-language")


def depth_container(price: int = 1) -> Container:
    return Container("depth", price=price, model=MODEL)


# --- upstream ------------------------------------------------------------------------------------


async def test_only_protocol_headers_reach_an_orchestrator(gateway: Gateway) -> None:
    """R18, R19, R25: no credential, no client header, and no word about a model or a GPU; but a trace."""
    async with Simulator("alder", capabilities=[depth_container()]) as alder:
        await depth_by(gateway, alder)
        answer = await gateway.post("/v1/capabilities/depth?model=a&gpu=1", json=PICTURE, headers=PRYING)
        job = alder.jobs[-1]

    assert answer.status_code == 200
    assert set(job.headers) == {"host", "livepeer", "content-type", "content-length", "traceparent"}
    assert set(job.livepeer) == {
        *("id", "request", "parameters", "capability", "capability_url", "sender", "sig"),
        *("timeout_seconds", "OrchSearchTimeout", "OrchSearchRespTimeout"),
    }
    assert (job.livepeer["request"], job.livepeer["parameters"]) == ("{}", "{}")
    assert (job.livepeer["capability"], job.livepeer["sig"]) == ("depth", "")
    assert isinstance(job.livepeer["timeout_seconds"], int)
    assert job.query == b""


async def test_a_container_gets_the_allow_list_and_no_more(gateway: Gateway) -> None:
    """R18, R25: the direct protocol, where a header would reach the container itself."""
    async with Simulator("birch", protocol="direct", capabilities=[Container("depth")]) as birch:
        await gateway.apply(
            {
                "capabilities": [DEPTH],
                "orchestrators": [orchestrator(birch, {"capability": "depth", "price": "1 wei/second"})],
            }
        )
        answer = await gateway.post("/v1/capabilities/depth", json=PICTURE, headers=PRYING)
        job = birch.jobs[-1]

    assert answer.status_code == 200
    assert set(job.headers) == {"host", "content-type", "content-length", "traceparent", *FORWARDED}
    assert {name: job.headers[name] for name in FORWARDED} == {name: PRYING[name] for name in FORWARDED}


# --- downstream ----------------------------------------------------------------------------------


def shown(answer: httpx.Response) -> str:
    return f"{answer.headers} {answer.text}"


async def test_no_answer_names_a_model_a_host_or_an_orchestrator(gateway: Gateway) -> None:
    """R17: answers, lists and errors of a capability whose offers report a model id."""
    async with (
        Simulator("alder", capabilities=[depth_container(10)]) as alder,
        Simulator("cedar", capabilities=[depth_container(1)]) as cedar,
    ):
        await depth_by(gateway, alder, cedar)
        assert await in_thread(Advert.objects.update, model=MODEL) == 2
        await gateway.runtime.refresh()
        cedar.fault("depth", "refused_worker")
        seen = [
            await gateway.post("/v1/capabilities/depth", json=PICTURE),
            await gateway.get("/v1/capabilities"),
            await gateway.get("/v1/capabilities/depth"),
        ]
        cedar.fault("depth", "timeout_text")
        alder.fault("depth", "credentials")
        seen.append(await gateway.post("/v1/capabilities/depth", json=PICTURE))
        await gateway.apply({"capabilities": [DEPTH | {"price_ceiling": "0 wei/second"}]})
        seen.append(await gateway.post("/v1/capabilities/depth", json=PICTURE))
        secrets = [MODEL, "Depth_Anything", "alder", "cedar", "orchestrator-url"]
        secrets += [str(each.port) for each in (alder, cedar)]

    assert [answer.status_code for answer in seen] == [200, 200, 200, 502, 503]
    for answer in seen:
        text = shown(answer).lower()
        assert not [secret for secret in secrets if secret.lower() in text], text


async def test_the_orchestrator_is_named_where_the_operator_says_so(gateway: Gateway, settings: Any) -> None:
    """BYOCGW_EXPOSE_ORCHESTRATOR: X-Orchestrator-Url, as the stock gateway has it."""
    async with Simulator("alder", capabilities=[depth_container()]) as alder:
        await depth_by(gateway, alder)
        settings.BYOCGW_EXPOSE_ORCHESTRATOR = True
        async with Gateway() as frank:
            frank.key = gateway.key
            told = await frank.post("/v1/capabilities/depth", json=PICTURE)
        hidden = await gateway.post("/v1/capabilities/depth", json=PICTURE)

    assert told.headers["x-orchestrator-url"] == alder.service_uri
    assert "x-orchestrator-url" not in hidden.headers


# --- into the database ---------------------------------------------------------------------------


def dump() -> str:
    """Every value of every table."""
    with connection.cursor() as cursor:
        found = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            found += [str(value) for row in cursor.fetchall() for value in row]
    return "\n".join(found)


async def test_no_body_is_kept(gateway: Gateway, tmp_path: Path) -> None:
    """R16: neither a request's nor an answer's, not of a failure either, in no table and no journal."""
    marker = "marker-7f3a"
    secret = gateway.key
    failing = answering(f'{{"detail": "{marker}"}}'.encode(), status="500 Internal Server Error")
    refusing = answering(f'{{"detail": "{marker}"}}'.encode(), status="422 Unprocessable Entity")
    async with (
        Scripted("birch", failing) as birch,
        Scripted("cedar", refusing) as cedar,
        Simulator("alder", capabilities=[Container("echo", price=5)]) as alder,
    ):
        echo = {"slug": "echo", "profile": "warm", "price_ceiling": "none"}
        pose = {"slug": "pose", "profile": "warm", "price_ceiling": "none"}
        offers = [
            orchestrator(birch, birch.offer("echo")),
            orchestrator(cedar, cedar.offer("pose")),  # type: ignore[arg-type]
            orchestrator(alder, "echo"),
        ]
        await gateway.apply({"capabilities": [echo, pose], "orchestrators": offers})
        await gateway.probe()
        job = {"request": json.dumps({"text": marker}), "capability": "echo", "timeout_seconds": 20}
        header = {"livepeer": base64.b64encode(json.dumps(job).encode()).decode()}
        answers = [
            await gateway.post(f"/v1/capabilities/echo?q={marker}", content=marker.encode()),
            await gateway.post("/process/request/", content=marker.encode(), headers=header),
            await gateway.post("/v1/capabilities/pose", content=marker.encode()),
        ]
        await gateway.drained()

    assert [answer.status_code for answer in answers] == [200, 200, 422]
    assert all(marker in answer.text for answer in answers)
    stored = await in_thread(dump)
    assert answers[0].headers["x-request-id"] in stored
    assert marker not in stored
    assert secret not in stored
    for file in (tmp_path / "journal").rglob("*"):
        assert not file.is_file() or marker.encode() not in file.read_bytes()
