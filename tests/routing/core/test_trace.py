"""W3C Trace Context, level 1: https://www.w3.org/TR/trace-context/."""

from __future__ import annotations

import re

import pytest

from routing.core.trace import Trace, span_id, trace_of

REQUEST = "0193645f0a1bdeadbeefdeadbeef1234"
ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{ID}-00f067aa0ba902b7-01"


def test_a_clients_trace_goes_on_with_a_span_of_each_attempts_own() -> None:
    trace = trace_of(PARENT, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", REQUEST)
    assert trace.headers(REQUEST, 1, {"accept": "*/*", "tracestate": "theirs"}) == {
        "accept": "*/*",
        "traceparent": f"00-{ID}-beefdeadbeef1201-01".replace("beefdeadbeef1201", span_id(REQUEST, 1)),
        "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
    }
    assert re.fullmatch(r"[0-9a-f]{16}", span_id(REQUEST, 1))
    assert span_id(REQUEST, 1) != span_id(REQUEST, 2)


def test_without_one_the_request_begins_its_own_and_nobody_is_asked_to_record() -> None:
    assert trace_of(None, "a=b", REQUEST) == Trace(REQUEST, "00", "")


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "nonsense",
        PARENT.upper(),
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{ID}-{'0' * 16}-01",
        f"ff-{ID}-00f067aa0ba902b7-01",
        f"{PARENT}-more",
        f"{PARENT},{PARENT}",
        f" {PARENT}",
        f"{PARENT}\n",
    ],
)
def test_what_is_not_a_traceparent_counts_as_none(parent: str) -> None:
    assert trace_of(parent, "a=b", REQUEST) == Trace(REQUEST)


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert trace_of(f"cc-{ID}-00f067aa0ba902b7-01-what-will-come", None, REQUEST) == Trace(ID, "01", "")


@pytest.mark.parametrize("state", ["a=" + "b" * 511, ",".join(["a=b"] * 33), "a=b\r\nx: y", "a=☃", None])
def test_a_tracestate_is_passed_on_whole_or_not_at_all(state: str | None) -> None:
    assert trace_of(PARENT, state, REQUEST) == Trace(ID, "01", "")


def test_without_a_tracestate_none_is_sent() -> None:
    assert list(Trace(ID).headers(REQUEST, 1, {})) == ["traceparent"]
