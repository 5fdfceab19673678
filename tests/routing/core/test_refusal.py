from __future__ import annotations

import pytest

from routing.core.refusal import (
    STATUS,
    TITLE,
    AttemptSummary,
    Code,
    Refusal,
    problem,
    refusal_of,
    retry_after_header,
)


def test_it_knows_a_status_and_a_title_for_every_code() -> None:
    """R68: a refusal never becomes a 200."""
    assert set(STATUS) == set(TITLE) == set(Code)
    assert min(STATUS.values()) >= 400
    assert len(set(TITLE.values())) == len(Code)


@pytest.mark.parametrize(
    ("code", "status"), [(Code.EXHAUSTED, 502), (Code.NONE_AVAILABLE, 503), (Code.DEADLINE, 504)]
)
def test_it_answers_what_no_orchestrator_could_with_a_server_error(code: Code, status: int) -> None:
    """R68: all fakes fail -> status of at least 500."""
    assert problem(Refusal(code, "x"), "r-1")["status"] == status


def test_it_names_classes_and_attempts() -> None:
    """R68: the error names the class and the attempts."""
    refusal = Refusal(
        Code.EXHAUSTED,
        "Two orchestrators were asked.",
        reasons={"price_ceiling": 3},
        attempts=(AttemptSummary("timeout", 5000), AttemptSummary("gpu_oom", 80)),
    )

    assert problem(refusal, "r-1") == {
        "type": "urn:byocgw:problem:exhausted",
        "title": "Every attempt failed",
        "status": 502,
        "detail": "Two orchestrators were asked.",
        "code": "exhausted",
        "request_id": "r-1",
        "reasons": {"price_ceiling": 3},
        "attempts": [{"class": "timeout", "ms": 5000}, {"class": "gpu_oom", "ms": 80}],
    }


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(Code.UNAUTHENTICATED, "No key."),
        Refusal(Code.NONE_AVAILABLE, "no orchestrators available: x", reasons={"no_seat": 2}),
        Refusal(Code.EXHAUSTED, "Both failed.", attempts=(AttemptSummary("timeout", 5000),)),
    ],
)
def test_it_can_be_read_back(refusal: Refusal) -> None:
    assert refusal_of(problem(refusal, "r-1")) == refusal


def test_it_leaves_out_what_is_empty() -> None:
    assert not {"reasons", "attempts"} & set(problem(Refusal(Code.UNAUTHENTICATED, "No key."), "r-1"))


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ("", "no orchestrators available"),
        ("two are down", "no orchestrators available: two are down"),
        ("no orchestrators available at this price", "no orchestrators available at this price"),
    ],
)
def test_it_words_missing_supply_the_way_alerts_expect(detail: str, shown: str) -> None:
    assert problem(Refusal(Code.NONE_AVAILABLE, detail), "r-1")["detail"] == shown


@pytest.mark.parametrize(
    ("code", "seconds", "header"),
    [
        (Code.NONE_AVAILABLE, None, "1"),
        (Code.NONE_AVAILABLE, 0.0, "1"),
        (Code.NONE_AVAILABLE, 4.2, "5"),
        (Code.RATE_LIMITED, 0.3, "1"),
        (Code.RATE_LIMITED, 30.0, "30"),
        (Code.EXHAUSTED, None, None),
    ],
)
def test_it_says_when_to_ask_again(code: Code, seconds: float | None, header: str | None) -> None:
    """Missing supply always carries a Retry-After, in whole seconds and rounded up."""
    assert retry_after_header(Refusal(code, "x", retry_after=seconds)) == header
