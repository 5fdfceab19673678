"""What follows from each outcome: one table, a row per class.

Health, failover, reputation, the prober and the admin read it here, so a class has one meaning wherever
it matters. The theory of a column stands with who acts on it: of `on_health` in `health`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrators.core.outcome import Outcome, OutcomeClass


class OnHealth(StrEnum):
    """What an outcome does to the health of its offer; `health` has a rule for each."""

    __hash__ = str.__hash__  # see OutcomeClass

    PROOF = "proof"  # it works
    START = "start"  # it works, or will: the model was being loaded
    WAIT = "wait"  # back-pressure: it is left alone for a while
    NONE = "none"
    FAULT = "fault"  # counts; several take it down
    DOWN = "down"  # down at once, for a time
    SHUT = "shut"  # down at once, until somebody has looked


@dataclass(frozen=True, slots=True)
class Effect:
    """`retry_elsewhere`: the request goes on to another orchestrator. `began`: the container may have started
    work, so a stateful capability must not be asked again. `blamable`: if another orchestrator's container
    answers the same, the request itself is to blame. `reputation`: points its orchestrator loses, of 100.
    `reprobe_siblings`: the orchestrator's other capabilities are probed at once.
    """

    on_health: OnHealth
    retry_elsewhere: bool = True
    began: bool = True
    blamable: bool = False
    reputation: int = 0
    reprobe_siblings: bool = False


_C, _H = OutcomeClass, OnHealth

EFFECTS: Mapping[OutcomeClass, Effect] = {
    _C.OK: Effect(_H.PROOF, retry_elsewhere=False),
    _C.SLOW: Effect(_H.PROOF, retry_elsewhere=False),
    _C.COLD_START: Effect(_H.START, began=False),  # that it is loading; an answer after that is a success
    _C.BUSY: Effect(_H.WAIT, began=False),
    _C.NOT_CLAIMED: Effect(_H.NONE, began=False),
    _C.GPU_OOM: Effect(_H.FAULT, reprobe_siblings=True),  # it evicts the other models
    _C.CONTAINER_CRASH: Effect(_H.FAULT),
    _C.API_MISMATCH: Effect(_H.DOWN, blamable=True, reputation=15),  # a wrong answer is worse than none
    _C.TIMEOUT: Effect(_H.FAULT),
    _C.UNREACHABLE: Effect(_H.FAULT, began=False),
    _C.UPSTREAM_ERROR: Effect(_H.FAULT, blamable=True),
    _C.REJECTED: Effect(_H.SHUT, began=False),  # our credentials, our money: not its reputation
    _C.CLIENT_ERROR: Effect(_H.NONE, retry_elsewhere=False, blamable=True),
    _C.CANCELLED: Effect(_H.NONE, retry_elsewhere=False),
}

_HEALTH_IN_WORDS: Mapping[OnHealth, str] = {
    _H.PROOF: "It proves the offer healthy; if it was slower than its target, degraded.",
    _H.START: "No fault: a start is recorded apart from warm answers; a long one degrades the offer.",
    _H.WAIT: "No fault: the offer is left alone for a while, as long as it asks for.",
    _H.NONE: "The offer's health does not change.",
    _H.FAULT: "A fault: two in a row, or half of the latest contacts, take the offer down for a time.",
    _H.DOWN: "The offer is down at once, for a time; a sample request that succeeds brings it back.",
    _H.SHUT: "The offer is down until a probe succeeds: credentials or money, for a person to put right.",
}


def in_words(outcome: Outcome) -> tuple[str, ...]:
    """What follows from this outcome, in sentences for the operator."""
    effect = EFFECTS[outcome.cls]
    lines = [_next_step(outcome, effect), _HEALTH_IN_WORDS[effect.on_health]]
    if outcome.cls is OutcomeClass.NOT_CLAIMED:
        lines.append("The offer counts as not claimed until a probe says otherwise.")
    if effect.blamable:
        lines.append("If another orchestrator's container answers the same, the request is to blame, not they.")
    if effect.reputation:
        lines.append(f"Its orchestrator loses {effect.reputation} of 100 points of reputation.")
    if effect.reprobe_siblings:
        lines.append("The orchestrator's other capabilities are probed at once.")
    return tuple(lines)


def _next_step(outcome: Outcome, effect: Effect) -> str:
    if outcome.is_answer:
        return "The client gets this answer; no other orchestrator is asked."
    if not effect.retry_elsewhere:
        return "No other orchestrator is asked."
    if outcome.began:
        return "Another orchestrator is asked, unless the capability is stateful: its work may have begun."
    return "Another orchestrator is asked, also for a stateful capability: no work has begun."
