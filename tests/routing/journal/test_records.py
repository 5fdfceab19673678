"""A record and its line."""

from __future__ import annotations

import msgspec
import pytest

from routing.journal.records import LONGEST, JobRecord, LineRecord, record_of
from tests.routing.journal.cast import (
    attempt,
    job,
    written,
)


def plain(record: LineRecord) -> JobRecord:
    """As it was before it became a line."""
    decision = msgspec.json.decode(record.decision)
    return JobRecord(**{**msgspec.structs.asdict(record), "decision": decision})


def test_it_reads_a_line_as_the_record_it_was() -> None:
    record = job(decision={"a": [1, None, 0.5]}, attempts=(attempt(status=None), attempt(cold=True)))
    assert plain(written(record)) == record


@pytest.mark.parametrize("line", [b"", b"junk", b"00000000 {}", b"not-hex! {}", b"99914b93 []"])
def test_it_refuses_a_line_that_is_no_record(line: bytes) -> None:
    with pytest.raises(ValueError):
        record_of(line)


def test_it_lightens_a_line_that_is_too_long() -> None:
    told = attempt(detail="z" * 500)
    without_decision = job(decision={"text": "x" * LONGEST}, attempts=(told,))
    assert plain(written(without_decision)) == msgspec.structs.replace(without_decision, decision={})

    many = job(attempts=(told,) * 600)
    lightest = written(many)
    assert len(lightest.attempts) == 600
    assert {each.detail for each in lightest.attempts} == {""}
