"""kill -9 at any point: what was acknowledged is in the database once, and nothing is left over.

Run as a program, this file is the nursery: it loads Django once and forks two workers a round, which
append and drain until they are killed, at a random time or at a named point. It uses an SQLite file, or a
new database of the PostgreSQL server that the tests use. `CHAOS=long` (`make chaos`): 300 rounds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection as django_connection

ROOT = Path(__file__).resolve().parents[3]
POINTS = (
    *("rows stored, not committed", "half a line written", "committed, not noticed", "adopted"),
    *("emptied, not unlinked", "unlinked, mark not deleted", "any time", "any time"),
    *("file made, not locked", "closed", "closed without a last drain", "drained, not emptied"),
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """The address of an empty database."""
    address = os.environ.get("DATABASE_URL", "")
    if not address.startswith("postgres"):
        yield f"sqlite:///{tmp_path / 'kill.sqlite3'}"
        return
    import psycopg

    all_of = django_connection.get_connection_params()
    given = {name: all_of[name] for name in ("host", "port", "user", "password") if name in all_of}
    name = f"kill_{os.getpid()}"
    with psycopg.connect(dbname="template1", autocommit=True, **given) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    head, _, tail = address.rpartition("/")
    yield f"{head}/{name}?{tail.partition('?')[2]}"
    with psycopg.connect(dbname="template1", autocommit=True, **given) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def run_nursery(folder: Path, database: str, *, rounds: int, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.routing.journal.test_kill", str(folder), str(rounds), str(seconds)]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "byocgw.settings", "DATABASE_URL": database}
    limit = seconds + 120
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print({name: value for name, value in report.items() if value})
    return report


def check(report: dict[str, Any]) -> None:
    assert report["acknowledged"] > 0
    assert report["lost"] == []
    assert report["counted"] == report["stored"], "a line was applied twice, or in half"
    # A line may have been written whole just before the kill that kept us from saying so.
    assert 0 <= report["stored"] - report["acknowledged"] <= report["workers"]
    assert report["left"] == []
    assert report["marks"] == []


def test_it_applies_each_line_once_over_a_few_kills(tmp_path: Path, database: str) -> None:
    check(run_nursery(tmp_path, database, rounds=3, seconds=60))


@pytest.mark.long
def test_it_applies_each_line_once_over_many_kills(tmp_path: Path, database: str) -> None:
    """300 rounds of two workers take about two minutes; 10 seconds of them are the short form."""
    whole = os.environ.get("CHAOS") == "long"
    report = run_nursery(tmp_path, database, rounds=300, seconds=900 if whole else 10)
    check(report)
    assert report["workers"] >= (600 if whole else 2 * len(POINTS)), "each point was tried"


# --- the nursery ---------------------------------------------------------------------------------


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying(real: Callable[..., Any], dice: random.Random, *, before: bool = False) -> Callable[..., Any]:
    """Do it, and die after (or before) one of the first times."""
    left = dice.randrange(1, 4)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if before and left <= 0:
            die()
        result = real(*args, **kwargs)
        if left <= 0:
            die()
        return result

    return wrapped


def half_writes(dice: random.Random) -> Callable[[int, bytes], int]:
    real, left = os.write, dice.randrange(1, 200)

    def write(fd: int, data: bytes) -> int:
        nonlocal left
        left -= 1
        if left <= 0 and data.endswith(b"}\n"):
            real(fd, data[: dice.randrange(len(data))])
            die()
        return real(fd, data)

    return write


def arm(point: str, dice: random.Random) -> None:
    from routing.journal import segment, store

    Segment = segment.Segment
    if point == "rows stored, not committed":
        store.store = dying(store.store, dice)
    elif point == "committed, not noticed":
        store.drain_batch = dying(store.drain_batch, dice)
    elif point == "drained, not emptied":
        os.ftruncate = dying(os.ftruncate, dice, before=True)
    elif point == "emptied, not unlinked":
        os.ftruncate = dying(os.ftruncate, dice)
    elif point == "unlinked, mark not deleted":
        Segment.remove = dying(Segment.remove, dice)  # type: ignore[method-assign]
    elif point == "file made, not locked":
        Segment._lock = dying(Segment._lock, dice, before=True)  # type: ignore[method-assign]
    elif point == "half a line written":
        os.write = half_writes(dice)
    elif point == "adopted":
        real = Segment.adopt

        def adopt(path: Path) -> Any:
            if found := real(path):
                die()
            return found

        Segment.adopt = adopt  # type: ignore[method-assign,assignment]


def worker(folder: Path, name: str, point: str) -> None:
    """Append, acknowledge, drain, until somebody ends it."""
    from django.db import Error, connection

    from routing.journal import Journal
    from tests.routing.journal.cast import job

    dice = random.Random(name)
    arm(point, dice)
    journal = Journal(folder / "journal", dice.choice(["here", "here-2"]), segment_bytes=6000)
    stop = threading.Event()

    def drain() -> None:
        while not stop.is_set():
            try:
                if not journal.drain():
                    stop.wait(0.003)
            except Error:
                connection.close()
        connection.close()

    drainer = threading.Thread(target=drain, daemon=True)
    drainer.start()
    acks = os.open(folder / f"{name}.acks", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    until = time.monotonic() + (0.1 if point.startswith("closed") else 10)
    number = 0
    while time.monotonic() < until:
        number += 1
        if journal.append(job(f"{name}-{number}")):
            os.write(acks, f"{name}-{number}\n".encode())
        stop.wait(0.0003)
    stop.set()
    drainer.join()
    journal.close(drain=point == "closed")
    connection.close()


def play_round(folder: Path, number: int, dice: random.Random) -> None:
    children = []
    for each in range(2):
        point = POINTS[(2 * number + each) % len(POINTS)]
        pid = os.fork()
        if not pid:
            try:
                worker(folder, f"r{number}w{each}", point)
            finally:
                os._exit(0)
        children.append((pid, 0.3 if point != "any time" else dice.uniform(0.01, 0.25)))
    began = time.monotonic()
    for pid, wait in sorted(children, key=lambda child: child[1]):
        while not (gone := os.waitpid(pid, os.WNOHANG)[0]) and time.monotonic() < began + wait:
            time.sleep(0.002)
        if not gone:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def nursery(folder: Path, *, rounds: int, seconds: float) -> dict[str, Any]:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    connection.close()
    dice = random.Random(7)
    until = time.monotonic() + seconds
    played = 0
    while played < rounds and time.monotonic() < until:
        play_round(folder, played, dice)
        played += 1
    return {**verdict(folder), "workers": 2 * played}


def verdict(folder: Path) -> dict[str, Any]:
    from routing.journal import Journal
    from routing.models import Job, JournalMark, UsageHour

    for node in ("here", "here-2"):
        last = Journal(folder / "journal", node)
        while last.drain():
            pass
        last.close(drain=True)
    acknowledged = {line for file in folder.glob("*.acks") for line in file.read_text().split()}
    stored = set(Job.objects.values_list("request_id", flat=True))
    return {
        "acknowledged": len(acknowledged),
        "stored": len(stored),
        "lost": sorted(acknowledged - stored)[:10],
        "counted": sum(UsageHour.objects.values_list("requests", flat=True)),
        "left": [path.name for path in (folder / "journal").iterdir()],
        "marks": list(JournalMark.objects.values_list("file", flat=True)),
    }


if __name__ == "__main__":
    place, rounds_, seconds_ = sys.argv[1:]
    print(json.dumps(nursery(Path(place), rounds=int(rounds_), seconds=float(seconds_))))
