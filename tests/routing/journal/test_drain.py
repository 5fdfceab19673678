"""What is appended is in the database once, field for field, and sums are exact."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from orchestrators.models.fields import WeiSum
from routing.journal import JobRecord
from routing.journal.records import line_of
from routing.journal.store import BATCH
from routing.models import Attempt, Job, JournalMark, OfferDay, UsageHour
from tests.routing.journal.cast import (
    NOON,
    MakeJournal,
    attempt,
    counted,
    drain,
    files,
    job,
    stored,
)

pytestmark = pytest.mark.django_db


def test_it_stores_what_was_appended_field_for_field(open_journal: MakeJournal) -> None:
    failed = attempt(
        at=NOON + 0.125,
        orchestrator="cedar",
        outcome="timeout",
        status=None,
        held_against=False,
        detail="no answer – 5 s 🙁",
    )
    cold = attempt(ms=4100, cold=True)
    record = job(
        at=NOON + 0.0625,
        wei=123_456_789_012_345_678,
        model_id="org/any",
        bytes_out=2**40,
        decision={"ranked": [{"offer": 4, "adjusted": "1/3"}], "refused": {"down": 2}, "note": "é"},
        attempts=(failed, cold),
    )
    journal = open_journal()
    assert journal.append(record)
    assert journal.backlog > 0
    drain(journal)
    assert journal.backlog == 0

    row = Job.objects.get()
    same = set(JobRecord.__struct_fields__) - {"at", "attempts"}
    assert {name: getattr(row, name) for name in same} == {name: getattr(record, name) for name in same}
    assert row.at == datetime.fromtimestamp(record.at, UTC)
    assert row.attempts_made == 2
    assert row.wei == record.wei

    rows = list(Attempt.objects.order_by("number"))
    assert [(each.job_id, each.number, each.capability) for each in rows] == [
        ("job-1", 1, "sketch"),
        ("job-1", 2, "sketch"),
    ]
    for each, told in zip(rows, record.attempts, strict=True):
        values = {**msgspec.structs.asdict(told), "at": datetime.fromtimestamp(told.at, UTC)}
        assert {name: getattr(each, name) for name in values} == values


def test_it_writes_moments_as_django_does(open_journal: MakeJournal) -> None:
    """Whole seconds, what rounds up to one, and what follows them, in any order."""
    journal = open_journal()
    parts = [0, 0.25, 1, 1e-6, 1 / 3, 0.999999, 0.9999999, 1.5, 0.05, 2, 2 + 1e-7, 2.125, -59.5, 0.75]
    moments = [NOON + part for part in parts]
    for number, at in enumerate(moments):
        journal.append(job(f"job-{number:02}", at=at, attempts=(attempt(at=moments[number - 1]),)))
    drain(journal)
    told = [datetime.fromtimestamp(at, UTC) for at in moments]
    assert list(Job.objects.order_by("pk").values_list("at", flat=True)) == told
    assert list(Attempt.objects.order_by("job_id").values_list("at", flat=True)) == [told[-1], *told[:-1]]
    assert Job.objects.filter(at__in=told).count() == len(told)


def test_it_keeps_exact_sums_by_hour_client_and_capability(open_journal: MakeJournal) -> None:
    journal = open_journal()
    for number, changes in enumerate(
        [
            {},
            {"at": NOON + 3599.999, "code": "exhausted", "status": 502, "wei": 0},
            {"code": "broken", "status": 200},
            {"code": "client_error", "status": 422},
            {"at": NOON + 3600},
            {"client": "birch-fan"},
            {"capability": ""},
        ]
    ):
        assert journal.append(job(f"job-{number}", **changes))
        if number % 2:
            drain(journal)  # sums are added to those already there
    drain(journal)

    rows = {
        (row.hour.hour, row.client, row.capability): (
            (row.requests, row.failures, row.milliseconds),
            (row.bytes_in, row.bytes_out, int(row.wei)),
        )
        for row in UsageHour.objects.all()
    }
    one = ((1, 0, 420), (1000, 2000, 70))
    assert rows == {
        (12, "acme", "sketch"): ((4, 2, 1680), (4000, 8000, 210)),
        (13, "acme", "sketch"): one,
        (12, "birch-fan", "sketch"): one,
        (12, "acme", ""): one,
    }


def test_it_sums_wei_exactly_on_every_database(open_journal: MakeJournal) -> None:
    """Beyond 2**63 too, where SQLite's integers end."""
    journal = open_journal()
    for number, wei in enumerate((2**63 - 1, 1, 10**25 + 7)):
        journal.append(job(f"job-{number}", wei=wei))
        drain(journal)
    assert UsageHour.objects.get().wei == 2**63 + 10**25 + 7
    assert list(Job.objects.order_by("wei").values_list("wei", flat=True)) == [1, 2**63 - 1, 10**25 + 7]
    assert Job.objects.filter(wei=10**25 + 7).count() == 1


def test_it_keeps_rows_of_all_that_went_wrong_and_of_some_that_went_well(open_journal: MakeJournal) -> None:
    journal = open_journal(rows_a_second=2)
    for number, changes in enumerate(
        [
            {},
            {},
            {"at": NOON + 0.999},  # the third plain success of that second
            {"at": NOON + 1},
            {"code": "cancelled"},
            {"attempts": (attempt(outcome="timeout"), attempt())},
            {"attempts": (), "code": "none_available", "status": 503},
        ]
    ):
        journal.append(job(f"job-{number}", **changes))
    drain(journal)
    assert stored() == ["job-0", "job-1", "job-3", "job-4", "job-5", "job-6"]
    assert Attempt.objects.count() == 6
    assert counted() == 7


def test_it_cuts_and_cleans_what_no_column_takes(open_journal: MakeJournal) -> None:
    """An answer's odd bytes and a caller's long path cost no record."""
    journal = open_journal()
    odd = job(
        worker_path="/" + "x" * 5000,
        decision={"nul": "a\0b", "lone": "\ud800", "inf": float("inf"), 7: {"set": Path("x")}},
        attempts=(attempt(detail="\0" + "y" * 900),),
    )
    assert journal.append(odd)
    drain(journal)
    row = Job.objects.get()
    assert row.worker_path == "/" + "x" * 199
    assert row.decision == {"nul": "a\ufffdb", "lone": "?", "inf": None, "7": {"set": "x"}}
    assert Attempt.objects.get().detail == "\ufffd" + "y" * 499
    assert journal.rejected == 0


def test_it_never_raises_on_append(open_journal: MakeJournal, caplog: pytest.LogCaptureFixture) -> None:
    journal = open_journal()
    for _ in range(2):
        assert not journal.append(job(attempts=(attempt(),) * 9000))
    assert journal.dropped == 2
    assert journal.append(job())
    said = [record.levelname for record in caplog.records if record.name == "routing.journal.writer"]
    assert said == ["ERROR", "WARNING"]  # once when it began, once when it ended


def test_it_drains_in_bounded_batches(open_journal: MakeJournal) -> None:
    journal = open_journal()
    size = len(line_of(job("job-00000")))
    number = BATCH // size + 50
    for each in range(number):
        journal.append(job(f"job-{each:05}"))
    assert journal.drain()
    assert BATCH // size - 1 <= len(stored()) <= BATCH // size
    assert not journal.drain()
    assert len(stored()) == counted() == number


def test_it_keeps_what_was_asked_of_each_offer_and_what_it_cost(open_journal: MakeJournal) -> None:
    """By day (UTC); the wei of a day are those of its hours, also above 2**63."""
    journal = open_journal()
    midnight = NOON + 12 * 3600
    failed = attempt(orchestrator="cedar", outcome="timeout", ms=5000)
    for number, changes in enumerate(
        [
            {"attempts": (failed, attempt(ms=300))},
            {"attempts": (failed, failed), "orchestrator": "", "wei": 0, "status": 502, "code": "exhausted"},
            {"attempts": (attempt(outcome="client_error", ms=10),), "wei": 2**63},
            {"at": midnight - 0.001, "attempts": (attempt(ms=1),), "wei": 2**63},
            {"at": midnight, "attempts": (attempt(ms=1),)},
            {"attempts": (), "orchestrator": "", "wei": 0, "status": 503, "code": "none_available"},
        ]
    ):
        journal.append(job(f"job-{number}", **changes))
    drain(journal)
    told = OfferDay.objects.order_by("day", "orchestrator").values_list(
        "day", "orchestrator", "capability", "attempts", "failures", "milliseconds", "wei"
    )
    first, second = date(2026, 3, 1), date(2026, 3, 2)
    assert list(told) == [
        (first, "alder", "sketch", 3, 0, 311, 2**64 + 70),
        (first, "cedar", "sketch", 3, 3, 15000, 0),
        (second, "alder", "sketch", 1, 0, 1, 70),
    ]
    sums = [model.objects.aggregate(wei=WeiSum("wei"))["wei"] for model in (OfferDay, UsageHour)]
    assert sums == [2**64 + 140, 2**64 + 140]


def test_it_asks_no_database_when_there_is_nothing_to_drain(
    open_journal: MakeJournal, django_assert_num_queries: Any
) -> None:
    journal = open_journal()
    drain(journal)
    with django_assert_num_queries(0):
        assert not journal.drain()


def test_it_rolls_full_files_and_removes_them_with_their_marks(
    open_journal: MakeJournal, tmp_path: Path
) -> None:
    journal = open_journal(segment_bytes=1000)
    for number in range(20):
        journal.append(job(f"job-{number}"))
    assert len(files(tmp_path)) > 2
    drain(journal)
    assert len(stored()) == counted() == 20
    (live,) = files(tmp_path)
    assert set(JournalMark.objects.values_list("file", flat=True)) <= {live.name}


def test_it_leaves_the_live_file_and_removes_it_on_close(open_journal: MakeJournal, tmp_path: Path) -> None:
    journal = open_journal()
    journal.append(job())
    drain(journal)
    assert len(files(tmp_path)) == 1
    journal.append(job("job-2"))
    journal.close(drain=True)
    assert stored() == ["job-1", "job-2"]
    assert list(tmp_path.iterdir()) == []
    assert not JournalMark.objects.exists()
    assert not journal.append(job("late"))
    assert not journal.drain()


def test_it_loses_nothing_when_appends_and_drains_overlap(open_journal: MakeJournal) -> None:
    journal = open_journal(segment_bytes=5000)

    def write() -> None:
        for number in range(600):
            journal.append(job(f"job-{number}"))

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        journal.drain()
    drain(journal)
    assert len(stored()) == counted() == 600
    assert journal.rejected == journal.dropped == 0
