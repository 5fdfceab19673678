"""Signatures: what an answer is known by, where its status does not tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrators.core.classify import Rule
from orchestrators.core.contract import Contract
from orchestrators.core.outcome import OutcomeClass, Speaker
from orchestrators.core.signature import DEFAULTS, RECOGNISABLE, Signature, faults, match
from tests.orchestrators.core.judging import judge, verdict

C = OutcomeClass
QUEUE = Signature("queue-full", C.BUSY, 500, 502, text="Queue is full")
STATE = Signature("state", C.COLD_START, 400, 599, header="X-Model-State: Loading")


# Which one matches


@pytest.mark.parametrize(("status", "found"), [(499, False), (500, True), (502, True), (503, False)])
def test_it_holds_for_a_range_of_statuses_both_ends_included(status: int, found: bool) -> None:
    assert QUEUE.matches(status, {}, "the queue is full") is found


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"x-model-state": "loading (40 %)"}, True),
        ({"x-model-state": "LOADING"}, True),
        ({"x-model-state": "ready"}, False),
        ({"x-other": "loading"}, False),
        ({}, False),
    ],
)
def test_it_finds_words_in_a_header(headers: dict[str, str], found: bool) -> None:
    assert STATE.matches(503, headers, "") is found


@pytest.mark.parametrize("header", ["X-Error:", "x-error: ", "X-ERROR :"])
def test_a_header_without_words_need_only_be_there(header: str) -> None:
    signature = replace(STATE, header=header)
    assert signature.matches(500, {"x-error": ""}, "") and signature.matches(500, {"x-error": "any"}, "")
    assert not signature.matches(500, {"x-errors": "any"}, "")


def test_text_and_header_must_both_be_there() -> None:
    both = replace(STATE, text="weights")
    assert both.matches(503, {"x-model-state": "loading"}, "fetching weights")
    assert not both.matches(503, {"x-model-state": "loading"}, "fetching")
    assert not both.matches(503, {}, "fetching weights")


def test_the_first_that_matches_counts() -> None:
    narrow, wide = replace(QUEUE, name="narrow"), replace(QUEUE, name="wide", text="full")
    assert match((narrow, wide), 500, {}, "queue is full") is narrow
    assert match((wide, narrow), 500, {}, "queue is full") is wide
    assert match((narrow, wide), 500, {}, "disk full") is wide
    assert match((narrow, wide), 500, {}, "empty") is None
    assert match((), 500, {}, "queue is full") is None


# What is shipped


@pytest.mark.parametrize("status", range(200, 600))
def test_a_bare_loading_is_a_start_in_a_503_alone(status: int) -> None:
    """R63: in a 400 it is more often an image that could not be loaded."""
    found = match(DEFAULTS, status, {}, "error loading image")
    assert (found is not None) is (status == 503)


@pytest.mark.parametrize(
    "words", ["model is not ready", "model not ready", "model is loading", "is still loading"]
)
@pytest.mark.parametrize("status", [400, 503])
def test_a_model_that_is_loading_is_a_start(words: str, status: int) -> None:
    """R63"""
    found = match(DEFAULTS, status, {}, f"the model {words.removeprefix('model ')}, come back")
    assert found is not None and found.cls is C.COLD_START
    assert match(DEFAULTS, 500, {}, f"the {words}") is None


@pytest.mark.parametrize(
    ("words", "statuses"),
    [("cuda out of memory", {400, *range(500, 600)}), ("out of memory", {400, 500})],
)
def test_out_of_memory_is_told_by_its_words(words: str, statuses: set[int]) -> None:
    """R64"""
    found = {status for status in range(200, 600) if match(DEFAULTS, status, {}, f"torch: {words}.")}
    assert found == statuses
    assert match(DEFAULTS, 400, {}, words).cls is C.GPU_OOM  # type: ignore[union-attr]


def test_what_is_shipped_is_sound_and_has_a_name_each() -> None:
    assert [faults(each) for each in DEFAULTS] == [{}] * len(DEFAULTS)
    assert len({each.name for each in DEFAULTS}) == len(DEFAULTS)


# What an operator may write


@pytest.mark.parametrize(
    ("signature", "field", "words"),
    [
        (replace(QUEUE, status_from=503), "status_to", "not be below"),
        (replace(QUEUE, text=""), "text", "a text, a header or both"),
        (replace(QUEUE, text="  "), "text", "a text, a header or both"),
        (replace(QUEUE, text=" ab "), "text", "at least 3 letters"),
        (replace(QUEUE, cls=C.OK), "cls", "known for ok"),
        (replace(QUEUE, cls=C.CANCELLED), "cls", "known for cancelled"),
        (replace(QUEUE, cls=C.CLIENT_ERROR, status_from=200), "cls", "400 or more"),
        (replace(STATE, header="X-Model-State"), "header", "name: words"),
        (replace(STATE, header=": loading"), "header", "name: words"),
        (replace(STATE, header="X Model: loading"), "header", "name: words"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(signature: Signature, field: str, words: str) -> None:
    found = faults(signature)
    assert list(found) == [field]
    assert words in found[field] and found[field].endswith(".")


@pytest.mark.parametrize("cls", RECOGNISABLE)
def test_any_other_class_can_be_recognised(cls: OutcomeClass) -> None:
    assert faults(replace(QUEUE, cls=cls)) == faults(replace(STATE, cls=cls)) == {}


def test_what_time_a_connection_or_the_client_decides_cannot() -> None:
    assert set(OutcomeClass) - set(RECOGNISABLE) == {C.OK, C.SLOW, C.UNREACHABLE, C.CANCELLED}


# In a judgement


def test_it_decides_before_the_status_does() -> None:
    """R65: a container that dies behind its own web server says so in words."""
    died = Signature("worker-died", C.CONTAINER_CRASH, 500, 502, text="worker process died")
    outcome = judge(502, b"Worker process died.", signatures=(died,))
    assert (outcome.cls, outcome.speaker, outcome.began) == (C.CONTAINER_CRASH, Speaker.CONTAINER, True)
    assert outcome.detail == 'The container says "worker process died" (signature worker-died).'
    assert judge(502, b"Worker process died.", signatures=()).cls is C.UPSTREAM_ERROR


def test_it_decides_before_the_contract_does() -> None:
    """R66: a 200 that is none, told by a header."""
    wrong = Signature("v1", C.API_MISMATCH, 200, 299, header="X-Api-Version: 1")
    assert judge(200, headers={"x-api-version": "1"}, signatures=(wrong,)).cls is C.API_MISMATCH
    assert judge(200, headers={"x-api-version": "2"}, signatures=(wrong,)).cls is C.OK


def test_a_start_told_by_a_header_is_no_success() -> None:
    """R63"""
    outcome = judge(500, b"", headers={"x-model-state": "loading"}, signatures=(STATE,))
    assert (outcome.cls, outcome.began, outcome.is_success) == (C.COLD_START, False, False)


def test_its_busy_asks_for_the_answers_own_time() -> None:
    busy = judge(500, b"queue is full", retry_after="7", signatures=(QUEUE,))
    assert (busy.cls, busy.retry_after, busy.began) == (C.BUSY, 7.0, False)


def test_the_orchestrators_own_words_come_first() -> None:
    """R71: they are protocol, which no list of an operator's overrides."""
    greedy = Signature("greedy", C.CLIENT_ERROR, 400, 599, text="capa")
    said = b"No capacity available for capability\n"
    assert judge(503, said, signatures=(greedy,)).cls is C.NOT_CLAIMED
    assert judge(503, said, protocol="direct", signatures=(greedy,)).cls is C.CLIENT_ERROR


@pytest.mark.parametrize(
    ("status", "body", "rule", "name"),
    [
        (503, b"No capacity available for capability", Rule.OWN_WORDS, None),
        (400, b"CUDA out of memory", Rule.SIGNATURE, "cuda-out-of-memory-400"),
        (500, b"oh", Rule.STATUS, None),
        (200, b"{}", Rule.CONTRACT, None),
    ],
)
def test_a_verdict_names_what_it_rests_on(status: int, body: bytes, rule: Rule, name: str | None) -> None:
    found = verdict(status, body)
    assert (found.rule, found.signature and found.signature.name) == (rule, name)


def test_of_a_stream_the_first_event_is_judged() -> None:
    """R66: what follows it has gone to the client by then."""
    fine, wrong = b'data: {"depth": 1}\n\n', b'event: e\ndata: {"error":\ndata: "no"}\n\n'
    for body, cls in ((fine + wrong, C.OK), (b": wait\n\n" + wrong + fine, C.API_MISMATCH)):
        assert judge(200, body, "text/event-stream", whole=False, contract=Contract()).cls is cls
