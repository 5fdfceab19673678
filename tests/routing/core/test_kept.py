"""Kept calls: what a client's fields mean, and what the second request with a key is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from routing.core.kept import (
    INTERRUPTED,
    TOO_LARGE,
    BadKey,
    Kept,
    Preference,
    State,
    is_worth_keeping,
    on_result,
    on_reuse,
    read_key,
    read_preference,
    state_after,
)
from routing.core.refusal import AttemptSummary, Code, Refusal

DONE = Kept("r-1", fingerprint="f", state=State.DONE, code="ok", has_answer=True)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('"8e03978e-40d5"', "8e03978e-40d5"),
        (' "a b, c" ', "a b, c"),
        (r'"a \"b\" \\ c"', r'a "b" \ c'),
        ("8e03978e-40d5", "8e03978e-40d5"),
        ("x" * 255, "x" * 255),
        ("'(~!-+", "'(~!-+"),
    ],
)
def test_a_key_is_a_string_quoted_or_bare(text: str, key: str) -> None:
    """draft-ietf-httpapi-idempotency-key-header, 2.1: an RFC 8941 string; many clients leave out the quotes."""
    assert read_key(text) == key


@pytest.mark.parametrize(
    "text", ["", '""', "a b", "a,b", '"a', 'a"', '"a", "b"', "\xe9", '"\t"', r'"\a"', "x" * 256]
)
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(BadKey, match="Idempotency-Key must be one string of 1 to 255"):
        read_key(text)


@pytest.mark.parametrize(
    ("text", "preference"),
    [
        ("", Preference()),
        ("respond-async", Preference(True)),
        ("Respond-Async, wait=10", Preference(True, 10)),
        ("wait = 10 , respond-async; foo=bar", Preference(True, 10)),
        ('respond-async, wait="5"', Preference(True, 5)),
        ("respond-async, wait=1, wait=9", Preference(True, 1)),
        ("respond-async, wait=-1", Preference(True)),
        ("respond-async, wait=1e9", Preference(True)),
        ("wait=3, handling=lenient", Preference(False, 3)),
        ('foo="a, respond-async", bar', Preference()),
        ("=, ;;", Preference()),
        ('"', Preference()),
        ('respond-async, "' + r"\"" * 10_000, Preference()),  # to search it would take seconds
    ],
)
def test_what_is_unknown_or_malformed_is_passed_over(text: str, preference: Preference) -> None:
    """RFC 7240, section 2."""
    assert read_preference(text) == preference


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("ok", State.DONE),
        ("client_error", State.DONE),
        ("cancelled", State.CANCELLED),
        ("exhausted", State.FAILED),
        ("broken", State.FAILED),
        (TOO_LARGE, State.FAILED),
    ],
)
def test_a_finished_call_has_a_state(code: str, state: State) -> None:
    assert state_after(code) is state


def test_a_refusal_before_any_attempt_is_no_outcome_unless_the_client_was_told_202() -> None:
    early = Refusal(Code.NONE_AVAILABLE, "")
    late = Refusal(Code.EXHAUSTED, "", attempts=(AttemptSummary("timeout", 1),))

    assert not is_worth_keeping(early, accepted=False)
    assert is_worth_keeping(early, accepted=True)
    assert is_worth_keeping(late, accepted=False)


def test_the_same_request_gets_the_same_answer() -> None:
    assert on_reuse(DONE, "f") is None


@pytest.mark.parametrize("state", State)
def test_another_request_never_does(state: State) -> None:
    refusal = on_reuse(replace(DONE, state=state), "g")
    assert refusal is not None
    assert refusal.code is Code.KEY_REUSED


@pytest.mark.parametrize(
    ("state", "code", "expected", "says"),
    [
        (State.QUEUED, "", Code.UNDER_WAY, "under way"),
        (State.RUNNING, "", Code.UNDER_WAY, "under way"),
        (State.CANCELLED, "cancelled", Code.OUTCOME_UNKNOWN, "was cancelled"),
        (State.FAILED, INTERRUPTED, Code.OUTCOME_UNKNOWN, "the end of its worker"),
        (State.FAILED, TOO_LARGE, Code.RESULT_GONE, "too large"),
        (State.DONE, "ok", Code.RESULT_GONE, "make room"),
    ],
)
def test_without_an_answer_it_is_told_why(state: State, code: str, expected: Code, says: str) -> None:
    """And when to ask again, where that helps."""
    refusal = on_result(replace(DONE, state=state, code=code, has_answer=False))
    assert refusal is not None
    assert (refusal.code, refusal.retry_after) == (expected, 1.0 if expected is Code.UNDER_WAY else None)
    assert says in refusal.detail
    assert "/v1/jobs/r-1" in refusal.detail
