"""POST /process/request/<worker path>: the stock gateway's route, for clients that know nothing of us."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from typing import Any

import httpx
import pytest

from orchestrators.simulator import Container, Simulator
from tests.byocgw.edge import Client
from tests.routing.inference.scenes import DEPTH, PICTURE, depth_by, orchestrator
from tests.support.gateway import Gateway

# As go-livepeer's own documentation shows it: without `parameters`, which its code then wants.
DOCUMENTED = (
    "eyJyZXF1ZXN0IjogIntcInJ1blwiOiBcImVjaG9cIn0iLCAiY2FwYWJpbGl0eSI6ICJ0ZXh0LXJldmVyc2FsIiwgInRpbWVvdXRf"
    "c2Vjb25kcyI6IDMwfQ=="
)
REVERSAL = {"slug": "text-reversal", "profile": "warm", "price_ceiling": "none"}


def header(document: object) -> dict[str, str]:
    text = document if isinstance(document, str) else json.dumps(document)
    return {"livepeer": base64.b64encode(text.encode()).decode()}


def job(capability: str = "depth", **fields: object) -> dict[str, object]:
    return {"request": "{}", "parameters": "{}", "capability": capability, "timeout_seconds": 20, **fields}


def orchestrators_wish(**lists: list[str]) -> dict[str, str]:
    return header(job(parameters=json.dumps({"orchestrators": lists})))


async def ask(gateway: Gateway, headers: dict[str, str], path: str = "") -> httpx.Response:
    return await gateway.post(f"/process/request/{path}", json=PICTURE, headers=headers)


def depth_at(name: str, price: int, **container: Any) -> Simulator:
    return Simulator(name, capabilities=[Container("depth", price=price, **container)])


async def reversal_by(gateway: Gateway, simulator: Simulator) -> None:
    offers = [orchestrator(simulator, "text-reversal")]
    await gateway.apply({"capabilities": [REVERSAL], "orchestrators": offers})
    await gateway.probe()


# --- the header ----------------------------------------------------------------------------------


async def test_it_takes_the_documented_header(gateway: Gateway) -> None:
    """The worker path is the container's; what the stock gateway tells its clients is told."""
    container = Container("text-reversal", price=10, balance=1000)
    async with Simulator("alder", capabilities=[container]) as alder:
        await reversal_by(gateway, alder)
        answer = await gateway.post(
            "/process/request/reverse-text", json={"text": "abc"}, headers={"livepeer": DOCUMENTED}
        )
        sent = alder.jobs[-1]

    assert (answer.status_code, answer.json()) == (200, {"original": "abc", "reversed": "cba"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["livepeer-balance"] == "990"
    assert json.loads(answer.headers["x-metadata"]) == {"characters": 3}
    assert answer.headers["x-byocgw-attempts"] == "1"
    assert sent.path == b"reverse-text"
    assert (sent.livepeer["request"], sent.livepeer["parameters"]) == ('{"run": "echo"}', "{}")
    assert sent.livepeer["id"] == answer.headers["x-request-id"]


async def test_request_and_parameters_travel_unchanged(gateway: Gateway) -> None:
    """They are signed and read elsewhere: not a blank is touched, not a key lost."""
    request, parameters = '{"b":1,  "a": "\\u20ac"}', '{ "orchestrators" : null, "enable_data_output":true}'
    async with depth_at("alder", 1) as alder:
        await depth_by(gateway, alder)
        mine = job(request=request, parameters=parameters, id="mine", sender="0xme", sig="0x1", other=1)
        answer = await ask(gateway, header(mine))
        sent = alder.jobs[-1].livepeer

    assert answer.status_code == 200
    assert (sent["request"], sent["parameters"]) == (request, parameters)
    assert (sent["sender"], sent["sig"]) == ("0x" + "0" * 40, "")
    assert sent["id"] != "mine"


async def test_a_streams_balance_is_found_under_its_other_name(gateway: Gateway) -> None:
    """G24: the orchestrator says Livepeer-Payment-Balance on a stream."""
    container = Container("text-reversal", price=10, balance=1000)
    async with Simulator("alder", capabilities=[container]) as alder:
        await reversal_by(gateway, alder)
        answer = await gateway.post(
            "/process/request/reverse-stream", json={"text": "ab"}, headers={"livepeer": DOCUMENTED}
        )

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["livepeer-balance"] == "1000"
    assert answer.headers["x-metadata"] == ""
    assert answer.text.endswith("data: [DONE]\n\n")


BAD = {
    "header": {},
    "base64": {"livepeer": "e30"},
    "not JSON": header("{"),
    "capability": header(job(capability="")),
    "timeout_seconds": header({key: value for key, value in job().items() if key != "timeout_seconds"}),
    "`timeout_seconds`": header(job(timeout_seconds="20")),
    "`request`": header(job(request="[]")),
    "`stream_id`": header(job(request='{"stream_id": 1}')),
    "`parameters`": header(job(parameters="nothing")),
    "`include`": header(job(parameters='{"orchestrators": {"include": "all"}}')),
    "duration": header(job()) | {"livepeer-orch-search-timeout": "1 second"},
}


async def test_a_bad_header_is_refused_with_the_field_that_is_bad(gateway: Gateway) -> None:
    """400 bad_job_header; no orchestrator hears of it."""
    async with depth_at("alder", 1) as alder:
        await depth_by(gateway, alder)
        for word, headers in BAD.items():
            answer = await ask(gateway, headers)
            problem = answer.json()
            assert (answer.status_code, problem["code"]) == (400, "bad_job_header"), word
            assert word in problem["detail"]
            assert "127.0.0.1" not in answer.text

    assert not alder.calls


# --- which capability ----------------------------------------------------------------------------


async def test_a_wire_name_leads_to_the_one_capability_that_carries_it(gateway: Gateway) -> None:
    """The slug, else the capability whose offers all carry that name; several or none: 404."""
    names = ("depth-anything", "shared")
    async with Simulator("alder", capabilities=[Container(name, kind="depth") for name in names]) as alder:
        await gateway.apply(
            {
                "capabilities": [DEPTH, *({"slug": slug, "profile": "warm"} for slug in ("one", "other"))],
                "orchestrators": [
                    orchestrator(
                        alder,
                        {"capability": "depth", "wire_name": "depth-anything"},
                        {"capability": "one", "wire_name": "shared"},
                        {"capability": "other", "wire_name": "shared"},
                    )
                ],
            }
        )
        await gateway.probe()
        answers = [
            await ask(gateway, header(job(name)))
            for name in ("depth", "depth-anything", "one", "shared", "nobodys")
        ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 404]
    assert {answer.json()["code"] for answer in answers[3:]} == {"no_such_capability"}
    assert [each.livepeer["capability"] for each in alder.jobs] == ["depth-anything"] * 2 + ["shared"]


# --- the client's wishes -------------------------------------------------------------------------


async def test_include_and_exclude_are_exact_strings(gateway: Gateway) -> None:
    """Exclusion counts first; a slash more is another string."""
    async with depth_at("alder", 100) as alder, depth_at("cedar", 1) as cedar:
        await depth_by(gateway, alder, cedar)
        a, c = alder.service_uri, cedar.service_uri
        wishes: list[tuple[dict[str, list[str]], dict[str, int]]] = [
            ({"include": [a]}, {"alder": 1}),
            ({"exclude": [c]}, {"alder": 1}),
            ({"include": [a, c], "exclude": [c]}, {"alder": 1}),
            ({"include": [c], "exclude": [a + "/"]}, {"cedar": 1}),
            ({"include": [a + "/"]}, {}),
            ({"exclude": [a, c]}, {}),
        ]
        for lists, wanted in wishes:
            alder.calls.clear()
            cedar.calls.clear()
            answer = await ask(gateway, orchestrators_wish(**lists))
            served = {each.name: each.calls["depth"] for each in (alder, cedar) if each.calls["depth"]}
            assert served == wanted, lists
            assert answer.status_code == (200 if wanted else 503), lists
        reasons = answer.json()["reasons"]

    assert reasons == {"excluded": 2}


@pytest.mark.parametrize("name", ["livepeer-orch-search-timeout", "livepeer-orch-search-resp-timeout"])
async def test_search_timeouts_cap_the_time_until_an_attempt_starts(gateway: Gateway, name: str) -> None:
    """G2: either header; an attempt that runs may finish, another one does not start."""
    async with depth_at("alder", 100) as alder, depth_at("cedar", 1, latency=0.3) as cedar:
        await depth_by(gateway, alder, cedar)
        patient = await ask(gateway, header(job()) | {name: "10s"})
        cedar.fault("depth", "server_error")
        alder.fault("depth", "server_error")
        hasty = await ask(gateway, header(job()) | {name: "100ms"})
        none = await ask(gateway, header(job()) | {name: "0s"})

    assert patient.status_code == 200
    assert (hasty.status_code, len(hasty.json()["attempts"])) == (502, 1)
    assert (none.status_code, none.json()["code"]) == (504, "deadline")
    assert "attempts" not in none.json()


async def test_timeout_seconds_bound_the_whole_call(gateway: Gateway) -> None:
    """And the orchestrator is told a whole number of seconds, at least 1."""
    async with depth_at("alder", 1) as alder:
        await depth_by(gateway, alder)
        alder.fault("depth", "hang")
        answer = await ask(gateway, header(job(timeout_seconds=1)))

    assert (answer.status_code, answer.json()["code"]) == (504, "deadline")
    assert alder.jobs[-1].livepeer["timeout_seconds"] == 1


# --- what else is under /process -------------------------------------------------------------------


async def test_live_streams_are_not_offered(gateway: Gateway) -> None:
    for method, path in (("POST", "start"), ("GET", "an-id/status"), ("POST", "an-id/whip")):
        auth = {"authorization": f"Bearer {gateway.key}"}
        answer = await gateway.http.request(method, f"/process/stream/{path}", headers=auth)
        assert (answer.status_code, answer.json()["code"]) == (501, "not_implemented")
    stranger = await gateway.http.post("/process/stream/start")
    assert stranger.status_code == 401


async def test_it_is_for_post_only(gateway: Gateway) -> None:
    answer = await gateway.get("/process/request/depth", headers=header(job()))
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


# --- large headers -------------------------------------------------------------------------------


async def raw(gateway: Gateway, head: bytes) -> Client:
    host, port = gateway.url.removeprefix("http://").split(":")
    client = Client(*await asyncio.open_connection(host, int(port)))
    with contextlib.suppress(ConnectionError):
        await client.send(head)
    return client


async def test_a_livepeer_header_of_a_mebibyte_works(gateway: Gateway) -> None:
    """A whole request in the header: through the server, to the orchestrator, unchanged."""
    size = len(json.dumps(job(request='{"x": ""}')))
    request = json.dumps({"x": "y" * (2**20 // 4 * 3 - size - 16)})
    async with depth_at("alder", 1) as alder:
        await depth_by(gateway, alder)
        headers = header(job(request=request))
        answer = await ask(gateway, headers)

    assert 2**20 - 64 <= len(headers["livepeer"]) <= 2**20
    assert answer.status_code == 200
    assert alder.jobs[-1].livepeer["request"] == request


async def test_one_of_eight_mebibytes_is_cut_off(gateway: Gateway) -> None:
    """Before any key is looked at: the answer, if there is one, is the server's own."""
    head = b"POST /process/request/ HTTP/1.1\r\nhost: a\r\nlivepeer: " + b"e" * 2**23
    client = await raw(gateway, head)
    said = await client.rest()
    client.writer.close()

    assert said == b"" or said.startswith(b"HTTP/1.1 431 ")
