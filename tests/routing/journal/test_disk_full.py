"""A full disk costs records, which are counted and told of once, and nothing else; room again is noticed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from routing.journal import Journal, State
from tests.routing.journal.cast import MakeJournal, counted, drain, files, job, stored

pytestmark = pytest.mark.django_db

ROOM = 256 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 256 KiB."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def fill(journal: Journal) -> int:
    """Append until the disk is full, and then ten more; how many were written."""
    written = 0
    while journal.append(job(f"job-{written:05}")):
        written += 1
    for number in range(9):
        assert not journal.append(job(f"lost-{number}"))
    return written


def test_it_counts_what_a_full_disk_drops_and_sees_room_again_without_traffic(
    small_disk: Path, open_journal: MakeJournal, caplog: pytest.LogCaptureFixture
) -> None:
    """The record is lost, the call is not."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (ROOM // 2))
    journal = open_journal()
    written = fill(journal)
    assert (journal.state, journal.dropped) == (State.DROPPING, 10)
    assert journal.backlog > 0

    ballast.unlink()
    drain(journal)
    drain(journal)
    assert journal.state is State.WRITING
    assert journal.append(job("later"))
    drain(journal)
    assert len(stored()) == counted() == written + 1
    assert (journal.rejected, journal.backlog) == (0, 0)
    said = [record.levelname for record in caplog.records if record.name == "routing.journal.writer"]
    assert said == ["ERROR", "WARNING"]


def test_it_makes_room_by_removing_what_is_drained(small_disk: Path, open_journal: MakeJournal) -> None:
    """The journal alone filled its disk, without ever reaching the size at which a file is followed."""
    journal = open_journal()
    written = fill(journal)
    (full,) = files(small_disk)
    for _ in range(3):
        drain(journal)
    assert journal.state is State.WRITING
    assert not full.exists()
    assert journal.append(job("later"))
    drain(journal)
    assert len(stored()) == counted() == written + 1


def test_it_starts_on_a_full_disk(small_disk: Path, open_journal: MakeJournal) -> None:
    ballast = small_disk / "ballast"
    with pytest.raises(OSError):
        ballast.write_bytes(b"x" * 2 * ROOM)
    journal = open_journal()
    assert journal.state is State.DROPPING
    assert not journal.append(job("lost"))
    assert journal.recall("lost") == job("lost")  # its client is answered all the same, and may ask
    ballast.unlink()
    assert journal.append(job("kept"))
    assert journal.state is State.WRITING
    drain(journal)
    assert stored() == ["kept"]
