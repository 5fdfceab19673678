"""Two workers, and what must hold for both together: limits, keys that are used once, jobs that end.

Counted at the orchestrator. All share one gateway, whose workers are killed and replaced.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from orchestrators.simulator import Container, Simulator
from tests.chaos.asking import Told, ask
from tests.chaos.test_restarts import until_replaced
from tests.support.served import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIENTS = 200
LIMITS: dict[str, dict[str, Any]] = {
    "paced": {"requests_per_minute": 50, "burst": 50},
    "seated": {"max_in_flight": 5},
    "spender": {"daily_budget": "3000 wei"},
    "saver": {"daily_budget": "1 eth"},
}
QUICK, LONG = "/v1/capabilities/quick", "/v1/capabilities/long"
ISSUE = """
from django.utils import timezone
from routing.models import ApiKey, Client
for name in {names}:
    key, secret = ApiKey.issue(Client.objects.get(name=name), now=timezone.now())
    key.save()
    print(secret)
"""


@dataclass
class Stage:
    gateway: Served
    alder: Simulator
    keys: dict[str, str]

    async def both_serve(self) -> None:
        """A worker counts from its first second on, and no longer once it is dead."""
        async with asyncio.timeout(60):
            while b"\nbyocgw_workers 2.0\n" not in (await ask(self.gateway, "/metrics", method="GET")).body:
                await asyncio.sleep(0.1)


def document(alder: Simulator) -> dict[str, object]:
    slugs = ("quick", "long")
    terms = {"price": "3 wei/request", "max_in_flight": 512}
    offers = [{"capability": slug, "path": slug, **terms} for slug in slugs]
    return {
        "capabilities": [{"slug": slug, "profile": "warm", "price_ceiling": "none"} for slug in slugs],
        "orchestrators": [
            {"name": "alder", "service_uri": alder.service_uri, "protocol": "direct", "offers": offers}
        ],
        "tiers": [{"slug": name, **limits} for name, limits in LIMITS.items()],
        "clients": [{"name": "acme"}, *({"name": name, "tier": name} for name in LIMITS)],
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    containers = [
        Container("quick", kind="depth", capacity=512, latency=0.05),
        Container("long", kind="depth", capacity=512, latency=3.0),  # who withdraws one has as long
    ]
    async with Simulator("alder", protocol="direct", capabilities=containers, keep_jobs=100_000) as alder:
        gateway = Served(tmp_path_factory.mktemp("two"), document(alder), WEB_CONCURRENCY="2")
        await asyncio.to_thread(gateway.prepare)
        issued = await asyncio.to_thread(
            gateway.manage, "shell", "-v", "0", "-c", ISSUE.format(names=[*LIMITS])
        )
        await asyncio.to_thread(gateway.start)
        try:
            stage = Stage(gateway, alder, dict(zip(LIMITS, issued.split(), strict=True)))
            await stage.both_serve()
            yield stage
        finally:
            await asyncio.to_thread(gateway.stop)


# --- limits: each worker has a share ------------------------------------------------------------------


async def storm(stage: Stage, client: str, calls: int) -> Counter[str]:
    """So many calls with one key, by 200 clients at once."""

    async def one(number: int) -> list[str]:
        asked = [await ask(stage.gateway, QUICK, key=stage.keys[client]) for _ in range(number, calls, CLIENTS)]
        return [told.code for told in asked]

    told = await asyncio.gather(*(one(number) for number in range(CLIENTS)))
    return Counter(each for answers in told for each in answers)


async def test_a_rate_of_50_a_minute_is_never_exceeded(stage: Stage) -> None:
    before, began = stage.alder.calls["quick"], time.monotonic()
    told = await storm(stage, "paced", 1000)
    took = time.monotonic() - began

    assert set(told) == {"200", "rate_limited"}
    assert told["200"] == stage.alder.calls["quick"] - before
    assert 25 <= told["200"] <= 50 + took / 1.2 + 1  # at its pace, one more each 1.2 s


async def test_5_calls_at_once_are_never_6(stage: Stage) -> None:
    most, done = 0, asyncio.Event()

    async def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, stage.alder["quick"].in_flight)
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    told = await storm(stage, "seated", 1000)
    done.set()
    await watching

    assert set(told) == {"200", "rate_limited"}
    assert 2 <= most <= 5


async def test_a_budget_of_1000_calls_buys_1000_calls(stage: Stage) -> None:
    """However they fall on the workers: served while one has something left. The books say so to the wei."""
    before, told = stage.alder.calls["quick"], Counter[str]()
    while told["200"] < 1000 and told.total() < 20_000:
        told += await storm(stage, "spender", 600)
    late = await storm(stage, "spender", 200)
    sums = "SELECT requests, wei FROM routing_usagehour WHERE client = 'spender'"
    async with asyncio.timeout(30):
        while sum(row[0] for row in stage.gateway.rows(sums)) != told.total() + late.total():
            await asyncio.sleep(0.2)

    assert (told["200"], set(told), set(late)) == (1000, {"200", "budget_spent"}, {"budget_spent"})
    assert stage.alder.calls["quick"] - before == 1000
    assert sum(int(row[1]) for row in stage.gateway.rows(sums)) == 3000


async def test_a_budget_is_there_all_through_a_rolling_restart(stage: Stage) -> None:
    """SIGHUP while four clients that have one call without a pause: none is refused."""
    gateway, told, done = stage.gateway, Counter[str](), asyncio.Event()

    async def one() -> None:
        while not done.is_set():
            told[(await ask(gateway, QUICK, key=stage.keys["saver"])).code] += 1

    clients = [asyncio.create_task(one()) for _ in range(4)]
    assert gateway.process is not None
    old = set(gateway.workers())
    gateway.process.send_signal(signal.SIGHUP)
    await until_replaced(gateway, old)
    since = told.total()
    while told.total() < since + 20:
        await asyncio.sleep(0.05)
    done.set()
    await asyncio.gather(*clients)
    await stage.both_serve()

    assert set(told) == {"200"}


# --- keys: one execution each -------------------------------------------------------------------------

COPIES = 4
AT_ONCE = 64  # requests
KILLS = 3


class Fire:
    """Every key asked so many times at once, and a worker killed each time another share of it is over."""

    def __init__(self, gateway: Served, keys: list[str]) -> None:
        self.gateway, self.keys = gateway, keys
        self.told: defaultdict[str, list[Told]] = defaultdict(list)
        self._seats = asyncio.Semaphore(AT_ONCE)
        self._over = 0

    async def burn(self) -> None:
        kills = asyncio.create_task(self._kill())
        await asyncio.gather(*(self._one(key) for key in self.keys for _ in range(COPIES)))
        await kills

    async def _one(self, key: str) -> None:
        async with self._seats:
            self.told[key].append(await ask(self.gateway, QUICK, image=key, idempotency_key=key))
        self._over += 1

    async def _kill(self) -> None:
        for number in range(1, KILLS + 1):
            while self._over < len(self.keys) * COPIES * number / (KILLS + 1):
                await asyncio.sleep(0.005)
            self.gateway.kill_worker()

    async def once_more(self, key: str) -> Told:
        """As a client does that was not answered: again, until it is told what became of it."""
        until = time.monotonic() + 60
        while True:
            told = await ask(self.gateway, QUICK, image=key, idempotency_key=key)
            if (told.status and told.code != "under_way") or time.monotonic() > until:
                return told
            await asyncio.sleep(0.5)


async def test_nothing_is_run_twice_under_fire(stage: Stage, lasting: bool) -> None:
    """500 keys, four at once (`make chaos`), and `kill -9`: one execution each, or 409 and why."""
    keys = [f"key-{number}" for number in range(500 if lasting else 100)]
    stage.alder.jobs.clear()
    fire = Fire(stage.gateway, keys)
    await fire.burn()
    last = [await fire.once_more(key) for key in keys]
    rows = stage.gateway.rows("SELECT state, code FROM routing_keptcall WHERE key LIKE 'key-%'")
    runs = Counter(json.loads(job.body)["image"] for job in stage.alder.jobs)

    codes = Counter(told.code for each in fire.told.values() for told in each)
    print(f"\n{len(keys)} keys x {COPIES}, {KILLS} kills: {dict(codes)}; rows {dict(Counter(rows))}")
    assert set(runs) <= set(keys)
    assert set(runs.values()) == {1}
    assert set(codes) <= {"200", "0", "under_way", "outcome_unknown"}
    assert {state for state, _ in rows} <= {"done", "failed"}
    for key, told in zip(keys, last, strict=True):
        served = [each for each in (*fire.told[key], told) if each.status == 200]
        assert served or told.code == "outcome_unknown", told
        assert runs[key] == 1 or not served
        assert len({(each.body, each.headers["x-request-id"]) for each in served}) <= 1


# --- jobs: either worker tells of each, and none is running for ever ----------------------------------


async def accepted(gateway: Served) -> str:
    """The job's path."""
    told = await ask(gateway, LONG, prefer="respond-async")
    assert told.status == 202, told
    return told.headers["location"]


async def over(gateway: Served, job: str) -> dict[str, object]:
    """The job, once it is over, as whichever worker tells it."""
    async with asyncio.timeout(30):
        while True:
            told = await ask(gateway, job, method="GET")
            if told.status == 200 and told.document["state"] not in ("queued", "running"):
                return told.document
            await asyncio.sleep(0.1)


async def test_jobs_end_whatever_becomes_of_their_worker(stage: Stage) -> None:
    """Polled and withdrawn at either; one worker is killed in the middle of them."""
    gateway = stage.gateway
    await stage.both_serve()
    jobs = [await accepted(gateway) for _ in range(16)]
    withdrawn = await ask(gateway, jobs[-1], method="DELETE")
    early = [(await ask(gateway, job, method="GET")).document["state"] for job in jobs for _ in range(4)]
    cancelled = await over(gateway, jobs.pop())
    gateway.kill_worker()
    ended = [await over(gateway, job) for job in jobs]
    results = [await ask(gateway, f"{job}/result", method="GET") for job in jobs]

    assert (withdrawn.status, cancelled["state"], cancelled["code"]) == (202, "cancelled", "cancelled")
    assert set(early) <= {"queued", "running", "done", "cancelled"}
    told = {("done", "ok"): "200", ("failed", "interrupted"): "outcome_unknown"}
    for each, result in zip(ended, results, strict=True):
        assert result.code == told[str(each["state"]), str(each["code"])]


async def test_a_stop_finishes_jobs(stage: Stage) -> None:
    """SIGTERM: those whose time allows it, that is. The last test here: it leaves no gateway."""
    await stage.both_serve()
    jobs = [await accepted(stage.gateway) for _ in range(8)]
    await asyncio.to_thread(stage.gateway.stop)
    rows = dict(stage.gateway.rows("SELECT request_id, state FROM routing_keptcall"))

    assert [rows[job.removeprefix("/v1/jobs/")] for job in jobs] == ["done"] * 8
