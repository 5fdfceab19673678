"""The parts of one request, each alone: `make microbench`. No sockets but the transport's.

pytest collects no file of this name by itself. CPU of one call; compare medians of runs on one machine.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from orchestrators.core.classify import Answered, Setting, classify
from orchestrators.core.contract import Contract
from orchestrators.upstream.base import Call, Target
from orchestrators.upstream.registry import Upstreams
from orchestrators.upstream.transport import Pool
from routing.api.door import Door
from routing.configuration import apply
from routing.journal import AttemptRecord, JobRecord, Journal
from routing.models import ApiKey, Client
from routing.runtime import Runtime
from tests.benchmarks.bench.load import REQUEST
from tests.benchmarks.bench.stage import SLUG, configuration
from tests.benchmarks.bench.upstream import ANSWER, SCHEMA
from tests.benchmarks.decision import START, decided, lane_of, lived

CALLS = 200  # of a coroutine in one round: its loop's start and end then cost nothing


@pytest.mark.parametrize("offers", [5, 10, 100])
def test_view_sift_rank_decide(benchmark: BenchmarkFixture, offers: int) -> None:
    dice = random.Random(offers)
    lane = lane_of(offers)
    board = lived(lane, dice)
    benchmark(decided, lane, board, dice, START)


def test_contract(benchmark: BenchmarkFixture) -> None:
    answered = Answered(200, {"content-type": "application/json"}, ANSWER, True, 0.1)
    contract = Contract.of(["application/json"], SCHEMA)
    setting = Setting("byoc", contract, path_known=True, cold_over=inf)
    assert benchmark(classify, answered, setting).is_success


def test_journal_line(benchmark: BenchmarkFixture, tmp_path: Path, db: None) -> None:
    journal = Journal(tmp_path, "bench")
    attempt = AttemptRecord(START, "node-1", "ok", 200, 5, False, True, "")
    record = JobRecord(
        request_id="0" * 32,
        at=START,
        client="acme",
        capability=SLUG,
        worker_path="now",
        code="ok",
        status=200,
        orchestrator="node-1",
        ms=5,
        bytes_in=1000,
        bytes_out=1000,
        wei=100,
        policy=1,
        decision={},
        attempts=(attempt,),
    )
    assert benchmark(journal.append, record)
    journal.close()


def repeated(once: Callable[[], Awaitable[Any]]) -> Callable[[], Coroutine[Any, Any, None]]:
    async def times() -> None:
        for _ in range(CALLS):
            await once()

    return times


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


def test_transport_x200(benchmark: BenchmarkFixture, runner: asyncio.Runner) -> None:
    """200 requests on one kept connection, the answering side's few microseconds in it."""
    from tests.benchmarks.bench.upstream import Connection

    async def serve() -> tuple[asyncio.Server, Pool, int]:
        server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
        return server, Pool(), server.sockets[0].getsockname()[1]

    server, pool, port = runner.run(serve())
    target = Target(f"http://127.0.0.1:{port}", "byoc", SLUG)
    upstream = Upstreams(pool, "0x" + "0" * 40)["byoc"]
    call = Call("0" * 32, b"now", "application/json", REQUEST, 5.0)

    async def once() -> None:
        reply = await upstream.send(target, call)
        async for _ in reply.chunks():
            pass
        await reply.aclose()

    benchmark(lambda: runner.run(repeated(once)()))

    async def end() -> None:
        await pool.aclose()
        server.close()

    runner.run(end())


class Replies:
    """An orchestrator without a wire."""

    status, length, complete = 200, len(ANSWER), True
    headers = {"content-type": "application/json"}

    def __getitem__(self, protocol: str) -> Replies:
        return self

    async def send(self, target: Target, call: Call) -> Replies:
        return self

    async def chunks(self) -> AsyncIterator[bytes]:
        yield ANSWER

    def at_hand(self) -> bytes:
        return ANSWER

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.chunks()])

    async def aclose(self) -> None:
        pass


def test_door_to_answer_x200(
    benchmark: BenchmarkFixture, runner: asyncio.Runner, settings: Any, tmp_path: Path, shipped: None
) -> None:
    """All that 200 requests cost between server and transport: key, limits, choice, contract, books."""
    from django.utils import timezone

    settings.BYOCGW_JOURNAL_DIR = tmp_path
    document = configuration([9001, 9002, 9003, 9004, 9005])
    for node in document["orchestrators"]:
        node["protocol"] = "direct"
        node["offers"][0]["price"] = "100 wei/second"
    assert not apply(document, who="bench", why="bench").errors
    key, secret = ApiKey.issue(Client.objects.get(name="acme"), now=timezone.now())
    key.save()
    runtime = Runtime()
    runner.run(runtime.start())
    runtime.service._upstreams = Replies()  # type: ignore[assignment]
    door = Door(runtime)
    path = f"/v1/capabilities/{SLUG}/now"
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "headers": [
            (b"host", b"bench"),
            (b"authorization", f"Bearer {secret}".encode()),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(REQUEST)),
        ],
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": REQUEST, "more_body": False}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    async def once() -> None:
        sent.clear()
        await door(dict(scope), receive, send)

    benchmark(lambda: runner.run(repeated(once)()))
    assert sent[0]["status"] == 200
    runner.run(runtime.stop())
