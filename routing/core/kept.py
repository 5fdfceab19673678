"""Calls whose outcome their client asked to keep: by an Idempotency-Key, or by `Prefer: respond-async`.

    queued --+--> running --+--> done        an answer, whatever its status
             |              |
             '--------------+--> failed      the gateway's own refusal; an answer that broke, or grew too large;
                            |                or the end of the worker that ran it (INTERRUPTED)
                            '--> cancelled   its client withdrew it

Sources: draft-ietf-httpapi-idempotency-key-header (409 while the first is under way, 422 for another request)
and RFC 7240, sections 4.1 and 4.3 (respond-async, wait).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from routing.core.refusal import Code, Refusal


class State(StrEnum):
    QUEUED = "queued"  # nobody has been asked yet
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNDER_WAY = (State.QUEUED, State.RUNNING)
INTERRUPTED = "interrupted"  # the code of a call whose worker ended first
TOO_LARGE = "too_large"  # of one whose answer nobody took and nobody could keep

_LONGEST_KEY = 255
_LONGEST_PREFERENCE = 1000  # characters; to search them may take the square of that
_BARE = re.compile(r"[!#-+\--~]{1,255}")  # visible ASCII but for the quote and the comma
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')  # RFC 8941, a string
_PREFERENCE = re.compile(r'([\w!#$%&\'*+.^`|~-]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,;]*))?')
_BAD_KEY = (
    'Idempotency-Key must be one string of 1 to 255 printable ASCII characters, such as "8e03978e-40d5-43dd".'
)


class BadKey(ValueError):
    """The text is for the client."""


def read_key(text: str) -> str:
    """The key in an Idempotency-Key field: a quoted string, as the draft has it, or, as many send it, bare."""
    quoted = _QUOTED.fullmatch(text.strip())
    if quoted:
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    else:
        key = text.strip() if _BARE.fullmatch(text.strip()) else ""
    if not 0 < len(key) <= _LONGEST_KEY:
        raise BadKey(_BAD_KEY)
    return key


@dataclass(frozen=True, slots=True)
class Preference:
    """Of a Prefer field. `wait`: seconds that the client would wait for the answer itself."""

    asynchronous: bool = False
    wait: float = 0.0


def read_preference(text: str) -> Preference:
    """What is unknown or malformed is passed over, and of two of one name the first counts (RFC 7240, 2). So is
    a field of more than _LONGEST_PREFERENCE."""
    found: dict[str, str] = {}
    for each in _members(text) if len(text) <= _LONGEST_PREFERENCE else ():
        match = _PREFERENCE.match(each.strip())
        if match:
            found.setdefault(match[1].lower(), (match[2] or "").strip('"'))
    wait = found.get("wait", "")
    return Preference("respond-async" in found, float(wait) if re.fullmatch(r"[0-9]{1,6}", wait) else 0.0)


def _members(text: str) -> list[str]:
    """The list's members; a comma within quotes divides nothing."""
    return re.findall(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+', text)


def state_after(code: str) -> State:
    """`code`: of a finished call, as the journal has it."""
    if code in ("ok", "client_error"):
        return State.DONE
    return State.CANCELLED if code == "cancelled" else State.FAILED


def is_worth_keeping(refusal: Refusal, *, accepted: bool) -> bool:
    """Whether a refusal is a call's outcome for good. One before any attempt ran nothing and cost nothing: the
    same key may try again. `accepted`: the client has been told 202."""
    return accepted or bool(refusal.attempts)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a kept call. `has_answer`: all of it can be told again."""

    request_id: str
    fingerprint: str
    state: State
    code: str
    has_answer: bool


def on_reuse(kept: Kept, fingerprint: str) -> Refusal | None:
    """Why a second request with the key of this call is not answered as it was; None: it is."""
    if kept.fingerprint != fingerprint:
        return Refusal(
            Code.KEY_REUSED,
            "This Idempotency-Key belongs to another request. It goes with the same method, path, query, "
            "content type, Livepeer header and body; anything else needs a key of its own.",
        )
    return on_result(kept)


def on_result(kept: Kept) -> Refusal | None:
    """Why there is no answer to be told; None: there is."""
    job = f"/v1/jobs/{kept.request_id}"
    if kept.state in UNDER_WAY:
        return Refusal(Code.UNDER_WAY, f"The call is under way; see {job}.", retry_after=1.0)
    if kept.has_answer:
        return None
    if kept.state is State.CANCELLED or kept.code == INTERRUPTED:
        what = "was cancelled" if kept.state is State.CANCELLED else "was interrupted by the end of its worker"
        return Refusal(
            Code.OUTCOME_UNKNOWN,
            f"The call {what}: whether an orchestrator had done it is not known. It is not run again under its "
            f"key; to run it again, send a new one. See {job}.",
        )
    why = "was too large to keep, or had to make room for later ones"
    return Refusal(Code.RESULT_GONE, f"The call was answered once, but its answer {why}; see {job}.")
