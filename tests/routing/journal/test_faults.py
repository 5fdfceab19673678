"""Damage, poison, a full disk, and a database that is away."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import Error, OperationalError, connection

from routing.journal import Journal
from routing.journal.records import line_of, record_of
from routing.journal.sample import Sample
from routing.journal.segment import Segment
from routing.journal.store import BATCH, drain_batch, finish
from routing.models import Job, JournalMark
from tests.routing.journal.cast import (
    MakeJournal,
    counted,
    drain,
    files,
    job,
    stored,
)

pytestmark = pytest.mark.django_db


def test_it_passes_over_a_torn_line_at_the_end_of_a_dead_file(
    open_journal: MakeJournal, tmp_path: Path
) -> None:
    dead = open_journal()
    dead.append(job("whole"))
    dead.close()
    (path,) = files(tmp_path)
    with path.open("ab") as file:
        file.write(line_of(job("torn"))[:100])
    successor = open_journal()
    drain(successor)
    assert stored() == ["whole"]
    assert successor.rejected == 0
    assert not path.exists()


def test_it_sets_damaged_lines_aside(open_journal: MakeJournal, tmp_path: Path) -> None:
    dead = open_journal()
    for name in ("a", "bad", "c"):
        dead.append(job(name))
    dead.close()
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"bad"', b'"BAD"') + b"\0" * (BATCH + 10))
    with path.open("ab") as file:
        file.write(b"\n" + line_of(job("d")))
    successor = open_journal()
    drain(successor)
    assert stored() == ["a", "c", "d"]
    assert counted() == 3
    assert successor.rejected >= 2
    assert b'"BAD"' in (tmp_path / f"{path.name}.rejected").read_bytes()


def test_it_goes_on_after_the_disk_took_half_a_line(
    open_journal: MakeJournal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A real short write, by a limit on file sizes; the file is made large first, to be the only one hit."""
    journal = open_journal()
    for number in range(400):
        journal.append(job(f"job-{number:03}"))
    (path,) = files(tmp_path)
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
    try:
        results = [journal.append(job(f"lost-{number}")) for number in range(3)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert results == [False, False, False]
    assert path.stat().st_size == size + 100
    assert journal.append(job("later"))
    drain(journal)
    assert len(stored()) == counted() == 401
    assert "later" in stored()
    assert (journal.dropped, journal.rejected) == (3, 0)
    said = [record.levelname for record in caplog.records if record.name == "routing.journal.writer"]
    assert said == ["ERROR", "WARNING"]


def test_it_sets_aside_what_the_database_refuses(open_journal: MakeJournal, tmp_path: Path) -> None:
    """A poisoned line holds up nobody; mended and renamed, its file is applied like any other."""
    journal = open_journal()
    poisoned = (job("poison", status=-1), job("a", ms=1), job("huge", bytes_in=2**70), job("odd", decision=[]))
    for record in (job("a"), *poisoned, job("b")):
        assert journal.append(record)
    assert not journal.drain()
    assert stored() == ["a", "b"]
    assert counted() == 2
    assert Job.objects.get(pk="a").ms == 420
    assert journal.rejected == 4
    assert journal.backlog == 0

    (aside,) = tmp_path.glob("*.rejected")
    set_aside = [record_of(line).request_id for line in aside.read_bytes().splitlines()]
    assert set_aside == ["poison", "a", "huge", "odd"]
    Job.objects.filter(pk="a").delete()
    aside.rename(tmp_path / "again.journal")
    drain(journal)
    assert Job.objects.get(pk="a").ms == 1
    assert journal.rejected == 7


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Another connection holds what every drain needs; ours loses patience soon."""
    sqlite = connection.vendor == "sqlite"
    hold = "BEGIN EXCLUSIVE" if sqlite else "BEGIN; LOCK TABLE routing_journalmark IN ACCESS EXCLUSIVE MODE"
    other = connection.copy()
    with connection.cursor() as cursor, other.cursor() as holder:
        cursor.execute("PRAGMA busy_timeout = 50" if sqlite else "SET lock_timeout = '50ms'")
        holder.execute(hold)
        yield
        holder.execute("ROLLBACK")
    other.close()
    connection.close()  # and with it the short patience


@pytest.mark.django_db(transaction=True)
def test_it_waits_for_a_locked_database(open_journal: MakeJournal) -> None:
    journal = open_journal()
    journal.append(job("a"))
    drain(journal)
    with locked():
        for number in range(50):
            assert journal.append(job(f"job-{number:02}"))
        with pytest.raises(OperationalError):
            journal.drain()
        assert journal.backlog > 0
    drain(journal)
    assert len(stored()) == counted() == 51


@pytest.mark.django_db(transaction=True)
def test_it_leaves_its_files_to_others_if_it_closes_meanwhile(
    open_journal: MakeJournal, tmp_path: Path
) -> None:
    journal = open_journal()
    journal.append(job())
    with locked():
        journal.close(drain=True)
    assert stored() == []
    assert len(files(tmp_path)) == 1
    drain(open_journal())
    assert stored() == ["job-1"]


@pytest.mark.django_db(transaction=True)
def test_it_repeats_a_finish_that_the_database_interrupted(open_journal: MakeJournal, tmp_path: Path) -> None:
    segment = Segment.create(tmp_path, "here")
    segment.append(line_of(job()))
    drain_batch(segment, Sample())
    with locked(), pytest.raises(Error):
        finish(segment)
    assert files(tmp_path) == []
    assert not drain_batch(segment, Sample()).more
    finish(segment)
    segment.close()
    assert not JournalMark.objects.exists()
    assert counted() == 1


def test_it_refuses_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        Journal(tmp_path / "file" / "journal", "here")


def test_it_starts_without_a_file_and_opens_one_when_it_can(open_journal: MakeJournal, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        journal = open_journal()
        assert not journal.append(job("lost"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert journal.append(job("kept"))
    drain(journal)
    assert stored() == ["kept"]
    assert journal.dropped == 1
    assert repr(journal) == f"<Journal {tmp_path} writing backlog=0 dropped=1>"
