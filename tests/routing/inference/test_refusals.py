"""Every way the gateway says no: the right status, a problem document, never 200, never empty."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone

from orchestrators.simulator import Container, Simulator
from routing.models import ApiKey, Client, Job, UsageHour
from tests.byocgw.edge import Client as RawClient
from tests.routing.inference.scenes import DEPTH, PICTURE, depth_by, orchestrator, wait_for_a_seat
from tests.support.gateway import Gateway, in_thread

URL = "/v1/capabilities/depth"
MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}


def refused(answer: httpx.Response, status: int, code: str, *more: str) -> dict[str, Any]:
    """The problem document of a refusal, whose form is checked here for all of them."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem: dict[str, Any] = answer.json()
    assert set(problem) == MEMBERS | set(more)
    assert (problem["code"], problem["status"]) == (code, status)
    assert problem["type"] == f"urn:byocgw:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["x-byocgw-attempts"] == str(len(problem.get("attempts", [])))
    assert "127.0.0.1" not in answer.text
    return problem


def depth_at(name: str, price: int = 1, **container: Any) -> Simulator:
    return Simulator(name, capabilities=[Container("depth", price=price, **container)])


async def ask(gateway: Gateway, **request: Any) -> httpx.Response:
    return await gateway.post(URL, **({"json": PICTURE} | request))


# --- who asks, and for what ----------------------------------------------------------------------


async def test_only_a_key_that_counts_opens_the_door(gateway: Gateway) -> None:
    """401 before anything is looked up: a stranger cannot learn which capabilities there are."""
    revoked, expired, inactive = [await gateway.issue_key(name) for name in ("acme", "acme", "former")]

    def withdraw() -> None:
        now = timezone.now()
        ApiKey.objects.filter(digest=ApiKey.digests_of(revoked)[0]).update(revoked_at=now)
        ApiKey.objects.filter(digest=ApiKey.digests_of(expired)[0]).update(
            expires_at=now - timedelta(seconds=1)
        )
        Client.objects.filter(name="former").update(is_active=False)

    await in_thread(withdraw)
    await gateway.runtime.refresh()
    good = gateway.key
    sent = ("", f"Basic {good}", good, "Bearer", "Bearer byoc_wrong", f"Bearer {good}x")
    keys = (*sent, *(f"Bearer {each}" for each in (revoked, expired, inactive)))
    for path in (URL, "/v1/capabilities/nobodys", "/process/request/a", "/process/nothing"):
        for key in keys:
            answer = await gateway.http.post(path, headers={"authorization": key})
            refused(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"] == 'Bearer realm="byocgw"'
    refused(await gateway.http.get("/v1/capabilities"), 401, "unauthenticated")
    assert (await gateway.http.get(URL, headers={"authorization": f"bearer {good}"})).status_code == 200


async def test_a_client_may_call_what_it_is_allowed(gateway: Gateway) -> None:
    """403, in calls and in the description; the list shows what it may call."""
    await gateway.apply({"clients": [{"name": "acme", "capabilities": ["pose"]}]})
    refused(await ask(gateway), 403, "capability_not_allowed")
    refused(await gateway.get(URL), 403, "capability_not_allowed")
    listed = (await gateway.get("/v1/capabilities")).json()["capabilities"]
    assert [each["capability"] for each in listed] == ["pose"]


async def test_what_is_not_there_is_404(gateway: Gateway) -> None:
    for path in ("nobodys", "%64epth", "a%2Fb/c"):
        refused(await gateway.post(f"/v1/capabilities/{path}"), 404, "no_such_capability")
    refused(await gateway.get("/v1/capabilities/nobodys"), 404, "no_such_capability")
    for path in ("/v1/capabilitiesx", "/process/", "/process/request2/a"):
        for method in ("POST", "DELETE"):
            answer = await gateway.http.request(
                method, path, headers={"authorization": f"Bearer {gateway.key}"}
            )
            refused(answer, 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", URL, "GET, POST"),
        ("DELETE", URL, "GET, POST"),
        ("GET", URL + "/sub", "POST"),
        ("POST", "/v1/capabilities", "GET"),
        ("DELETE", "/v1/jobs/1/result", "GET"),
        ("OPTIONS", "/process/request/", "POST"),
    ],
)
async def test_another_method_is_405(gateway: Gateway, method: str, path: str, allow: str) -> None:
    headers = {"authorization": f"Bearer {gateway.key}"}
    answer = await gateway.http.request(method, path, headers=headers)
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allow


# --- what is sent --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf", ""])
async def test_a_timeout_must_be_a_number_above_zero(gateway: Gateway, text: str) -> None:
    problem = refused(await ask(gateway, headers={"x-byocgw-timeout": text}), 400, "bad_request")
    assert "X-Byocgw-Timeout" in problem["detail"]


async def test_a_path_that_climbs_or_cannot_be_sent_is_400(gateway: Gateway) -> None:
    """`..` would leave the offer's own path; no orchestrator is asked, and none is blamed."""
    async with depth_at("alder") as alder:
        await depth_by(gateway, alder)
        for path in (b"..", b"a/../../b", b"a/%2e%2E/b", b"a%2f..%2fb", b"./a"):
            answer = await raw_post(gateway, URL.encode() + b"/" + path)
            refused(answer, 400, "bad_request")
        server = await raw_post(gateway, URL.encode() + b"/a\x01b")

    assert not alder.calls
    assert server.status_code == 400
    assert server.content  # of the server itself, which has no key to look at


async def raw_post(gateway: Gateway, path: bytes) -> httpx.Response:
    """httpx would tidy the path up."""
    host, port = gateway.url.removeprefix("http://").split(":")
    client = RawClient(*await asyncio.open_connection(host, int(port)))
    fields = b"host: a\r\nauthorization: Bearer %b\r\ncontent-length: 2\r\n" % gateway.key.encode()
    await client.send(b"POST %b HTTP/1.1\r\n%b\r\n{}" % (path, fields))
    status, headers, body = await client.answer()
    client.writer.close()
    return httpx.Response(status, headers=headers, content=body)


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "declared"])
async def test_a_body_over_the_limit_is_413(gateway: Gateway, chunked: bool) -> None:
    """G15: one byte over; declared or noticed on the way, and nothing is held against the orchestrator."""

    async def pieces(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 1000):
            yield bytes(1000)
            await asyncio.sleep(0)
        yield bytes(size % 1000)

    gateway.runtime.max_body = 100_000
    async with Simulator("alder", capabilities=[Container("depth", price=1, kind="echo")]) as alder:
        await depth_by(gateway, alder, response={})
        answers = [
            await gateway.post(URL, content=pieces(size) if chunked else bytes(size))
            for size in (100_000, 100_001)
        ]
        in_flight = gateway.runtime.board.in_flight

    assert answers[0].status_code == 200
    problem = refused(
        answers[1], 413, "body_too_large", *(["attempts"] if "attempts" in answers[1].text else [])
    )
    assert "attempts" not in problem
    assert in_flight == 0
    assert all(not live.health.streak for live in gateway.runtime.board.offers.values())


# --- how often -----------------------------------------------------------------------------------


def tier(**limits: int) -> dict[str, Any]:
    return {"tiers": [{"slug": "small", **limits}], "clients": [{"name": "acme", "tier": "small"}]}


async def test_a_tiers_rate_is_429(gateway: Gateway) -> None:
    async with depth_at("alder") as alder:
        await depth_by(gateway, alder)
        await gateway.apply(tier(requests_per_minute=6, burst=2))
        answers = [await ask(gateway) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    problem = refused(answers[2], 429, "rate_limited")
    assert "6 requests a minute" in problem["detail"]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 10


async def test_a_tiers_calls_at_once_are_429(gateway: Gateway) -> None:
    async with depth_at("alder", latency=0.3) as alder:
        await depth_by(gateway, alder)
        await gateway.apply(tier(max_in_flight=2))
        answers = await asyncio.gather(*(ask(gateway) for _ in range(3)))
        after = await ask(gateway)

    assert sorted(answer.status_code for answer in answers) == [200, 200, 429]
    (over,) = [answer for answer in answers if answer.status_code == 429]
    refused(over, 429, "rate_limited")
    assert int(over.headers["retry-after"]) >= 1
    assert after.status_code == 200


# --- nobody can serve ----------------------------------------------------------------------------


async def test_none_available_counts_the_reasons(gateway: Gateway) -> None:
    """503 with the words operators alert on, a count for each reason, and always Retry-After."""
    nobody = await ask(gateway)
    assert refused(nobody, 503, "none_available")["detail"].startswith("no orchestrators available")
    assert int(nobody.headers["retry-after"]) >= 1
    async with (
        depth_at("alder", price=11) as alder,
        depth_at("birch", price=12) as birch,
        depth_at("cedar", price=1) as cedar,
    ):
        await gateway.apply(
            {
                "capabilities": [DEPTH | {"price_ceiling": "10 wei/second"}],
                "orchestrators": [
                    orchestrator(alder, "depth"),
                    orchestrator(birch, "depth"),
                    orchestrator(cedar, "depth", mode="draining"),
                ],
            }
        )
        await gateway.probe()
        answer = await ask(gateway)

    problem = refused(answer, 503, "none_available", "reasons")
    assert problem["detail"].startswith("no orchestrators available")
    assert problem["reasons"] == {"price_ceiling": 2, "mode_orchestrator": 1}
    assert int(answer.headers["retry-after"]) >= 1
    assert not (alder.calls or birch.calls or cedar.calls)


async def test_none_available_says_when_somebody_may_be_back(gateway: Gateway) -> None:
    """Down for a wrong answer: nobody is asked as a last resort, and the wait is told."""
    async with depth_at("alder") as alder:
        await depth_by(gateway, alder)
        alder.fault("depth", "wrong_schema")
        first, second = await ask(gateway), await ask(gateway)

    refused(first, 502, "exhausted", "attempts")
    assert refused(second, 503, "none_available", "reasons")["reasons"] == {"api_mismatch": 1}
    assert 1 <= int(second.headers["retry-after"]) <= 5
    assert alder.calls["depth"] == 1


async def test_a_request_waits_for_a_seat_and_is_then_refused(gateway: Gateway) -> None:
    async with depth_at("alder", latency=1.5) as alder:
        await depth_by(gateway, alder, max_in_flight=1)
        await wait_for_a_seat(gateway, 0.3)
        answers = await asyncio.gather(ask(gateway), ask(gateway))

    assert sorted(answer.status_code for answer in answers) == [200, 503]
    over = max(answers, key=lambda answer: answer.status_code)
    assert refused(over, 503, "none_available", "reasons")["reasons"] == {"no_seat": 1}
    assert over.headers["retry-after"] == "1"


async def test_exhausted_tells_classes_and_times(gateway: Gateway) -> None:
    """R68: 502; each attempt as its class and how long it took, without a name."""
    async with depth_at("alder", price=2) as alder, depth_at("cedar", price=1) as cedar:
        await depth_by(gateway, alder, cedar)
        alder.fault("depth", "server_error")
        cedar.fault("depth", "crash")
        problem = refused(await ask(gateway), 502, "exhausted", "attempts")

    assert [set(attempt) for attempt in problem["attempts"]] == [{"class", "ms"}] * 2
    assert [attempt["class"] for attempt in problem["attempts"]] == ["container_crash", "upstream_error"]


async def test_time_that_ran_out_is_504(gateway: Gateway) -> None:
    """The client's own deadline; and every attempt timed out."""
    async with depth_at("alder", price=2) as alder, depth_at("cedar", price=1) as cedar:
        await depth_by(gateway, alder, cedar, attempt_timeout=0.3, cold_grace=0)
        alder.fault("depth", "hang")
        cedar.fault("depth", "hang")
        hasty = refused(await ask(gateway, headers={"x-byocgw-timeout": "0.1"}), 504, "deadline", "attempts")
        patient = refused(await ask(gateway), 504, "deadline", "attempts")

    assert [attempt["class"] for attempt in hasty["attempts"]] == ["timeout"]
    assert [attempt["class"] for attempt in patient["attempts"]] == ["timeout", "timeout"]


# --- our own fault, and the books ----------------------------------------------------------------


async def test_a_bug_is_500_and_says_nothing_of_itself(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gateway.runtime.service, "_step", None)
    problem = refused(await ask(gateway), 500, "internal")
    assert "NoneType" not in problem["detail"]
    assert problem["request_id"] in caplog.text
    assert "NoneType" in caplog.text


async def test_refusals_of_a_client_are_in_its_books(gateway: Gateway) -> None:
    """Each one a row and part of the usage; a stranger's is nowhere."""
    await gateway.http.post(URL)
    answers = [
        await ask(gateway),
        await gateway.post("/v1/capabilities/nobodys"),
        await gateway.get(URL + "/a"),
    ]
    await gateway.drained()

    jobs = await in_thread(lambda: dict(Job.objects.values_list("request_id", "code")))
    assert jobs == {answer.json()["request_id"]: answer.json()["code"] for answer in answers}
    assert await in_thread(lambda: sum(UsageHour.objects.values_list("requests", flat=True))) == 3
