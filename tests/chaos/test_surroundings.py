"""What a gateway stands on gives way: the journal's disk, the prober, the clock."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.load import Books, Load
from tests.support.served import ROOT, Served

RATE = 100
HERE = Path(__file__).parent


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system of its own for the journal: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_costs_lines_and_no_call(prepared: Served, small_disk: Path, tmp_path: Path) -> None:
    """Inference goes on; what cannot be written down is counted and said; with room again, all is written."""
    with prepared.copy(tmp_path, BYOCGW_JOURNAL_DIR=str(small_disk)) as gateway:
        ballast = small_disk / "ballast"
        async with Load(gateway, rate=RATE) as load:
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
            await asyncio.sleep(4)
            ballast.unlink()
            await asyncio.sleep(2)
        async with Load(gateway, rate=RATE) as after:
            await asyncio.sleep(1)
        books = await Books.of(gateway, after)

    assert (load.failures, after.failures) == ([], [])
    assert books.lost(after) == set()
    assert books.balanced
    assert 1 <= gateway.log().count("records are being dropped") < RATE  # by change, not by call


async def test_a_stuck_prober_stops_nobody(gateway: Served, lasting: bool) -> None:
    """SIGSTOP while it works, for as long as a lease lasts: calls go on, and so does it when it is let go."""
    before = last_probe(gateway)
    with sqlite3.connect(gateway.database) as rows:
        rows.execute("UPDATE orchestrators_offerhealth SET next_probe_at = NULL")  # all are due
    rows.close()
    command = [sys.executable, "manage.py", "probe_orchestrators", "--loop", "--interval", "1", "--quiet"]
    prober = subprocess.Popen(command, cwd=ROOT, env=gateway.environment, stdout=subprocess.DEVNULL)
    try:
        await until_probed(gateway, before)
        async with Load(gateway, rate=RATE) as load:
            prober.send_signal(signal.SIGSTOP)
            await asyncio.sleep(150 if lasting else 5)
            stuck = last_probe(gateway)
            prober.send_signal(signal.SIGCONT)
            await until_probed(gateway, stuck)
        books = await Books.of(gateway, load)
    finally:
        prober.kill()
        prober.wait()

    assert load.failures == []
    assert books.lost(load) == set()
    assert books.balanced


def last_probe(gateway: Served) -> str:
    return str(gateway.rows("SELECT MAX(probed_at) FROM orchestrators_offerhealth")[0][0])


async def until_probed(gateway: Served, before: str) -> None:
    """A probe of after then is in the database."""
    async with asyncio.timeout(60):
        while last_probe(gateway) <= before:
            await asyncio.sleep(0.2)


async def test_a_clock_that_is_set_changes_nothing(prepared: Served, tmp_path: Path, lasting: bool) -> None:
    """The wall clock of all processes jumps two hours ahead, then four back: no call fails, no key expires, and
    no worker counts as stuck (the master would kill it after a minute)."""
    offset = tmp_path / "offset"
    set_clock(offset, 0)
    with prepared.copy(tmp_path, PYTHONPATH=str(HERE / "set_clock"), CLOCK_OFFSET=str(offset)) as gateway:
        workers = gateway.workers()
        async with Load(gateway, rate=RATE) as load:
            for jump in (7200, -7200):
                set_clock(offset, jump)
                await asyncio.sleep(75 if lasting else 4)
        books = await Books.of(gateway, load)
        hours = gateway.rows("SELECT COUNT(DISTINCT hour) FROM routing_usagehour")[0][0]

        assert gateway.workers() == workers
    assert load.failures == []
    assert hours >= 3  # the jumps were seen, and perhaps a full hour struck
    assert books.lost(load) == set()
    assert books.balanced


def set_clock(offset: Path, seconds: int) -> None:
    written = offset.with_suffix(".new")
    written.write_text(str(seconds))
    os.replace(written, offset)
