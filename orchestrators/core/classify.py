"""One answer, or one failed connection, judged: what happened, and by whose word.

Three questions, in this order, because a status alone misleads:

1. Are these the orchestrator's *own* words? A BYOC orchestrator answers with the container's statuses
   and with its own; only its exact texts tell them apart. Those about credentials or payment are no
   fault of the request (`rejected`), and a stock gateway that hands them to the client is wrong.
2. Does the answer carry a known *signature*? Out of memory and loading have no status of their own.
   Operators keep the list (see `signature`); it is sought in the headers and the first 8 KiB.
3. Else the *status*; and a success must keep the capability's contract, or it is none.

Bodies belong to the client: no text of a container gets into an outcome, only the orchestrator's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from orchestrators.core.contract import Contract
from orchestrators.core.effects import EFFECTS
from orchestrators.core.outcome import NOTHING_SENT, Fault, Outcome, OutcomeClass, Speaker
from orchestrators.core.own_words import own_words
from orchestrators.core.signature import DEFAULTS, Signature, match
from orchestrators.core.storable import storable

_HEAD = 8192  # bytes of a body that are read for words
_LONGEST_DETAIL = 300
_BUSY_FOR = 1.0  # seconds, where a busy side does not say how long
_LONGEST_BUSY = 300.0  # as long as the longest down: who asks for more is not obeyed

# see there
_OK, _COLD, _BUSY = OutcomeClass.OK, OutcomeClass.COLD_START, OutcomeClass.BUSY
_CONTAINER = Speaker.CONTAINER

_FAULTS: Mapping[Fault, OutcomeClass] = {
    Fault.SATURATED: OutcomeClass.BUSY,
    Fault.REFUSED: OutcomeClass.UNREACHABLE,
    Fault.UNREACHABLE: OutcomeClass.UNREACHABLE,
    Fault.UNTRUSTED: OutcomeClass.UNREACHABLE,
    Fault.NO_ANSWER: OutcomeClass.TIMEOUT,
    Fault.BROKEN: OutcomeClass.CONTAINER_CRASH,
    Fault.MALFORMED: OutcomeClass.UPSTREAM_ERROR,
    Fault.STALLED: OutcomeClass.TIMEOUT,
    Fault.CUT_OFF: OutcomeClass.UPSTREAM_ERROR,
    Fault.TOO_LARGE: OutcomeClass.UPSTREAM_ERROR,
}


class Answered(msgspec.Struct, frozen=True):
    """`headers`: names in lower case. `body`: all of it (`whole`), or the first SSE event, or the first 8 KiB;
    None if it was not read. `latency`: seconds from the first byte sent to the commit point.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    whole: bool
    latency: float


class Setting(msgspec.Struct, frozen=True):
    """What must be known besides the answer.

    `protocol`: byoc | live-runner | direct. `path_known`: this offer has served this worker path before, or
    it is its sample's. `cold_over`: seconds; a success slower than that was a cold start. inf for an offer
    that is known warm. `signatures`: in order.
    """

    protocol: str
    contract: Contract
    path_known: bool
    cold_over: float
    signatures: tuple[Signature, ...] = DEFAULTS


class Rule(StrEnum):
    """What an answer was judged by."""

    OWN_WORDS = "the orchestrator's own words"
    SIGNATURE = "a failure signature"
    STATUS = "the status"
    CONTRACT = "the capability's contract, and the time it took"


class Verdict(msgspec.Struct, frozen=True):
    """An outcome, and how it came about. `signature`: the one that matched, if any."""

    outcome: Outcome
    rule: Rule
    signature: Signature | None = None


def classify(answered: Answered, setting: Setting) -> Outcome:
    """Judge one answer. Never raises, whatever the other side sent."""
    verdict = _by_words(answered, setting)
    if verdict is not None:
        return verdict.outcome
    if 200 <= answered.status < 300:
        content_type = answered.headers.get("content-type", "")
        return by_contract(
            answered.status,
            content_type,
            answered.body,
            answered.whole,
            answered.latency,
            setting.contract,
            setting.cold_over,
        )
    return _by_status(answered, setting)


def by_contract(
    status: int,
    content_type: str,
    body: bytes | None,
    whole: bool,
    latency: float,
    contract: Contract,
    cold_over: float,
) -> Outcome:
    """`classify` of a success where no signature is sought, as of nearly all: what it is asked, without the two
    values that hold it, which take 2,000 instructions."""
    breach = contract.breach(content_type, body, whole)
    if breach and not (status == 204 and contract.is_open):  # which is empty by its own word
        return Outcome(OutcomeClass.API_MISMATCH, _CONTAINER, status, latency, detail=breach)
    is_cold = latency > cold_over
    return Outcome(_COLD if is_cold else _OK, _CONTAINER, status, latency, is_cold)


def judge(answered: Answered, setting: Setting) -> Verdict:
    """`classify`, for whoever wants to know why. Never raises either."""
    rule = Rule.CONTRACT if 200 <= answered.status < 300 else Rule.STATUS
    return _by_words(answered, setting) or Verdict(classify(answered, setting), rule)


def _by_words(answered: Answered, setting: Setting) -> Verdict | None:
    """By the orchestrator's own words, or by a signature; None if neither is there."""
    status = answered.status
    signatures = [each for each in setting.signatures if each.status_from <= status <= each.status_to]
    if 200 <= status < 300 and not signatures:
        return None  # no words matter: 5 us of a success, more of a long one
    text = (answered.body or b"")[:_HEAD].decode("utf-8", "replace")
    own = _by_own_words(answered, text.rstrip(), setting.protocol)
    if own is not None:
        return Verdict(own, Rule.OWN_WORDS)
    signature = match(signatures, status, answered.headers, text.lower())
    if signature is not None:
        return Verdict(_by_signature(answered, signature), Rule.SIGNATURE, signature)
    return None


def classify_fault(fault: Fault, protocol: str, detail: str = "") -> Outcome:
    """Judge a connection that failed. With no orchestrator in front, it is the container that refuses."""
    cls = _FAULTS[fault]
    if fault is Fault.REFUSED and protocol == "direct":
        cls = OutcomeClass.CONTAINER_CRASH
    return Outcome(
        cls,
        speaker=Speaker.GATEWAY if fault is Fault.SATURATED else Speaker.TRANSPORT,
        began=fault not in NOTHING_SENT,
        detail=detail or fault.value,
    )


def _by_own_words(answered: Answered, text: str, protocol: str) -> Outcome | None:
    """Of the orchestrator in front of the container, if the protocol has one."""
    cls = own_words(protocol, answered.status, text)
    if cls is None:
        return None
    return msgspec.structs.replace(
        _outcome(answered, cls, storable(text[:_LONGEST_DETAIL])), speaker=Speaker.ORCHESTRATOR
    )


def _by_signature(answered: Answered, signature: Signature) -> Outcome:
    """Its own texts tell the operator what was found: they are his, not the client's."""
    told = " and ".join(f'"{words}"' for words in (signature.text, signature.header) if words)
    return _outcome(answered, signature.cls, f"The container says {told} (signature {signature.name}).")


def _by_status(answered: Answered, setting: Setting) -> Outcome:
    status = answered.status
    if 300 <= status < 400:
        return _outcome(answered, OutcomeClass.API_MISMATCH, "Redirects are not followed.")
    if status in (429, 503):
        return _outcome(answered, _BUSY)
    if status == 408:  # its time ran out, whatever it waited for; another one may be quicker
        return _outcome(answered, OutcomeClass.TIMEOUT)
    if status in (404, 405) and setting.path_known:
        return _outcome(answered, OutcomeClass.API_MISMATCH, "A path that is known to exist is refused.")
    if 400 <= status < 500:
        return _outcome(answered, OutcomeClass.CLIENT_ERROR)
    return _outcome(answered, OutcomeClass.UPSTREAM_ERROR)


def _outcome(answered: Answered, cls: OutcomeClass, detail: str = "") -> Outcome:
    return Outcome(
        cls,
        status=answered.status,
        latency=answered.latency,
        retry_after=_seconds(answered.headers.get("retry-after", "")) if cls is _BUSY else None,
        began=EFFECTS[cls].began,
        detail=detail,
    )


def _seconds(retry_after: str) -> float:
    """Retry-After in seconds. Its other form, a date, needs a clock that both sides share: default."""
    text = retry_after.strip()
    if not (text.isascii() and text.isdigit()):
        return _BUSY_FOR
    return min(float(text), _LONGEST_BUSY)
