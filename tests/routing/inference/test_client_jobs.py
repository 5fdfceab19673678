"""`GET /v1/jobs/<request id>`: what became of one's own call, without a name, a host, a price or a model."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest
from django.db import OperationalError

from orchestrators.simulator import Container, Simulator
from routing import history
from routing.api import books
from routing.api.routes import is_data_plane
from routing.models import Job, UsageHour
from tests.routing.inference.scenes import ask, depth_by, only_cheapest_first
from tests.support.gateway import Gateway, in_thread


async def failover(gateway: Gateway) -> httpx.Response:
    """Cedar fails, Alder serves; Douglas is too dear."""
    only_cheapest_first(gateway)
    async with (
        Simulator("cedar", capabilities=[Container("depth", price=1011)]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=2022)]) as alder,
        Simulator("douglas", capabilities=[Container("depth", price=5033)]) as douglas,
    ):
        await depth_by(gateway, cedar, alder, douglas, price_ceiling="3000 wei/second", profile="warm")
        cedar.fault("depth", "gpu_oom")
        return await ask(gateway)


async def look_up(gateway: Gateway, answer: httpx.Response, **request: Any) -> httpx.Response:
    return await gateway.get(f"/v1/jobs/{answer.headers['x-request-id']}", **request)


def forget(gateway: Gateway) -> None:
    """As if another worker had served it."""
    gateway.runtime.journal._latest.clear()


async def test_it_tells_attempts_and_decision_by_number(gateway: Gateway) -> None:
    answer = await failover(gateway)
    found = await look_up(gateway, answer)
    told = found.json()

    assert found.status_code == 200
    assert found.headers["content-type"] == "application/json"
    assert set(told) == {
        *("request_id", "at", "capability", "state", "code", "status", "result", "ms", "revision", "trace"),
        *("attempts", "decision"),
    }
    assert (told["request_id"], told["capability"]) == (answer.headers["x-request-id"], "depth")
    assert (told["code"], told["status"]) == ("ok", 200)
    assert told["revision"] == gateway.runtime.table.revision
    assert [(each["candidate"], each["class"]) for each in told["attempts"]] == [(1, "gpu_oom"), (2, "ok")]
    assert all(set(each) == {"candidate", "class", "at", "ms"} for each in told["attempts"])
    decision = told["decision"]
    assert [each["candidate"] for each in decision["candidates"]] == [1, 2]
    assert decision["candidates"][0]["terms"].keys() == {"state", "warm", "latency_ms", "failure"}
    assert decision["refused"] == [{"candidate": 3, "reason": "price_ceiling"}]


async def test_it_gives_nothing_of_the_orchestrators_away(gateway: Gateway) -> None:
    """R10: no name, host, price or model."""
    answer = await failover(gateway)
    await gateway.drained()
    from_memory = await look_up(gateway, answer)
    forget(gateway)
    from_database = await look_up(gateway, answer)
    for found in (from_memory, from_database):
        for secret in (
            "alder",
            "cedar",
            "douglas",
            "127.0.0.1",
            "wei",
            "1011",
            "2022",
            "3000",
            "5033",
            "memory",
        ):
            assert secret not in found.text, secret


async def test_memory_and_database_tell_the_same(gateway: Gateway) -> None:
    answer = await failover(gateway)
    at_once = await look_up(gateway, answer)
    await gateway.drained()
    forget(gateway)
    later = await look_up(gateway, answer)
    assert at_once.json() == later.json()


async def test_it_says_that_the_journal_may_be_behind(gateway: Gateway) -> None:
    """Another worker's call is found once it is drained."""
    with gateway.runtime.journal._draining:  # by nobody, until it was looked for
        answer = await failover(gateway)
        forget(gateway)
        early = await look_up(gateway, answer)
    await gateway.drained()
    assert (early.status_code, early.json()["code"]) == (404, "not_found")
    assert "may take a second" in early.json()["detail"]
    assert (await look_up(gateway, answer)).status_code == 200


async def test_it_answers_foreign_ids_like_unknown_ones(gateway: Gateway) -> None:
    answer = await failover(gateway)
    stranger = {"authorization": f"Bearer {await gateway.issue_key('globex')}"}
    unknown = await gateway.get("/v1/jobs/" + "0" * 32)
    foreign = await look_up(gateway, answer, headers=stranger)
    await gateway.drained()
    forget(gateway)
    stored = await look_up(gateway, answer, headers=stranger)
    told = [found.json() | {"request_id": ""} for found in (unknown, foreign, stored)]
    assert told[0]["status"] == 404
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize(
    "path", ["/v1/jobs", "/v1/jobs/", "/v1/jobs/a/b", "/v1/jobs/%00", "/v1/jobs/" + "a" * 41]
)
async def test_it_knows_no_other_path(gateway: Gateway, path: str) -> None:
    found = await gateway.get(path)
    assert (found.status_code, found.json()["code"]) == (404, "not_found")


async def test_it_wants_a_key_and_takes_no_post(gateway: Gateway) -> None:
    answer = await failover(gateway)
    path = f"/v1/jobs/{answer.headers['x-request-id']}"
    assert (await gateway.http.get(path)).status_code == 401
    posted = await gateway.post(path)
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, DELETE")


async def test_it_says_when_the_database_is_away(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """And still tells what it remembers."""

    def away(request_id: str) -> None:
        raise OperationalError("the database is away")

    answer = await failover(gateway)
    monkeypatch.setattr(history, "find", away)
    assert (await look_up(gateway, answer)).status_code == 200
    forget(gateway)
    found = await look_up(gateway, answer)
    assert (found.status_code, found.json()["code"]) == (503, "books_closed")
    assert found.headers["retry-after"] == "2"


async def test_it_does_not_wait_for_ever(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that hangs: the thread waits, the client does not, and nobody else does."""
    released = threading.Event()
    monkeypatch.setattr(books, "PATIENCE", 0.05)
    monkeypatch.setattr(history, "find", lambda request_id: released.wait(10) and None)
    try:
        found = await gateway.get("/v1/jobs/" + "0" * 32)
        listed = await gateway.get("/v1/capabilities")
    finally:
        released.set()
    assert (found.status_code, listed.status_code) == (503, 200)


async def test_it_is_not_booked_itself(gateway: Gateway) -> None:
    """Asking in vain is no job, and no failure in anybody's usage."""
    await gateway.get("/v1/jobs/" + "0" * 32)
    await gateway.drained()
    assert await in_thread(Job.objects.count) == 0
    assert await in_thread(UsageHour.objects.count) == 0


async def test_it_tells_of_a_refusal(gateway: Gateway) -> None:
    """Refused before any routing: no attempt, no decision."""
    refused = await gateway.post("/v1/capabilities/weather", json={})
    told = (await look_up(gateway, refused)).json()
    assert (told["code"], told["status"], told["attempts"], told["decision"]) == (
        *("no_such_capability", 404, []),
        None,
    )


@pytest.mark.parametrize(
    "path", ["/v1/jobs/abc", "/v1/capabilities", "/process/request/x", "/healthz", "/readyz"]
)
def test_the_door_is_for_these_paths(path: str) -> None:
    assert is_data_plane(path)


@pytest.mark.parametrize(
    "path", ["/api/jobs/abc/", "/api/capabilities/depth/explain/", "/admin/", "/", "/healthz/x"]
)
def test_and_not_for_those(path: str) -> None:
    assert not is_data_plane(path)
