"""A tier's limits under fire: never one call too many, and every answer says what is left."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest
from django.db.models import Sum

from orchestrators.simulator import Container, Simulator
from routing import allowances, runtime
from routing.models import UsageHour
from routing.purses import Purses
from tests.routing.inference.scenes import DEPTH, PICTURE, ask, depth_by, orchestrator
from tests.support.gateway import Gateway, in_thread


def tier(**limits: Any) -> dict[str, Any]:
    return {"tiers": [{"slug": "small", **limits}], "clients": [{"name": "acme", "tier": "small"}]}


async def storm(gateway: Gateway, calls: int, clients: int = 200) -> list[httpx.Response]:
    """So many calls by so many clients at once. Ten share a pool: httpx's is slow with many connections."""

    async def ten(number: int) -> list[httpx.Response]:
        async with httpx.AsyncClient(
            timeout=60, trust_env=False, limits=httpx.Limits(max_connections=10)
        ) as http:
            return await asyncio.gather(
                *(http.post(url, json=PICTURE, headers=headers) for _ in range(number, calls, clients // 10))
            )

    url = f"{gateway.url}/v1/capabilities/depth"
    headers = {"authorization": f"Bearer {gateway.key}"}
    answers = await asyncio.gather(*(ten(number) for number in range(clients // 10)))
    return [answer for each in answers for answer in each]


def counted(answers: list[httpx.Response]) -> Counter[str]:
    return Counter(each.json().get("code", "ok") for each in answers)


async def test_a_rate_admits_its_burst_of_200_at_once(gateway: Gateway) -> None:
    async with Simulator("alder", capabilities=[Container("depth", price=9, capacity=256)]) as alder:
        await depth_by(gateway, alder, max_in_flight=256)
        await gateway.apply(tier(requests_per_minute=50, burst=50))
        began = asyncio.get_running_loop().time()
        answers = await storm(gateway, 200)

        took = asyncio.get_running_loop().time() - began

    # should the storm take longer than the pace of one call, the pace lets more in: one in 1.2 s
    assert 50 <= counted(answers)["ok"] <= 50 + took // 1.2 + 1
    assert set(counted(answers)) == {"ok", "rate_limited"}
    for each in answers:
        assert each.headers["ratelimit-limit"] == "50"
        assert (each.headers["ratelimit-remaining"] == "0") or each.status_code == 200
        assert 0 <= int(each.headers["ratelimit-reset"]) <= 60


async def test_calls_at_once_are_never_one_too_many(gateway: Gateway) -> None:
    async with Simulator(
        "alder", capabilities=[Container("depth", price=9, latency=0.05, capacity=256)]
    ) as alder:
        await depth_by(gateway, alder, max_in_flight=256)
        await gateway.apply(tier(max_in_flight=5))
        most, done = 0, asyncio.Event()

        async def watch() -> None:
            nonlocal most
            while not done.is_set():
                most = max(most, alder["depth"].in_flight)
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        answers = await storm(gateway, 200)
        done.set()
        await watching

    assert most <= 5
    assert counted(answers)["ok"] >= 5
    assert set(counted(answers)) == {"ok", "rate_limited"}
    assert not gateway.runtime.allowances.in_flight


async def depth_with_budget(gateway: Gateway, alder: Simulator, budget: str, **offer: int) -> None:
    document = {
        "capabilities": [DEPTH | {"price_ceiling": "3 wei/request"}],
        "orchestrators": [orchestrator(alder, {"capability": "depth", "price": "3 wei/request", **offer})],
    }
    await gateway.apply(document | tier(daily_budget=budget))
    await gateway.probe()


async def test_a_budget_of_1000_calls_buys_1000_calls(gateway: Gateway) -> None:
    """And the totals say so to the wei."""
    async with Simulator("alder", protocol="direct", capabilities=[Container("depth", capacity=256)]) as alder:
        await depth_with_budget(gateway, alder, "3000 wei", max_in_flight=256)
        answers = await storm(gateway, 1200)
        late = await ask(gateway)
        await gateway.drained()

    assert counted(answers) == {"ok": 1000, "budget_spent": 200}
    assert (late.status_code, late.json()["code"]) == (429, "budget_spent")
    assert int(late.headers["retry-after"]) >= 1
    assert await in_thread(lambda: UsageHour.objects.aggregate(wei=Sum("wei"))["wei"]) == 3000


async def test_in_a_rolling_restart_calls_wait_for_their_budget(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the worker that has it lets no more calls begin; those it serves. Both spend the same budget."""
    monkeypatch.setattr(runtime, "HAND_OVER_AFTER", 0.3)
    async with Simulator("alder", protocol="direct", capabilities=[Container("depth")]) as alder:
        await depth_with_budget(gateway, alder, "9 wei")
        async with Gateway() as successor:
            successor.key = gateway.key
            waiting = asyncio.create_task(ask(successor))
            while not successor.runtime.in_flight:
                await asyncio.sleep(0.01)
            gateway.runtime.drain_begins()
            answers = [await ask(gateway), await ask(gateway)]
            assert not waiting.done()
            answers += [await waiting, await ask(successor), await ask(gateway)]

    assert [each.status_code for each in answers] == [200, 200, 200, 429, 429]
    assert "has 0 wei left of 9 wei" in answers[3].json()["detail"]
    assert "is being handed over" in answers[4].json()["detail"]


async def test_a_disk_that_refuses_budgets_costs_nobody_else_anything(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Policy comes, and who has no budget is served; the others are, once the disk does not refuse."""
    monkeypatch.setattr(runtime, "HAND_OVER_AFTER", 0)
    monkeypatch.setattr(allowances, "HANDED_OVER_WITHIN", 0.2)
    is_full, claim = False, Purses.claim

    def claim_or_refuse(self: Purses, periods: frozenset[str]) -> bool:
        if is_full:
            raise OSError("no space left on device")
        return claim(self, periods)

    async with Simulator("alder", protocol="direct", capabilities=[Container("depth")]) as alder:
        await depth_with_budget(gateway, alder, "9 wei")
        monkeypatch.setattr(Purses, "claim", claim_or_refuse)
        async with Gateway() as successor:
            successor.key = gateway.key
            is_full = True
            gateway.runtime.drain_begins()
            refused = await ask(successor)
            await successor.apply(tier(daily_budget=None))
            free = await ask(successor)
            await successor.apply(tier(daily_budget="9 wei"))
            is_full = False
            monkeypatch.setattr(allowances, "HANDED_OVER_WITHIN", 30.0)
            again = await ask(successor)

    assert (refused.status_code, "is being handed over" in refused.json()["detail"]) == (429, True)
    assert (free.status_code, again.status_code) == (200, 200)
