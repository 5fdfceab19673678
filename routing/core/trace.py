"""W3C Trace Context: the client's trace goes on through the gateway; without one, a call begins its own.

Each attempt is a span. Its id needs no memory: the last digits of the request id, which are chance, and the
attempt's number. A client's header that is not as the specification wants it counts as none.
"""

from __future__ import annotations

import re

import msgspec

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE = re.compile(r"[\x20-\x7e]{1,512}")
_MOST_MEMBERS = 32
_NOT_SAMPLED = "00"
_ATTEMPTS = tuple(f"{number:02x}" for number in range(256))  # to write one takes 2,000 instructions


class Trace(msgspec.Struct, frozen=True, gc=False):
    """`id`: 32 hex digits. `flags`: two, the client's own. `state`: its `tracestate`, or ""."""

    id: str
    flags: str = _NOT_SAMPLED
    state: str = ""

    def headers(self, request_id: str, attempt: int, others: dict[str, str]) -> dict[str, str]:
        """For the orchestrator, with `others`, of which ours replace those of their names. `attempt`: counts
        from 1."""
        fields = others.copy()
        fields["traceparent"] = f"00-{self.id}-{span_id(request_id, attempt)}-{self.flags}"
        if self.state:
            fields["tracestate"] = self.state
        return fields


def span_id(request_id: str, attempt: int) -> str:
    """16 hex digits. `request_id`: 32 of them."""
    return request_id[-14:] + _ATTEMPTS[attempt & 0xFF]


def trace_of(parent: str | None, state: str | None, request_id: str) -> Trace:
    """The trace that a client's `traceparent` and `tracestate` name, or a new one."""
    match = _PARENT.fullmatch(parent) if parent else None
    if match is None:
        return Trace(request_id)
    version, trace_id, span, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not (trace_id.strip("0") and span.strip("0")):
        return Trace(request_id)
    return Trace(trace_id, flags, _bounded(state))


def _bounded(state: str | None) -> str:
    """All of it or nothing: half a list would be another."""
    if not state or not _STATE.fullmatch(state) or state.count(",") >= _MOST_MEMBERS:
        return ""
    return state
