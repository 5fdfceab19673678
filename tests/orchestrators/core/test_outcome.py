"""Which outcomes are answers and which are successes."""

from __future__ import annotations

import pytest

from orchestrators.core.outcome import NOTHING_SENT, Fault, Outcome, OutcomeClass


@pytest.mark.parametrize("cls", OutcomeClass)
def test_only_clean_answers_are_successes(cls: OutcomeClass) -> None:
    assert Outcome(cls).is_success is (cls in {OutcomeClass.OK, OutcomeClass.SLOW})


def test_a_cold_start_that_answered_is_a_success() -> None:
    """R38, R63: an answer that it is loading is none."""
    assert Outcome(OutcomeClass.COLD_START, cold=True).is_answer
    assert not Outcome(OutcomeClass.COLD_START).is_answer


@pytest.mark.parametrize(
    ("cls", "is_answer"),
    [(OutcomeClass.OK, True), (OutcomeClass.CLIENT_ERROR, True), (OutcomeClass.API_MISMATCH, False)],
)
def test_the_clients_own_error_is_an_answer(cls: OutcomeClass, is_answer: bool) -> None:
    assert Outcome(cls).is_answer is is_answer


def test_nothing_was_sent_only_before_a_connection() -> None:
    assert {Fault.SATURATED, Fault.REFUSED, Fault.UNREACHABLE, Fault.UNTRUSTED} == NOTHING_SENT
