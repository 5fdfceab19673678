"""Real processes, really hurt: a locked database, a database file that is away."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrators.simulator import SimulatorProcess
from tests.support.served import Served

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the worker through /proc"),
]
PICTURE = {"image": "a picture"}


def document(*simulators: SimulatorProcess) -> dict[str, Any]:
    return {
        "capabilities": [
            {"slug": "depth", "profile": "per-frame", "price_ceiling": "none", "max_in_flight": 32}
        ],
        "orchestrators": [
            {"name": each.names[0], "service_uri": each.service_uri, "offers": [{"capability": "depth"}]}
            for each in simulators
        ],
        "clients": [{"name": "acme"}],
    }


def alder() -> SimulatorProcess:
    return SimulatorProcess("--name", "alder", "--no-leaks", "--capability", "depth:price=10,capacity=64")


class Traffic:
    """Clients that ask one call after the other until told to stop; what they were answered, and when."""

    def __init__(self, gateway: Served, clients: int) -> None:
        self.gateway = gateway
        self.clients = clients
        self.answered: list[tuple[str, float]] = []
        self.failures: list[str] = []
        self.ended = False

    async def run(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        async with httpx.AsyncClient(
            base_url=self.gateway.url, headers=self.gateway.headers(), timeout=30, trust_env=False
        ) as http:
            asking = [asyncio.create_task(self._ask(http)) for _ in range(self.clients)]
            await meanwhile()
            self.ended = True
            await asyncio.gather(*asking)

    async def _ask(self, http: httpx.AsyncClient) -> None:
        while not self.ended:
            try:
                answer = await http.post("/v1/capabilities/depth", json=PICTURE)
            except httpx.TransportError as exc:
                self.failures.append(repr(exc))
                await asyncio.sleep(0.05)
                continue
            if answer.status_code == 200:
                self.answered.append((answer.headers["x-request-id"], time.monotonic()))
            else:
                self.failures.append(answer.text)
            await asyncio.sleep(0.005)


def journalled(gateway: Served, expected: int) -> list[str]:
    """The request ids in the database, once the drain has caught up (at most 20 s)."""
    ids: list[str] = []
    for _ in range(200):
        ids = [row[0] for row in gateway.rows("SELECT request_id FROM routing_job")]
        if len(ids) >= expected:
            break
        threading.Event().wait(0.1)
    return ids


async def test_it_serves_while_the_database_is_locked(tmp_path: Path) -> None:
    """BEGIN EXCLUSIVE for 10 s: not one inference fails, and the rows are complete afterwards."""
    with alder() as simulator, Served(tmp_path, document(simulator)) as gateway:
        traffic = Traffic(gateway, clients=4)

        async def lock() -> None:
            await asyncio.sleep(0.5)
            connection = sqlite3.connect(gateway.database, isolation_level=None)
            connection.execute("BEGIN EXCLUSIVE")
            await asyncio.sleep(10)
            connection.execute("ROLLBACK")
            connection.close()
            await asyncio.sleep(0.5)

        await traffic.run(lock)
        ids = await asyncio.to_thread(journalled, gateway, len(traffic.answered))

    assert traffic.failures == []
    assert sorted(ids) == sorted(request_id for request_id, _ in traffic.answered)


async def test_it_serves_while_the_database_file_is_away(tmp_path: Path) -> None:
    """The file renamed away for 10 s and restored: not one inference fails, the rows are complete."""
    with alder() as simulator, Served(tmp_path, document(simulator)) as gateway:
        traffic = Traffic(gateway, clients=4)

        async def take_away() -> None:
            await asyncio.sleep(0.5)
            away = gateway.database.with_suffix(".away")
            gateway.database.rename(away)
            await asyncio.sleep(10)
            assert not gateway.database.exists()  # nobody made an empty new one
            away.rename(gateway.database)
            await asyncio.sleep(0.5)

        await traffic.run(take_away)
        ids = await asyncio.to_thread(journalled, gateway, len(traffic.answered))

    assert traffic.failures == []
    assert sorted(ids) == sorted(request_id for request_id, _ in traffic.answered)
