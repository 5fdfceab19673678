"""Whose words an answer of a Live Runner is; BYOC's are in test_classify."""

from __future__ import annotations

import pytest

from orchestrators.core.outcome import OutcomeClass, Speaker
from tests.orchestrators.core.judging import judge

C = OutcomeClass
PROTOCOL = "live-runner"


@pytest.mark.parametrize(
    ("status", "text", "cls"),
    [
        (503, "no capacity available for runner", C.BUSY),
        (404, "runner not found", C.NOT_CLAIMED),
        (404, "live runners are not supported", C.NOT_CLAIMED),
        (400, "runner is not single-shot", C.NOT_CLAIMED),
        (402, '{"payment_params":"..."}', C.REJECTED),
        (402, "could not parse payment", C.REJECTED),
        (502, "dial tcp 127.0.0.1:5000: connect: connection refused", C.CONTAINER_CRASH),
        (502, "EOF", C.CONTAINER_CRASH),
    ],
)
def test_the_orchestrators_own_words(status: int, text: str, cls: OutcomeClass) -> None:
    outcome = judge(status, text.encode() + b"\n", "text/plain", protocol=PROTOCOL)
    assert (outcome.cls, outcome.speaker) == (cls, Speaker.ORCHESTRATOR)


@pytest.mark.parametrize(
    ("status", "text", "cls"),
    [
        (503, "busy", C.BUSY),
        (404, "no such item", C.API_MISMATCH),
        (400, "bad prompt", C.CLIENT_ERROR),
        (502, "my own upstream is away", C.UPSTREAM_ERROR),
        (200, "runner not found", C.OK),
    ],
)
def test_whatever_else_the_app_says(status: int, text: str, cls: OutcomeClass) -> None:
    outcome = judge(status, text.encode(), "text/plain", protocol=PROTOCOL)
    assert (outcome.cls, outcome.speaker) == (cls, Speaker.CONTAINER)


def test_byoc_words_mean_nothing_here_nor_these_there() -> None:
    byoc = b"No capacity available for capability"
    assert judge(503, byoc, "text/plain", protocol=PROTOCOL).cls is C.BUSY
    assert judge(404, b"runner not found", "text/plain", protocol="byoc").cls is C.API_MISMATCH
    assert judge(404, b"runner not found", "text/plain", protocol="direct").speaker is Speaker.CONTAINER
