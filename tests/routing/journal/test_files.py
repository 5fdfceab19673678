"""Files of dead workers, of other nodes, and files that people moved or deleted."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from django.db import DatabaseError

from routing.journal import State
from routing.journal.records import line_of
from routing.journal.sample import Sample
from routing.journal.segment import Segment
from routing.journal.store import drain_batch, finish
from routing.journal.writer import FEW, MANY, PATIENCE, REMEMBERED
from routing.models import JournalMark
from tests.routing.journal.cast import (
    MakeJournal,
    counted,
    drain,
    files,
    job,
    stored,
)

pytestmark = pytest.mark.django_db


def test_it_adopts_the_files_of_the_dead_and_spares_the_living(
    open_journal: MakeJournal, tmp_path: Path
) -> None:
    dead, living, ours = open_journal("there"), open_journal("here"), open_journal("here")
    dead.append(job("dead"))
    living.append(job("living"))
    dead.close()
    drain(ours)
    assert stored() == ["dead"]
    assert len(files(tmp_path)) == 2
    living.append(job("living-2"))
    drain(living)
    assert stored() == ["dead", "living", "living-2"]
    assert counted() == 3


def test_it_goes_on_where_a_dead_worker_stopped(open_journal: MakeJournal) -> None:
    dead = open_journal()
    dead.append(job("drained"))
    drain(dead)
    dead.append(job("not-drained"))
    dead.close()
    successor = open_journal()
    drain(successor)
    assert stored() == ["drained", "not-drained"]
    assert counted() == 2
    assert successor.rejected == 0


def test_it_finishes_a_file_whose_finish_was_cut_short(open_journal: MakeJournal, tmp_path: Path) -> None:
    dead = open_journal()
    dead.append(job())
    drain(dead)
    dead.close()  # removes the file; nobody deletes the mark
    assert files(tmp_path) == []
    assert JournalMark.objects.count() == 1
    drain(open_journal())
    assert not JournalMark.objects.exists()


def test_it_keeps_the_marks_of_other_nodes(open_journal: MakeJournal) -> None:
    """Their files are in another folder: without the mark they would be applied again."""
    names = [f"{node}-{1:020d}-{'a' * 32}.journal" for node in ("here", "here-2", "there", "Here")]
    JournalMark.objects.bulk_create(JournalMark(file=name, offset=10) for name in names)
    drain(open_journal("here"))
    assert set(JournalMark.objects.values_list("file", flat=True)) == set(names[1:])


def test_it_survives_the_renaming_of_its_live_file(open_journal: MakeJournal, tmp_path: Path) -> None:
    journal = open_journal()
    journal.append(job("before"))
    drain(journal)
    journal.append(job("waiting"))
    (path,) = files(tmp_path)
    path.rename(tmp_path / "renamed.journal")
    drain(journal)
    journal.append(job("after"))
    drain(journal)
    journal.close(drain=True)
    drain(open_journal())
    assert stored() == ["after", "before", "waiting"]
    assert counted() == 3
    assert not list(tmp_path.glob("*.rejected"))


def test_it_knows_a_dead_workers_renamed_file_by_its_first_line(
    open_journal: MakeJournal, tmp_path: Path
) -> None:
    dead = open_journal()
    dead.append(job("drained"))
    drain(dead)
    dead.append(job("not-drained"))
    dead.close()
    (path,) = files(tmp_path)
    path.rename(tmp_path / "renamed.journal")
    successor = open_journal()
    drain(successor)
    assert stored() == ["drained", "not-drained"]
    assert successor.rejected == 0
    assert not (tmp_path / "renamed.journal").exists()


def test_it_survives_the_deletion_of_its_folder(open_journal: MakeJournal, tmp_path: Path) -> None:
    journal = open_journal()
    journal.append(job("before"))
    (path,) = files(tmp_path)
    path.unlink()
    tmp_path.rmdir()
    drain(journal)
    journal.append(job("after"))
    drain(journal)
    assert stored() == ["after", "before"]
    assert len(files(tmp_path)) == 1


def test_it_applies_nothing_again_when_its_mark_is_deleted(open_journal: MakeJournal) -> None:
    journal = open_journal()
    journal.append(job("a"))
    drain(journal)
    JournalMark.objects.all().delete()
    journal.append(job("b"))
    drain(journal)
    assert stored() == ["a", "b"]
    assert counted() == 2
    assert journal.rejected == 0


def test_it_stops_when_somebody_else_moves_the_mark(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path, "here")
    segment.append(line_of(job()))
    with contextlib.ExitStack() as stack:
        stack.callback(segment.close)
        read = segment.lines

        def meddle(start: int, most: int) -> tuple[list[bytes], int]:
            JournalMark.objects.update(offset=1)
            return read(start, most)

        drain_batch(segment, Sample())
        segment.append(line_of(job("b")))
        segment.lines = meddle  # type: ignore[method-assign]
        with pytest.raises(DatabaseError, match="moved the mark"):
            drain_batch(segment, Sample())
        assert stored() == ["job-1"]
        finish(segment)


def test_it_tells_how_much_waits_since_when_and_what_it_adopted(open_journal: MakeJournal) -> None:
    now = 100.0
    dead = open_journal()
    dead.append(job("dead"))
    dead.close()
    ours = open_journal(clock=lambda: now)
    now += 5
    assert (ours.backlog, ours.lag, ours.adopted) == (0, 0.0, 0)
    assert ours.drain()
    assert (ours.adopted, ours.lag) == (1, 0.0)
    drain(ours)
    ours.append(job("new"))
    now += 7
    assert ours.backlog > 0
    assert ours.lag == 7
    drain(ours)
    assert (ours.backlog, ours.lag, ours.state) == (0, 0.0, State.WRITING)


def test_a_drain_is_due_for_few_lines_and_for_none_while_more_gather_for_a_second(
    open_journal: MakeJournal,
) -> None:
    now = 100.0
    journal = open_journal(clock=lambda: now)
    assert journal.due  # to look for files of the dead
    journal.append(job("first"))
    assert journal.due
    for number in range(FEW // journal.backlog + 1):
        journal.append(job(f"more-{number}"))
    assert not journal.due
    now += PATIENCE
    assert journal.due
    drain(journal)
    number = 0
    while journal.backlog < MANY:
        assert journal.due is (journal.backlog <= FEW)
        journal.append(job(f"job-{number}"))
        number += 1
    assert journal.due
    assert number < 0.7 * REMEMBERED, "those that come until it is drained are remembered as well"


def test_it_syncs_what_is_new_beside_a_thread_that_closes_files(
    open_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Against a loss of power: the file itself, and once its name in the folder."""
    calls: list[str] = []
    data, both = os.fdatasync, os.fsync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (calls.append("lines"), data(fd)))
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("name"), both(fd)))
    journal = open_journal()
    journal.append(job())
    journal.sync()
    journal.sync()
    assert calls == ["lines", "name"]
    journal.append(job("job-2"))
    journal.sync()
    assert calls == ["lines", "name", "lines"]
    journal.close()
    journal.sync()
    assert not caplog.records
