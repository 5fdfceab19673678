"""`Prefer: respond-async`: 202 and a job, whose result is kept to be fetched, and which can be withdrawn."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from orchestrators.simulator import Container, Simulator
from routing.models import ApiKey, Job, KeptCall
from tests.routing.inference.keeping import KEY, LATER, Held, ask, rows, settled, told
from tests.routing.inference.scenes import PICTURE, depth_by, job_header
from tests.routing.inference.scripted import OK
from tests.support.gateway import Gateway, in_thread


async def as_if_elsewhere(gateway: Gateway, path: str, method: str = "GET") -> httpx.Response:
    """Asked of a worker that does not run it: it knows the rows alone."""
    runs, gateway.runtime.keeper.runs = gateway.runtime.keeper.runs, {}
    gateway.runtime.journal._latest.clear()
    try:
        headers = {"authorization": f"Bearer {gateway.key}"}
        return await gateway.http.request(method, path, headers=headers)
    finally:
        gateway.runtime.keeper.runs = runs


async def test_a_job_is_accepted_runs_and_is_fetched(gateway: Gateway) -> None:
    async with Held() as held:
        await held.offered(gateway)
        accepted = await ask(gateway, headers=LATER)
        job = accepted.headers["location"]
        await held.asked.wait()
        running, early = await gateway.get(job), await gateway.get(f"{job}/result")
        await gateway.runtime.keeper.beat()
        elsewhere = await as_if_elsewhere(gateway, job)
        held.go.set()
        await settled("done")
        done = await gateway.get(job)
        await gateway.drained()
        done_elsewhere = await as_if_elsewhere(gateway, job)
        result = await gateway.get(done.json()["result"])

    request_id = accepted.headers["x-request-id"]
    assert (accepted.status_code, job) == (202, f"/v1/jobs/{request_id}")
    assert accepted.headers["preference-applied"] == "respond-async"
    assert accepted.headers["retry-after"] == "1"
    assert accepted.json()["state"] in ("queued", "running")
    assert running.json() == elsewhere.json()
    assert (running.json()["state"], running.json()["code"], running.json()["result"]) == (
        "running",
        None,
        None,
    )
    assert told(early) == (409, "under_way")
    assert done.json() == done_elsewhere.json()
    assert (done.json()["state"], done.json()["code"], done.json()["status"]) == ("done", "ok", 200)
    assert [each["class"] for each in done.json()["attempts"]] == ["ok"]
    assert (result.status_code, result.json()) == (200, {"depth": 3.5})
    assert result.headers["content-type"] == "application/json"
    assert result.headers["x-request-id"] == request_id
    assert result.headers["content-security-policy"].startswith("sandbox")
    assert await in_thread(Job.objects.count) == 1


async def test_one_that_nobody_could_serve_yet_is_queued(gateway: Gateway) -> None:
    async with Held() as held:
        await held.offered(gateway, profile="chained")
        busy = [asyncio.create_task(ask(gateway)) for _ in range(8)]
        async with asyncio.timeout(10):
            while held.calls < 8:
                await asyncio.sleep(0.01)
        accepted = await ask(gateway, headers=LATER)
        queued = await gateway.get(accepted.headers["location"])
        held.go.set()
        await asyncio.gather(*busy)
        await settled("done")

    assert (accepted.json()["state"], queued.json()["state"]) == ("queued", "queued")


async def test_a_job_that_fails_says_so(gateway: Gateway) -> None:
    async with Simulator("alder", capabilities=[Container("depth", price=9)]) as alder:
        await depth_by(gateway, alder)
        alder.fault("depth", "gpu_oom")
        accepted = await gateway.post("/v1/capabilities/depth", headers=LATER, json=PICTURE)
        await settled("failed")
        job = await gateway.get(accepted.headers["location"])
        result = await gateway.get(job.json()["result"])
    assert (job.json()["state"], job.json()["code"]) == ("failed", "exhausted")
    assert told(result) == (502, "exhausted")
    assert [each["class"] for each in result.json()["attempts"]] == ["gpu_oom"]


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_job_can_be_withdrawn(gateway: Gateway, elsewhere: bool) -> None:
    """Whichever worker is told, the orchestrator is; twice is as good as once."""
    async with Held() as held:
        await held.offered(gateway)
        job = (await ask(gateway, headers=LATER)).headers["location"]
        await held.asked.wait()
        auth = {"authorization": f"Bearer {gateway.key}"}
        if elsewhere:
            withdrawn = await as_if_elsewhere(gateway, job, "DELETE")
            await gateway.runtime.keeper.beat()
        else:
            withdrawn = await gateway.http.delete(job, headers=auth)
        await asyncio.wait_for(held.gone.wait(), 10)
        await settled("cancelled")
        again = await gateway.http.delete(job, headers=auth)
        found, result = await gateway.get(job), await gateway.get(f"{job}/result")

    assert withdrawn.status_code == 202
    assert (again.status_code, again.json()["state"]) == (200, "cancelled")
    assert (found.json()["state"], found.json()["code"], found.json()["result"]) == (
        "cancelled",
        "cancelled",
        None,
    )
    assert told(result) == (409, "outcome_unknown")
    assert not gateway.runtime.board.in_flight
    assert gateway.runtime.in_flight == 0


async def test_a_job_is_its_clients_alone(gateway: Gateway) -> None:
    async with Held() as held:
        await held.offered(gateway)
        job = (await ask(gateway, headers=LATER)).headers["location"]
        stranger = {"authorization": f"Bearer {await gateway.issue_key('globex')}"}
        asked = [
            await gateway.http.request(method, path, headers=stranger)
            for method, path in (("GET", job), ("DELETE", job), ("GET", f"{job}/result"))
        ]
        held.go.set()
        await settled("done")
        asked += [await gateway.http.get(f"{job}/result", headers=stranger)]
    assert [told(each) for each in asked] == [(404, "not_found")] * 4


async def test_keys_of_either_scope_do_their_part(gateway: Gateway) -> None:
    """Who may call may fetch and withdraw what is kept of it, and is told nothing of other calls."""

    async def scope(name: str) -> None:
        await in_thread(lambda: ApiKey.objects.update(scope=name))
        await gateway.runtime.refresh()

    async with Held() as held:
        await held.offered(gateway)
        held.go.set()
        plain = await ask(gateway)
        await scope("inference")
        job = (await ask(gateway, headers=LATER)).headers["location"]
        await settled("done")
        fetched = [await gateway.get(job), await gateway.get(f"{job}/result")]
        history = await gateway.get(f"/v1/jobs/{plain.headers['x-request-id']}")
        await scope("read")
        read = [await gateway.get(job), await gateway.get(f"{job}/result")]
        withdrawn = await gateway.http.delete(job, headers={"authorization": f"Bearer {gateway.key}"})

    assert [each.status_code for each in (*fetched, *read)] == [200] * 4
    assert told(history) == told(withdrawn) == (403, "key_not_allowed")


async def test_a_clients_limits_apply_before_it_is_accepted(gateway: Gateway) -> None:
    async with Held() as held:
        await held.offered(gateway)
        tier = {"slug": "small", "max_in_flight": 1}
        await gateway.apply({"tiers": [tier], "clients": [{"name": "acme", "tier": "small"}]})
        first = await ask(gateway, headers=LATER)
        second = await ask(gateway, headers=LATER)
        kept = await rows()
        held.go.set()
        await settled("done")
        third = await ask(gateway, headers=LATER)
        await settled("done", "done")

    assert (first.status_code, told(second), third.status_code) == (202, (429, "rate_limited"), 202)
    assert len(kept) == 1
    assert not gateway.runtime.allowances.in_flight


@pytest.mark.parametrize("wait", [10, 0])
async def test_it_is_answered_at_once_where_that_is_soon_enough(gateway: Gateway, wait: int) -> None:
    """RFC 7240, 4.3: respond-async with wait."""
    async with Held() as held:
        await held.offered(gateway)
        if wait:
            held.go.set()
        answer = await ask(gateway, headers={"prefer": f"respond-async, wait={wait}"})
        held.go.set()
        await settled("done")
        found = await gateway.get(f"/v1/jobs/{answer.headers['x-request-id']}/result")

    assert answer.status_code == (200 if wait else 202)
    assert found.json() == {"depth": 3.5}


async def test_with_a_key_it_is_the_same_job_again(gateway: Gateway) -> None:
    async with Held() as held:
        await held.offered(gateway)
        first, again = [await ask(gateway, headers=KEY | LATER) for _ in range(2)]
        plain = await ask(gateway, headers=KEY)
        held.go.set()
        await settled("done")
        late, result = await ask(gateway, headers=KEY | LATER), await ask(gateway, headers=KEY)
        assert held.calls == 1

    assert [each.status_code for each in (first, again, plain, late)] == [202] * 4
    assert len({each.headers["location"] for each in (first, again, plain, late)}) == 1
    assert (late.json()["state"], result.status_code) == ("done", 200)


async def test_the_stock_route_has_jobs_too(gateway: Gateway) -> None:
    async with Simulator("alder", capabilities=[Container("depth", price=9)]) as alder:
        await depth_by(gateway, alder)
        headers = LATER | job_header()
        accepted = await gateway.post("/process/request/", headers=headers, json=PICTURE)
        await settled("done")
        result = await gateway.get(f"{accepted.headers['location']}/result")
    assert (accepted.status_code, result.status_code) == (202, 200)
    assert "depth" in result.json()


async def test_a_result_too_large_to_keep_is_given_up(gateway: Gateway) -> None:
    gateway.runtime.keeper._largest = 100_000
    size = 50_000_000
    head = OK + b"content-type: image/png\r\ncontent-length: %d\r\n\r\n" % size
    async with Held(head + b"x" * 1_000_000) as held:
        await held.offered(gateway)
        held.go.set()
        job = (await ask(gateway, headers=LATER)).headers["location"]
        await settled("failed")
        found, result = await gateway.get(job), await gateway.get(f"{job}/result")
        waited = await ask(gateway, headers={"prefer": "respond-async, wait=20"})
    assert (found.json()["code"], found.json()["result"]) == ("too_large", None)
    assert told(result) == told(waited) == (410, "result_gone")


async def test_a_stop_waits_for_jobs_and_then_interrupts_them(gateway: Gateway) -> None:
    """SIGTERM: the one that ends in time is done, the other one fails, and says so."""
    keeper = gateway.runtime.keeper
    async with Held() as held:
        await held.offered(gateway)
        await ask(gateway, headers=LATER)
        await held.asked.wait()
        asyncio.get_running_loop().call_later(0.05, held.go.set)
        await keeper.stop(10)
        first = [(row.state, row.code) for row in await rows()]
        held.go.clear()
        held.asked.clear()
        keeper._life = type(keeper._life)(gateway.runtime.journal.folder, "node")
        job = (await ask(gateway, headers=LATER)).headers["location"]
        await held.asked.wait()
        await keeper.stop(0)
        (row,) = await in_thread(lambda: list(KeptCall.objects.filter(code="interrupted")))
        keeper._life = type(keeper._life)(gateway.runtime.journal.folder, "node")
        await gateway.runtime.refresh()

    assert first == [("done", "ok")]
    assert (row.state, f"/v1/jobs/{row.request_id}") == ("failed", job)


async def test_unkept_calls_cannot_be_withdrawn(gateway: Gateway) -> None:
    async with Held() as held:
        await held.offered(gateway)
        held.go.set()
        answer = await ask(gateway)
        path = f"/v1/jobs/{answer.headers['x-request-id']}"
        auth = {"authorization": f"Bearer {gateway.key}"}
        withdrawn = await gateway.http.delete(path, headers=auth)
        result = await gateway.get(f"{path}/result")
    assert told(withdrawn) == told(result) == (404, "not_found")
    assert "not kept" in result.json()["detail"]
