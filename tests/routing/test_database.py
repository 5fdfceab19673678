"""A database that is not the one it was: its file away, replaced, or older than the code."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from orchestrators.simulator import SimulatorProcess
from routing.database import SETTLE, DatabaseThread
from tests.support.served import ROOT, Served

RENAME = "UPDATE orchestrators_capability SET slug = 'restored' WHERE slug = 'depth'"
OFFER = {"capability": "depth", "wire_name": "depth"}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def document(simulator: SimulatorProcess) -> dict[str, Any]:
    return {
        "capabilities": [{"slug": "depth", "profile": "per-frame", "price_ceiling": "none"}],
        "orchestrators": [{"name": "alder", "service_uri": simulator.service_uri, "offers": [OFFER]}],
        "clients": [{"name": "acme"}],
    }


def back_up(database: Path, copy: Path, change: str) -> None:
    """A copy in one file of its own, changed."""
    live, taken = sqlite3.connect(database), sqlite3.connect(copy)
    live.backup(taken)
    taken.execute("PRAGMA journal_mode=DELETE")
    taken.execute(change)
    taken.commit()
    live.close()
    taken.close()


async def test_a_file_that_is_away_is_a_database_that_is_away(tmp_path: Path) -> None:
    """SQLite itself would go on reading and writing it, wherever it was moved."""
    file, elsewhere = tmp_path / "a", tmp_path / "b"
    file.touch()
    thread = DatabaseThread("test", file)
    assert await thread.run(lambda: 1) == 1
    file.rename(elsewhere)
    assert await thread.run(lambda: 1) is None
    with pytest.raises(OperationalError, match="cannot be opened"):
        await thread.insist(lambda: 1)
    assert thread.failing
    elsewhere.rename(file)
    assert await thread.run(lambda: 1) == 1
    assert (thread.failing, thread.replaced) == (False, 0)
    await thread.stop()


async def test_a_file_that_was_replaced_is_opened_once_everybody_let_go_of_the_old_one(tmp_path: Path) -> None:
    file, other, clock = tmp_path / "a", tmp_path / "b", Clock()
    file.touch()
    thread = DatabaseThread("test", file, clock)
    assert await thread.run(lambda: 1) == 1
    other.touch()
    other.replace(file)
    assert await thread.run(lambda: 1) is None
    clock.now += SETTLE - 0.1
    assert await thread.run(lambda: 1) is None
    clock.now += 0.2
    assert await thread.run(lambda: 1) == 1
    assert thread.replaced == 1
    await thread.stop()


@pytest.mark.django_db
async def test_who_comes_seldom_keeps_no_connection_to_a_file(tmp_path: Path) -> None:
    """It would hold a file that was replaced, and with it the new one's write-ahead log, until it is back."""

    def used() -> BaseDatabaseWrapper:
        connections["default"].ensure_connection()
        return connections["default"]

    file = tmp_path / "a"
    file.touch()
    cases = ((file, False), (file, True), (None, True))
    threads = [DatabaseThread("test", at, seldom=seldom) for at, seldom in cases]
    kept = [(await thread.insist(used)).connection is not None for thread in threads]
    assert kept == [True, False, True]
    for thread in threads:
        await thread.stop()


async def test_a_database_without_a_file_is_not_looked_for() -> None:
    thread = DatabaseThread("test", None)
    assert await thread.run(lambda: 1) == 1
    await thread.stop()


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the worker through /proc")
def test_a_restored_backup_is_taken_up_without_a_restart(tmp_path: Path) -> None:
    """The file replaced by a backup in which the capability is another: within seconds that is what counts."""
    with (
        SimulatorProcess("--name", "alder", "--capability", "depth:price=10") as simulator,
        Served(tmp_path, document(simulator)) as gateway,
        httpx.Client(base_url=gateway.url, headers=gateway.headers(), trust_env=False) as http,
    ):
        assert http.get("/v1/capabilities/depth").status_code == 200
        backup = tmp_path / "backup"
        back_up(
            gateway.database,
            backup,
            "UPDATE orchestrators_capability SET slug = 'restored' WHERE slug = 'depth'",
        )
        backup.replace(gateway.database)
        for _ in range(100):
            known = http.get("/v1/capabilities/restored").status_code == 200
            if known and http.get("/readyz").json()["checks"]["database"]["reachable"]:
                break
            threading.Event().wait(0.1)
        assert http.post("/v1/capabilities/restored", json={"image": "a picture"}).status_code == 200
        assert http.get("/v1/capabilities/depth").status_code == 404
        assert http.get("/readyz").json()["checks"]["database"]["reachable"]
        said = Counter(re.findall(r"([a-z ]+): the database does not answer", gateway.log()))
        assert max(said.values()) == 1, said  # one line for each thread's change of state
        (worker,) = gateway.workers()
        opened = [os.readlink(each) for each in Path(f"/proc/{worker}/fd").iterdir() if each.is_symlink()]
        assert f"{gateway.database}" in opened
        assert f"{gateway.database} (deleted)" not in opened, "the new one would share its write-ahead log"


@pytest.mark.long
@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_does_not_start_on_a_database_older_than_the_code(tmp_path: Path, workers: str) -> None:
    """The whole server exits, with the migration's name; no worker is started again and again."""
    gateway = Served(tmp_path, {}, WEB_CONCURRENCY=workers)
    gateway.migrate()
    with sqlite3.connect(gateway.database) as database:
        (name,) = database.execute(
            "SELECT name FROM django_migrations WHERE app = 'orchestrators' ORDER BY name DESC LIMIT 1"
        ).fetchone()
        database.execute("DELETE FROM django_migrations WHERE app = 'orchestrators' AND name = ?", [name])
    database.close()
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "python:byocgw.gunicorn", "byocgw.asgi:application"],
        cwd=ROOT,
        env=gateway.environment | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 3
    said = f"cannot start: The database lacks migration orchestrators.{name}: run manage.py migrate."
    assert 1 <= ended.stderr.count(said) <= int(workers)
    assert "Traceback" not in ended.stderr


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the worker through /proc")
def test_a_worker_that_is_killed_while_the_database_is_away_does_not_end_the_server(tmp_path: Path) -> None:
    """Who takes its place waits for the database, and serves as soon as it answers."""
    with (
        SimulatorProcess("--name", "alder", "--capability", "depth:price=10") as simulator,
        Served(tmp_path, document(simulator)) as gateway,
    ):
        away = gateway.database.with_suffix(".away")
        gateway.database.rename(away)
        gateway.kill_worker()
        for _ in range(100):
            if "this worker waits for it" in gateway.log():
                break
            threading.Event().wait(0.1)
        threading.Event().wait(1.0)
        assert gateway.process is not None and gateway.process.poll() is None
        away.rename(gateway.database)
        gateway.wait_until_serving()
        answer = httpx.post(
            f"{gateway.url}/v1/capabilities/depth",
            json={"image": "a picture"},
            headers=gateway.headers(),
            trust_env=False,
        )
        assert answer.status_code == 200
        assert gateway.log().count("this worker waits for it") <= 5  # repeated warnings are thinned
