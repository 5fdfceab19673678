"""The database is locked, moved, replaced, stopped: inference, keys and limits go on from memory."""

from __future__ import annotations

import asyncio
import re
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrators.simulator import SimulatorProcess
from tests.chaos.conftest import document
from tests.chaos.load import Books, Load
from tests.chaos.postgres import Cluster
from tests.chaos.test_restarts import until_replaced
from tests.support.served import Served

RATE = 100


@pytest.fixture
def fault_seconds(lasting: bool) -> float:
    return 30.0 if lasting else 5.0


async def test_it_serves_while_the_database_is_locked(gateway: Served, fault_seconds: float) -> None:
    """BEGIN EXCLUSIVE: not one call fails, and the rows are complete afterwards."""
    async with Load(gateway, rate=RATE) as load:
        with sqlite3.connect(gateway.database, isolation_level=None) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            await asyncio.sleep(fault_seconds)
            connection.execute("ROLLBACK")
        connection.close()
    books = await Books.of(gateway, load)

    assert load.failures == []
    assert books.lost(load) == set()
    assert books.balanced


async def test_it_serves_while_the_database_file_is_away(gateway: Served, fault_seconds: float) -> None:
    """Renamed away, with what SQLite keeps beside it, and back: nobody makes an empty one meanwhile."""
    async with Load(gateway, rate=RATE) as load:
        moved = move(gateway.database, "away")
        await asyncio.sleep(fault_seconds)
        assert not gateway.database.exists()
        for path, away in moved.items():
            away.rename(path)
    books = await Books.of(gateway, load)

    assert load.failures == []
    assert books.lost(load) == set()
    assert books.balanced
    said = Counter(re.findall(r"([a-z ]+): the database does not answer", gateway.log()))
    assert said["journal drain"] and max(said.values()) <= 2  # by each thread, once in each worker


async def test_a_rolling_restart_waits_for_the_database(gateway: Served, lasting: bool) -> None:
    """SIGHUP while it is away: the old workers serve, however often asked to end, until the new ones could."""
    assert gateway.process is not None
    old = set(gateway.workers())
    async with Load(gateway, rate=RATE) as load:
        moved = move(gateway.database, "away")
        gateway.process.send_signal(signal.SIGHUP)
        await asyncio.sleep(45 if lasting else 5)  # gunicorn waits for 30, and then asks every second
        assert old < set(gateway.workers())
        for path, away in moved.items():
            away.rename(path)
        await until_replaced(gateway, old)
    books = await Books.of(gateway, load)

    assert [call for call in load.failures if call.got or call.fresh] == []
    assert books.lost(load) == set()
    assert books.balanced


async def test_it_notices_that_the_database_file_was_replaced(gateway: Served) -> None:
    """A backup takes its place: what was drained in between is in the old file, all the rest in the new one."""
    async with Load(gateway, rate=RATE) as load:
        await asyncio.sleep(1)
        backup = gateway.folder / "backup.sqlite3"
        with sqlite3.connect(gateway.database) as old, sqlite3.connect(backup) as new:
            old.backup(new)
        old.close()
        new.close()
        moved = move(gateway.database, "old")
        backup.rename(gateway.database)
        replaced = time.monotonic()
        await asyncio.sleep(4)
    books = await Books.of(gateway, load, within=10)
    with sqlite3.connect(moved[gateway.database]) as connection:
        kept = {row[0] for row in connection.execute("SELECT request_id FROM routing_job")}
    connection.close()

    # A drain that was at it just then may have read on for a moment; whatever begins later looks at the file.
    late = {call.request_id for call in load.calls if call.at > replaced + 1}
    assert load.failures == []
    assert books.lost(load) <= kept
    assert late and late <= set(books.ids)
    assert books.balanced


def move(database: Path, suffix: str) -> dict[Path, Path]:
    """The file, and what SQLite keeps beside it."""
    beside = [database, *database.parent.glob(f"{database.name}-*")]
    moved = {path: path.with_name(f"{path.name}.{suffix}") for path in beside}
    for path, away in moved.items():
        path.rename(away)
    return moved


# --- PostgreSQL ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as running:
        yield running


async def test_it_serves_while_postgresql_is_stopped(
    cluster: Cluster, fleet: SimulatorProcess, tmp_path: Path, fault_seconds: float
) -> None:
    """Stopped as an administrator does, and in the middle of whatever it was at; started again."""
    served = Served(tmp_path, document(fleet), DATABASE_URL=cluster.url, WEB_CONCURRENCY="2")
    with served as gateway:
        async with Load(gateway, rate=RATE) as load:
            for how in ("fast", "immediate"):
                await asyncio.to_thread(cluster.stop, how)
                await asyncio.sleep(fault_seconds)
                await asyncio.to_thread(cluster.start)
                await asyncio.sleep(2)
        books = await Books.of(gateway, load)

    assert load.failures == []
    assert books.lost(load) == set()
    assert books.balanced


# --- at the start --------------------------------------------------------------------------------


def test_it_does_not_start_on_an_older_schema(prepared: Served, tmp_path: Path) -> None:
    """It ends by itself, not well, and says the migration by name."""
    gateway = prepared.copy(tmp_path)
    with sqlite3.connect(gateway.database) as connection:
        connection.execute("DELETE FROM django_migrations WHERE app = 'routing'")
    connection.close()
    process = gateway.launch()

    # 3, or 1 where gunicorn is told of a second worker that did not start while it stops for the first
    assert process.wait(timeout=60) in (1, 3)
    assert "The database lacks migration routing.0001_initial" in gateway.log()
