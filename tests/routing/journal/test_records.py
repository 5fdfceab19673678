"""A record and its line."""

from __future__ import annotations

import msgspec
import pytest

from routing.journal.records import LONGEST, line_of, record_of
from tests.routing.journal.cast import (
    attempt,
    job,
)


def test_it_reads_a_line_as_the_record_it_was() -> None:
    record = job(decision={"a": [1, None, 0.5]}, attempts=(attempt(status=None), attempt(cold=True)))
    assert record_of(line_of(record).rstrip(b"\n")) == record


@pytest.mark.parametrize("line", [b"", b"junk", b"00000000 {}", b"not-hex! {}", b"99914b93 []"])
def test_it_refuses_a_line_that_is_no_record(line: bytes) -> None:
    with pytest.raises(ValueError):
        record_of(line)


def test_it_lightens_a_line_that_is_too_long() -> None:
    told = attempt(detail="z" * 500)
    without_decision = job(decision={"text": "x" * LONGEST}, attempts=(told,))
    assert record_of(line_of(without_decision)[:-1]) == msgspec.structs.replace(without_decision, decision={})

    many = job(attempts=(told,) * 600)
    lightest = record_of(line_of(many)[:-1])
    assert len(lightest.attempts) == 600
    assert {each.detail for each in lightest.attempts} == {""}
