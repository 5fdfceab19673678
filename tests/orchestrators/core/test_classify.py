"""Answers and failed connections, judged."""

from __future__ import annotations

import json

import pytest

from orchestrators.core.classify import classify_fault
from orchestrators.core.contract import Contract
from orchestrators.core.outcome import Fault, OutcomeClass, Speaker
from tests.orchestrators.core.judging import judge

C = OutcomeClass
DEPTH = Contract.of([], {"type": "object", "required": ["images"]})


# The orchestrator's own words


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "Could not verify job creds"),
        (400, "Insufficient balance for request"),
        (402, "Insufficient balance for request"),
        (400, "Could not get job price"),
        (400, "Invalid eth address header "),
        (400, "Must have eth address and signature on address in Livepeer-Eth-Address header"),
        (400, "Could not get price err=no price"),
        (503, "Could not get price err=insufficient sender reserve"),
        (400, "Could not get ticket params err=insufficient sender reserve"),
    ],
)
def test_its_own_words_about_money_or_credentials_are_rejections(status: int, text: str) -> None:
    outcome = judge(status, text.encode() + b"\n", "text/plain")
    assert (outcome.cls, outcome.speaker, outcome.began) == (C.REJECTED, Speaker.ORCHESTRATOR, False)
    assert outcome.detail == text.strip()


def test_its_own_words_can_be_stored() -> None:
    """PostgreSQL takes no NUL; a detail that has one would hold up all news of a worker."""
    cause = b"job not able to be processed, removing capability err=\0oops"
    assert judge(500, cause).detail == cause.decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def test_its_own_503_means_not_claimed() -> None:
    """R71"""
    outcome = judge(503, b"No capacity available for capability\n", "text/plain")
    assert (outcome.cls, outcome.speaker, outcome.began) == (C.NOT_CLAIMED, Speaker.ORCHESTRATOR, False)


@pytest.mark.parametrize(
    ("cause", "cls"),
    [
        ("dial tcp 10.0.0.1:8000: connect: connection refused", C.CONTAINER_CRASH),
        ("worker auth token failed", C.CONTAINER_CRASH),
        ('Post "http://10.0.0.1:8000": context canceled', C.TIMEOUT),
        ('Post "http://10.0.0.1:8000": context deadline exceeded', C.TIMEOUT),
    ],
)
def test_removing_a_capability_is_a_crash_unless_the_time_ran_out(cause: str, cls: OutcomeClass) -> None:
    """R65"""
    outcome = judge(500, f"job not able to be processed, removing capability err={cause}\n".encode())
    assert (outcome.cls, outcome.speaker, outcome.began) == (cls, Speaker.ORCHESTRATOR, True)


@pytest.mark.parametrize(
    ("status", "text", "cls"),
    [
        (422, "Could not verify job creds", C.CLIENT_ERROR),
        (400, "could not verify job creds", C.CLIENT_ERROR),
        (400, "Error: Could not verify job creds", C.CLIENT_ERROR),
        (400, "Insufficient balance for request: x", C.CLIENT_ERROR),
        (503, "No capacity available for capability x", C.BUSY),
        (502, "job not able to be processed, removing capability err=x", C.UPSTREAM_ERROR),
        (200, "Could not get job price", C.OK),
    ],
)
def test_words_that_are_not_exactly_its_own_are_the_containers(
    status: int, text: str, cls: OutcomeClass
) -> None:
    outcome = judge(status, text.encode(), "text/plain")
    assert (outcome.cls, outcome.speaker) == (cls, Speaker.CONTAINER)


def test_with_no_orchestrator_in_front_the_words_are_the_containers() -> None:
    assert judge(400, b"Could not verify job creds", protocol="direct").cls is C.CLIENT_ERROR


def test_its_words_are_kept_short() -> None:
    outcome = judge(400, b"Could not get price err=" + b"x" * 9000)
    assert len(outcome.detail) == 300


# What containers say


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (500, "CUDA out of memory. Tried to allocate 2.00 GiB"),
        (400, "torch: CUDA Out Of Memory"),
        (503, "cuda out of memory"),
        (500, "GPU out of memory."),
        (500, "Out of memory error. Try reducing output/input image resolution."),
    ],
)
def test_running_out_of_memory_has_no_status_of_its_own(status: int, text: str) -> None:
    """R64"""
    outcome = judge(status, json.dumps({"detail": {"msg": text}}).encode())
    assert (outcome.cls, outcome.speaker, outcome.began) == (C.GPU_OOM, Speaker.CONTAINER, True)


@pytest.mark.parametrize("status", [200, 422])
def test_a_prompt_about_memory_is_no_fault(status: int) -> None:
    assert judge(status, b'{"input": "CUDA out of memory"}').cls is not C.GPU_OOM


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (503, '{"status":"error","message":"no","current_state":"LOADING"}'),
        (503, "Model is not ready"),
        (400, "The model is not ready yet"),
        (400, "Model is still loading"),
    ],
)
def test_an_answer_that_it_is_loading_is_a_cold_start(status: int, text: str) -> None:
    """R63, R38: nothing has begun, and nothing has succeeded."""
    outcome = judge(status, text.encode())
    assert (outcome.cls, outcome.began, outcome.is_success) == (C.COLD_START, False, False)


def test_an_image_that_could_not_be_loaded_is_the_clients() -> None:
    assert judge(400, b"Error loading image").cls is C.CLIENT_ERROR


def test_signatures_are_sought_in_the_first_8_kib() -> None:
    assert judge(500, b"x" * 8175 + b"CUDA out of memory").cls is C.UPSTREAM_ERROR
    assert judge(500, b"x" * 8174 + b"CUDA out of memory").cls is C.GPU_OOM


def test_no_text_of_a_container_gets_into_an_outcome() -> None:
    """R16"""
    for status in (200, 400, 404, 422, 429, 500, 503):
        assert (
            "secret" not in judge(status, b'{"error": "secret out of memory loading"}', contract=DEPTH).detail
        )


# Statuses


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("", 1.0),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0),
        ("-5", 1.0),
        ("1.5", 1.0),
        ("²", 1.0),
        ("9" * 400, 300.0),
    ],
)
def test_busy_says_when_to_come_back(status: int, retry_after: str, seconds: float) -> None:
    outcome = judge(status, b"too many requests", retry_after=retry_after)
    assert (outcome.cls, outcome.retry_after, outcome.began) == (C.BUSY, seconds, False)


@pytest.mark.parametrize("status", [404, 405])
def test_a_missing_path_is_a_mismatch_only_if_it_was_there(status: int) -> None:
    """R66, R58"""
    assert judge(status, b"Not Found", path_known=True).cls is C.API_MISMATCH
    assert judge(status, b"Not Found", path_known=False).cls is C.CLIENT_ERROR


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (400, C.CLIENT_ERROR),
        (401, C.CLIENT_ERROR),
        (408, C.TIMEOUT),
        (413, C.CLIENT_ERROR),
        (422, C.CLIENT_ERROR),
        (302, C.API_MISMATCH),
        (304, C.API_MISMATCH),
        (500, C.UPSTREAM_ERROR),
        (504, C.UPSTREAM_ERROR),
        (599, C.UPSTREAM_ERROR),
        (101, C.UPSTREAM_ERROR),
        (999, C.UPSTREAM_ERROR),
    ],
)
@pytest.mark.parametrize("body", [None, b"", b"\xff\xfe", b"no"])
def test_any_other_status_has_its_class(status: int, cls: OutcomeClass, body: bytes | None) -> None:
    outcome = judge(status, body, "text/plain")
    assert (outcome.cls, outcome.status, outcome.latency) == (cls, status, 0.1)


# Cold starts


@pytest.mark.parametrize(
    ("latency", "known_warm", "cls"),
    [(1.0, False, C.OK), (1.1, False, C.COLD_START), (1.1, True, C.OK)],
)
def test_a_slow_success_of_an_offer_not_known_warm_is_a_cold_start(
    latency: float, known_warm: bool, cls: OutcomeClass
) -> None:
    """R38, R63"""
    outcome = judge(latency=latency, known_warm=known_warm)
    assert (outcome.cls, outcome.cold, outcome.is_success) == (cls, cls is C.COLD_START, True)


def test_a_success_needs_no_signatures_to_be_judged_by_its_contract() -> None:
    assert judge(signatures=()).cls is C.OK
    assert judge(body=b"{}", signatures=(), contract=DEPTH).cls is C.API_MISMATCH


def test_a_slow_breach_is_a_breach() -> None:
    assert judge(body=b"{}", latency=9.0, known_warm=False, contract=DEPTH).cls is C.API_MISMATCH


# Failed connections


@pytest.mark.parametrize(
    ("fault", "byoc", "direct", "began"),
    [
        (Fault.SATURATED, C.BUSY, C.BUSY, False),
        (Fault.REFUSED, C.UNREACHABLE, C.CONTAINER_CRASH, False),
        (Fault.UNREACHABLE, C.UNREACHABLE, C.UNREACHABLE, False),
        (Fault.UNTRUSTED, C.UNREACHABLE, C.UNREACHABLE, False),
        (Fault.NO_ANSWER, C.TIMEOUT, C.TIMEOUT, True),
        (Fault.BROKEN, C.CONTAINER_CRASH, C.CONTAINER_CRASH, True),
        (Fault.MALFORMED, C.UPSTREAM_ERROR, C.UPSTREAM_ERROR, True),
        (Fault.STALLED, C.TIMEOUT, C.TIMEOUT, True),
        (Fault.CUT_OFF, C.UPSTREAM_ERROR, C.UPSTREAM_ERROR, True),
        (Fault.TOO_LARGE, C.UPSTREAM_ERROR, C.UPSTREAM_ERROR, True),
    ],
)
def test_a_failed_connection_has_its_class(
    fault: Fault, byoc: OutcomeClass, direct: OutcomeClass, began: bool
) -> None:
    """R65, R58"""
    speaker = Speaker.GATEWAY if fault is Fault.SATURATED else Speaker.TRANSPORT
    for protocol, cls in (("byoc", byoc), ("direct", direct)):
        outcome = classify_fault(fault, protocol)
        assert (outcome.cls, outcome.began, outcome.speaker) == (cls, began, speaker)
        assert outcome.detail == fault.value


def test_the_transports_words_are_kept() -> None:
    assert classify_fault(Fault.REFUSED, "byoc", "alder:8935 refused").detail == "alder:8935 refused"
