"""Lines -> runs: calls that follow each other and are alike in most of their columns.

What is alike is kept once, what is a call's own in flat lists, as the database takes it: so neither a row nor
a sum costs an object. Under load nearly all calls of a batch are one run.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from routing.journal.records import record_of
from routing.journal.sample import Sample

Row = tuple[Any, ...]
Values = list[Any]  # of rows, one after the other

JOB_ALIKE = ("client", "capability", "worker_path", "code", "status", "policy", "model_id", "attempts_made")
JOB = ("request_id", "at", "orchestrator", "ms", "bytes_in", "bytes_out", "wei", "decision", "trace")
ATTEMPT_ALIKE = ("number", "outcome", "status", "cold", "held_against", "detail", "capability")
ATTEMPT = ("job_id", "at", "orchestrator", "ms")

AT_A_TIME = 32  # lines: under half a millisecond
_DIGITS = [f"{number:03d}" for number in range(1000)]  # `:06d` takes four times as long, for every moment
_pause = threading.Event()
_encode = msgspec.json.Encoder().encode


class Run:
    """`alike`: the first of JOB_ALIKE, then by attempt those of ATTEMPT_ALIKE. `hour`: wall seconds.
    `kept`: rows are wanted, not only sums. `jobs`, `attempts`: values of JOB and ATTEMPT."""

    __slots__ = ("alike", "attempts", "hour", "jobs", "kept", "tried")

    def __init__(self, alike: Row) -> None:
        self.kept, self.hour, self.tried, *self.alike = alike
        self.jobs: Values = []
        self.attempts: Values = []


def runs_of(lines: Sequence[bytes], sample: Sample, moments: Moments) -> list[Run]:
    """With pauses in which the event loop gets the interpreter; a thread that works on without one keeps it for
    5 ms at a time. ValueError: a line is damaged."""
    runs: list[Run] = []
    keeps, text = sample.keeps, moments.text
    latest: Row = ()
    jobs: Values = []
    attempts: Values = []
    for start in range(0, len(lines), AT_A_TIME):
        for line in lines[start : start + AT_A_TIME]:
            record = record_of(line)
            request_id = record.request_id
            tried: Row = ()
            own: Row = ()
            for each in record.attempts:
                tried += ((each.outcome, each.status, each.cold, each.held_against, each.detail),)
                own += (request_id, text(each.at), each.orchestrator, each.ms)
            alike = (
                keeps(record),
                record.at // 3600,
                tried,
                record.client,
                record.capability,
                record.worker_path,
                record.code,
                record.status,
                record.policy,
                record.model_id,
            )
            if alike != latest:
                latest, run = alike, Run(alike)
                jobs, attempts = run.jobs, run.attempts
                runs.append(run)
            attempts += own
            jobs += (
                request_id,
                text(record.at),
                record.orchestrator,
                record.ms,
                record.bytes_in,
                record.bytes_out,
                record.wei,
                str(_encode(record.decision), "utf-8") if record.decision else "{}",
                record.trace or None,
            )
        _pause.wait(0.0001)
    return runs


class Moments:
    """Moments as Django writes them: into SQLite, UTC without saying so. Calls come one after the other, so the
    text of the latest second is kept."""

    def __init__(self, vendor: str) -> None:
        self._zone = "" if vendor == "sqlite" else "+00:00"
        self._keep(0.0)

    def text(self, at: float) -> str:
        # Called by its name, and added up one by one: round() and an f-string take twice as long.
        micros = ((at - self._second) * 1e6).__round__()
        if not 0 < micros < 1_000_000:
            self._keep(at // 1.0)
            micros = ((at - self._second) * 1e6).__round__()
            if not 0 < micros < 1_000_000:
                return _second(round(at)) + self._zone
        return self._text + _DIGITS[micros // 1000] + _DIGITS[micros % 1000] + self._zone

    def _keep(self, second: float) -> None:
        self._second, self._text = second, _second(int(second)) + "."


@lru_cache(maxsize=16)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
