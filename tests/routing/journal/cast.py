"""The records, and the questions to folder and database, that the journal's tests share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from routing.journal import AttemptRecord, JobRecord, Journal
from routing.journal.records import LineRecord, line_of, record_of
from routing.models import Job, UsageHour

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


MakeJournal = Callable[..., Journal]


def attempt(**changes: Any) -> AttemptRecord:
    usual = AttemptRecord(
        at=NOON + 0.25,
        orchestrator="alder",
        outcome="ok",
        status=200,
        ms=310,
        cold=False,
        held_against=True,
        detail="",
    )
    return msgspec.structs.replace(usual, **changes)


def job(request_id: str = "job-1", **changes: Any) -> JobRecord:
    usual = JobRecord(
        request_id=request_id,
        at=NOON,
        client="acme",
        capability="sketch",
        worker_path="/draw",
        code="ok",
        status=200,
        orchestrator="alder",
        ms=420,
        bytes_in=1000,
        bytes_out=2000,
        wei=70,
        policy=3,
        decision={},
        attempts=(attempt(),),
        trace="4bf92f3577b34da6a3ce929d0e0e4736",
    )
    return msgspec.structs.replace(usual, **changes)


def written(record: JobRecord) -> LineRecord:
    """The record as a drain finds it."""
    return record_of(line_of(record)[:-1])


def drain(journal: Journal) -> None:
    while journal.drain():
        pass


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.journal"))


def stored() -> list[str]:
    return sorted(Job.objects.values_list("request_id", flat=True))


def counted() -> int:
    return sum(UsageHour.objects.values_list("requests", flat=True))
