"""Every way the gateway says no, once: its stable code, its HTTP status, and what the client reads.

A refusal is a value, not an exception: deciding returns it, the API renders it, the journal counts it.
The document is RFC 9457 problem details. It is public: classes, counts and times only, never a host, a
price or a model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Code(StrEnum):
    BAD_JOB_HEADER = "bad_job_header"
    BAD_REQUEST = "bad_request"
    UNAUTHENTICATED = "unauthenticated"
    KEY_NOT_ALLOWED = "key_not_allowed"
    CAPABILITY_NOT_ALLOWED = "capability_not_allowed"
    NO_SUCH_CAPABILITY = "no_such_capability"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNDER_WAY = "under_way"
    OUTCOME_UNKNOWN = "outcome_unknown"
    RESULT_GONE = "result_gone"
    BODY_TOO_LARGE = "body_too_large"
    KEY_REUSED = "key_reused"
    RATE_LIMITED = "rate_limited"
    BUDGET_SPENT = "budget_spent"
    INTERNAL = "internal"
    NOT_IMPLEMENTED = "not_implemented"
    EXHAUSTED = "exhausted"
    OVERLOADED = "overloaded"
    NONE_AVAILABLE = "none_available"
    BOOKS_CLOSED = "books_closed"
    DEADLINE = "deadline"


STATUS: dict[Code, int] = {
    Code.BAD_JOB_HEADER: 400,
    Code.BAD_REQUEST: 400,
    Code.UNAUTHENTICATED: 401,
    Code.KEY_NOT_ALLOWED: 403,
    Code.CAPABILITY_NOT_ALLOWED: 403,
    Code.NO_SUCH_CAPABILITY: 404,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.UNDER_WAY: 409,
    Code.OUTCOME_UNKNOWN: 409,
    Code.RESULT_GONE: 410,
    Code.BODY_TOO_LARGE: 413,
    Code.KEY_REUSED: 422,
    Code.RATE_LIMITED: 429,
    Code.BUDGET_SPENT: 429,
    Code.INTERNAL: 500,
    Code.NOT_IMPLEMENTED: 501,
    Code.EXHAUSTED: 502,
    Code.OVERLOADED: 503,
    Code.NONE_AVAILABLE: 503,
    Code.BOOKS_CLOSED: 503,
    Code.DEADLINE: 504,
}

TITLE: dict[Code, str] = {
    Code.BAD_JOB_HEADER: "The Livepeer job header cannot be read",
    Code.BAD_REQUEST: "The request cannot be understood",
    Code.UNAUTHENTICATED: "A valid API key is required",
    Code.KEY_NOT_ALLOWED: "The API key is not good for this",
    Code.CAPABILITY_NOT_ALLOWED: "This client may not call the capability",
    Code.NO_SUCH_CAPABILITY: "There is no such capability",
    Code.NOT_FOUND: "There is nothing here",
    Code.METHOD_NOT_ALLOWED: "The method is not allowed here",
    Code.UNDER_WAY: "The call is under way",
    Code.OUTCOME_UNKNOWN: "What became of the call is not known",
    Code.RESULT_GONE: "The answer is not kept",
    Code.BODY_TOO_LARGE: "The request body is too large",
    Code.KEY_REUSED: "The idempotency key belongs to another request",
    Code.RATE_LIMITED: "Too many requests",
    Code.BUDGET_SPENT: "The budget does not cover this call",
    Code.INTERNAL: "The gateway failed",
    Code.NOT_IMPLEMENTED: "The gateway does not offer this",
    Code.EXHAUSTED: "Every attempt failed",
    Code.OVERLOADED: "The gateway is at its limit",
    Code.NONE_AVAILABLE: "No orchestrator is available",
    Code.BOOKS_CLOSED: "The books cannot be opened now",
    Code.DEADLINE: "Time ran out",
}

# Operators' alert rules match this text, as go-livepeer words it, to tell missing supply from all else.
_MISSING_SUPPLY = "no orchestrators available"


@dataclass(frozen=True, slots=True)
class AttemptSummary:
    """What a client may know of one attempt. `cls`: the outcome class; `ms`: how long it took."""

    cls: str
    ms: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """One answer of no.

    `detail`: a sentence for the client. `reasons`: how many offers were passed over for which reason.
    `retry_after`: seconds until asking again may help, None when the gateway cannot tell.
    """

    code: Code
    detail: str
    reasons: dict[str, int] = field(default_factory=dict)
    retry_after: float | None = None
    attempts: tuple[AttemptSummary, ...] = ()


def problem(refusal: Refusal, request_id: str) -> dict[str, object]:
    """The members of the problem document (RFC 9457, section 3), ours behind the standard ones."""
    members: dict[str, object] = {
        "type": f"urn:byocgw:problem:{refusal.code}",
        "title": TITLE[refusal.code],
        "status": STATUS[refusal.code],
        "detail": _detail(refusal),
        "code": refusal.code.value,
        "request_id": request_id,
    }
    if refusal.reasons:
        members["reasons"] = dict(refusal.reasons)
    if refusal.attempts:
        members["attempts"] = [{"class": attempt.cls, "ms": attempt.ms} for attempt in refusal.attempts]
    return members


def refusal_of(problem: Mapping[str, Any]) -> Refusal:
    """The refusal that a problem document tells of: what `problem` makes, read back."""
    attempts = tuple(AttemptSummary(each["class"], each["ms"]) for each in problem.get("attempts", ()))
    return Refusal(
        Code(problem["code"]), problem["detail"], dict(problem.get("reasons", {})), attempts=attempts
    )


def retry_after_header(refusal: Refusal) -> str | None:
    """The value of Retry-After in whole seconds, at least 1; None when the header is not sent.

    Missing supply always carries one: a client that is told nothing asks again at once.
    """
    if refusal.retry_after is None and refusal.code is not Code.NONE_AVAILABLE:
        return None
    return str(max(1, math.ceil(refusal.retry_after or 0)))


def _detail(refusal: Refusal) -> str:
    if refusal.code is not Code.NONE_AVAILABLE or refusal.detail.startswith(_MISSING_SUPPLY):
        return refusal.detail
    return f"{_MISSING_SUPPLY}: {refusal.detail}" if refusal.detail else _MISSING_SUPPLY
