"""The books: a job's rows tell what happened, what it cost, and whom to blame; refusals count too."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone

from orchestrators.simulator import Container, Simulator
from routing.core.refusal import STATUS, Code
from routing.models import Attempt, Client, Job, Tier, UsageHour
from tests.routing.inference.scenes import PICTURE, ask, depth_by, only_cheapest_first, orchestrator
from tests.support.gateway import Gateway, in_thread


async def jobs() -> list[Job]:
    return await in_thread(lambda: list(Job.objects.order_by("at")))


async def test_it_tells_the_story_of_a_failover(gateway: Gateway) -> None:
    """R67: two attempts with class, time and blame; the cost is that of the offer that served."""
    only_cheapest_first(gateway)
    began = timezone.now()
    async with (
        Simulator("cedar", capabilities=[Container("depth", price=11)]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=777)]) as alder,
    ):
        await depth_by(gateway, cedar, alder, profile="warm")
        cedar.fault("depth", "gpu_oom")
        answer = await gateway.post("/v1/capabilities/depth/some/path", json=PICTURE)
        await gateway.drained()

    [job] = await jobs()
    told = (job.request_id, job.client, job.capability, job.worker_path, job.code, job.status, job.orchestrator)
    expected = (answer.headers["x-request-id"], "acme", "depth", "some/path", "ok", 200, "alder")
    assert told == expected
    assert (job.attempts_made, job.wei) == (2, 777)
    assert (job.bytes_in, job.bytes_out) == (len(answer.request.content), len(answer.content))
    assert job.policy == gateway.runtime.table.revision
    assert began <= job.at <= timezone.now()
    first, second = await in_thread(lambda: list(job.attempts.order_by("number")))
    assert (first.orchestrator, first.outcome, first.status, first.held_against) == (
        "cedar",
        "gpu_oom",
        500,
        True,
    )
    assert (second.orchestrator, second.outcome, second.status) == ("alder", "ok", 200)
    assert (first.number, second.number, first.capability) == (1, 2, "depth")
    assert job.at - timedelta(milliseconds=1) <= first.at <= second.at
    assert first.ms + second.ms <= job.ms + 2
    assert "out of memory" in first.detail


async def test_it_says_who_was_not_to_blame(gateway: Gateway) -> None:
    """What two containers agree on is not held against them; it costs nothing, and fails the request."""
    async with (
        Simulator("alder", capabilities=[Container("depth", price=5, fault="server_error")]) as alder,
        Simulator("birch", capabilities=[Container("depth", price=5, fault="server_error")]) as birch,
    ):
        await depth_by(gateway, alder, birch)
        await ask(gateway)
        await gateway.drained()

    [job] = await jobs()
    assert (job.code, job.status, job.wei, job.orchestrator) == ("exhausted", 502, 0, "")
    rows = await in_thread(lambda: list(Attempt.objects.values_list("outcome", "held_against")))
    assert rows == [("upstream_error", False)] * 2


@pytest.mark.parametrize(
    ("price", "latency", "wei"),
    [
        ("7 wei/second", 0.0, 7),
        ("7 wei/second", 1.1, 14),
        ("1/3 wei/second", 0.0, 1),
        ("1000000 wei/pixel", 0.0, 0),
        ("5 wei/request", 1.1, 5),
        ("0 wei/second", 0.0, 0),
        ("123456789.012345678 gwei/second", 0.0, 123456789012345678),
    ],
)
async def test_it_books_the_cost_in_wei(gateway: Gateway, price: str, latency: float, wei: int) -> None:
    """Begun seconds, whole wei, rounded up, exact at any size; pixels are the orchestrator's to count."""
    alder = Simulator("alder", capabilities=[Container("depth", latency=latency)], protocol="direct")
    async with alder:
        await gateway.apply(
            {
                "capabilities": [{"slug": "depth", "profile": "warm", "price_ceiling": "none"}],
                "orchestrators": [orchestrator(alder, {"capability": "depth", "price": price})],
            }
        )
        assert (await ask(gateway)).status_code == 200
        await gateway.drained()

    [job] = await jobs()
    usage = await in_thread(UsageHour.objects.get)
    assert (int(job.wei), int(usage.wei)) == (wei, wei)


async def test_it_sums_up_by_the_hour(gateway: Gateway) -> None:
    """R11: the sums of an hour are those of its jobs."""
    async with Simulator("alder", capabilities=[Container("depth", price=9)]) as alder:
        await depth_by(gateway, alder)
        for _ in range(4):
            await ask(gateway)
        await gateway.post("/v1/capabilities/depth", json={"picture": 1})
        alder.fault("depth", "gpu_oom")
        await ask(gateway)
        await gateway.drained()

    sums = {name: Sum(name) for name in ("bytes_in", "bytes_out", "wei")}
    of_jobs = await in_thread(lambda: Job.objects.aggregate(milliseconds=Sum("ms"), **sums))
    of_hours = await in_thread(lambda: UsageHour.objects.aggregate(milliseconds=Sum("milliseconds"), **sums))
    counts = await in_thread(lambda: UsageHour.objects.aggregate(all=Sum("requests"), bad=Sum("failures")))
    assert of_hours == of_jobs
    assert counts == {"all": 6, "bad": 1}
    assert [job.code for job in await jobs()] == ["ok"] * 4 + ["client_error", "exhausted"]


async def test_it_keeps_wei_exact_beyond_what_a_float_holds(gateway: Gateway) -> None:
    """Sums of an hour stay exact to the last wei."""
    price = 123_456_789_012_345_679
    async with Simulator("alder", capabilities=[Container("depth", price=price)]) as alder:
        await depth_by(gateway, alder, price_ceiling="none")
        for _ in range(3):
            await ask(gateway)
        await gateway.drained()

    found = [job.wei for job in await jobs()]
    assert [int(wei) % price for wei in found] == [0] * 3
    assert (await in_thread(UsageHour.objects.get)).wei == sum(found)


REFUSED: dict[str, tuple[Code, dict[str, Any]]] = {
    "no such capability": (Code.NO_SUCH_CAPABILITY, {"url": "/v1/capabilities/weather"}),
    "not allowed": (Code.CAPABILITY_NOT_ALLOWED, {"url": "/v1/capabilities/pose"}),
    "no job header": (Code.BAD_JOB_HEADER, {"url": "/process/request/"}),
    "streams": (Code.NOT_IMPLEMENTED, {"url": "/process/stream/start"}),
    "nobody there": (Code.NONE_AVAILABLE, {"url": "/v1/capabilities/depth"}),
}


async def test_it_counts_refusals_of_known_clients_only(gateway: Gateway) -> None:
    """Each refusal of a client is one job without an attempt; strangers leave no trace."""
    await gateway.apply({"clients": [{"name": "acme", "capabilities": ["depth"]}]})
    answers = {}
    for name, (_, request) in REFUSED.items():
        answers[name] = await gateway.post(request["url"], json=PICTURE)
    too_large = await gateway.post("/v1/capabilities/depth", content=b"x" * (gateway.runtime.max_body + 1))
    for headers in ({"authorization": ""}, {"authorization": "Bearer byoc_wrong"}):
        stranger = await gateway.post("/v1/capabilities/depth", json=PICTURE, headers=headers)
        assert stranger.status_code == 401
    await gateway.drained()

    codes = {name: answer.json()["code"] for name, answer in answers.items()}
    assert codes == {name: code.value for name, (code, _) in REFUSED.items()}
    expected = [(code.value, STATUS[code], 0, "acme") for code, _ in REFUSED.values()]
    expected.append(("body_too_large", 413, 0, "acme"))
    assert too_large.status_code == 413
    rows = [(job.code, job.status, job.attempts_made, job.client) for job in await jobs()]
    assert rows == expected
    requests = await in_thread(lambda: UsageHour.objects.aggregate(all=Sum("requests"))["all"])
    assert requests == len(expected)


async def test_it_counts_what_a_limit_refused(gateway: Gateway) -> None:
    """429 is a refusal like the others."""

    def limit() -> None:
        tier = Tier.objects.create(slug="small", requests_per_minute=1, burst=1)
        Client.objects.update(tier=tier)

    await in_thread(limit)
    await gateway.runtime.refresh()
    async with Simulator("alder", capabilities=[Container("depth", price=9)]) as alder:
        await depth_by(gateway, alder)
        statuses = [(await ask(gateway)).status_code for _ in range(3)]
        await gateway.drained()

    assert statuses == [200, 429, 429]
    assert [(job.code, job.status) for job in await jobs()] == [
        ("ok", 200),
        ("rate_limited", 429),
        ("rate_limited", 429),
    ]
