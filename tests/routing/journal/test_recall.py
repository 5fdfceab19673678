"""The latest records are remembered, whether drained or not."""

from __future__ import annotations

import pytest

from tests.routing.journal.cast import NOON, MakeJournal, attempt, job


def test_it_remembers_the_latest_only(open_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routing.journal.writer.REMEMBERED", 2)
    journal = open_journal()
    for number in range(3):
        journal.append(job(f"job-{number}"))
    assert [journal.recall(f"job-{number}") is not None for number in range(3)] == [False, True, True]


def test_it_remembers_field_for_field(open_journal: MakeJournal) -> None:
    """R14: told as it was, to staff and client, before the database has it."""
    failed = attempt(outcome="timeout", status=None, held_against=False, detail="no answer – 5 s 🙁")
    record = job(
        at=NOON + 0.0625,
        wei=10**24,
        model_id="org/any",
        decision={"c": [["alder", 0, 1.5]], "s": 3, "d": [0.25]},
        attempts=(failed, attempt(cold=True)),
    )
    journal = open_journal()
    journal.append(record)
    assert journal.recall("job-1") == record


def test_it_knows_each_by_its_whole_id(open_journal: MakeJournal) -> None:
    """What a client asks for is text of its own choice."""
    journal = open_journal()
    journal.append(job("job-11"))
    for other in ("job-1", "", 'job-11",' + str(NOON), "job-11\0", "\ud800"):
        assert journal.recall(other) is None
