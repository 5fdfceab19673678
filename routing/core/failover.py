"""What comes next: another try, the answer as it is, or giving up. Every path ends in one of the three.

An answer is delivered as soon as there is one. A failure moves on to the next candidate, unless

- the request itself is to blame: containers of two orchestrators gave the same answer to it;
- the capability keeps state and a container may have begun: asking again could do the work twice;
- the attempts, the time or the budget of retries are used up, or nobody is left. A tried offer is never
  tried again. Only offers on probation need one (see `retries`).

The loop around it ends: every Try names an offer that is not in the history yet, and is followed by an
attempt that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

import msgspec

from orchestrators.core.effects import EFFECTS
from orchestrators.core.outcome import Outcome, OutcomeClass, Speaker
from routing.core.budget import Budget
from routing.core.refusal import Code
from routing.core.selection import Candidate, Rank

# Only these may be the request's doing. Busy, out of memory, timeouts and broken connections never are.
_NOBODY: frozenset[int] = frozenset()
_BLAMABLE = frozenset(cls for cls, effect in EFFECTS.items() if effect.blamable)

# Seconds before the end of the retry timeout in which a next attempt still gets started.
_TO_START = 0.1

Answer = tuple[OutcomeClass, int]


def milliseconds(seconds: float) -> int:
    """Rounded, half of one up."""
    return floor(seconds * 1000.0 + 0.5)


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One offer asked, and what came of it after so many seconds. `at`: wall seconds when it began."""

    offer_id: int
    orchestrator: str
    outcome: Outcome
    seconds: float
    at: float = 0.0

    @property
    def ms(self) -> int:
        return milliseconds(self.seconds)

    @property
    def answer(self) -> Answer | None:
        """The container's own answer as something to compare; None for whatever others did."""
        outcome = self.outcome
        if outcome.speaker is not Speaker.CONTAINER or outcome.cls not in _BLAMABLE or outcome.status is None:
            return None
        return outcome.cls, outcome.status


class Try(msgspec.Struct, frozen=True, gc=False):
    """Ask this one, and give it `timeout` seconds to reach the commit point. `budgeted`: a retry that
    draws on the capability's budget."""

    candidate: Candidate
    timeout: float
    budgeted: bool = False


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand the last answer to the client as it is."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    code: Code


def decide(
    ranked: Sequence[Candidate],
    history: tuple[Attempt, ...],
    budget: Budget,
    max_attempts: int,
    stateful: bool,
    now: float,
    may_retry: bool = True,
    seat_missing: bool = False,
) -> Try | Deliver | GiveUp:
    """The next step of one request; `history` holds its attempts so far, oldest first.

    `may_retry`: the capability's budget allows one more retry at an offer on probation. `seat_missing`: there
    is another one, which lacks nothing but a free seat.
    """
    if history and (verdict := _settled(history, stateful)):
        return verdict
    if len(history) >= max_attempts:
        return GiveUp(_failure(history))
    if not budget.may_start(now):
        return GiveUp(_failure(history) if history and now < budget.deadline else Code.DEADLINE)
    untried = _untried(ranked, history) if history else ranked
    if not untried:
        return GiveUp(_failure(history))
    chosen = untried[0]
    # One that has merely just failed is none: without a second voice the request could not be told from it.
    budgeted = history != () and chosen.rank >= Rank.PROBATION and not chosen.doubted
    if budgeted and not may_retry:
        return GiveUp(_failure(history))
    timeout = budget.allowance(now, chosen.warm)
    if not chosen.warm and (seat_missing or any(each.rank is Rank.READY for each in untried[1:])):
        # Whoever is cold may not use up the time in which a ready one, or one that is full, could be asked.
        timeout = min(timeout, max(budget.attempt_timeout, budget.retry_until - now - _TO_START))
    return Try(chosen, timeout, budgeted)


def may_wait(history: tuple[Attempt, ...], *, max_attempts: int, stateful: bool) -> bool:
    """True while another attempt would be made if only somebody had a free seat."""
    return len(history) < max_attempts and not (history and _settled(history, stateful))


def _settled(history: tuple[Attempt, ...], stateful: bool) -> Deliver | GiveUp | None:
    """What the attempts alone decide, whoever may be left to ask."""
    last = history[-1]
    if last.outcome.is_answer:
        return Deliver()
    if blamed := requests_fault(history):
        status = last.outcome.status or 0
        deliverable = last.offer_id in blamed and 400 <= status < 500
        return Deliver() if deliverable else GiveUp(Code.EXHAUSTED)
    if stateful and any(attempt.outcome.began for attempt in history):
        return GiveUp(_failure(history))
    return None


def _untried(ranked: Sequence[Candidate], history: tuple[Attempt, ...]) -> Sequence[Candidate]:
    tried = {attempt.offer_id for attempt in history}
    return [each for each in ranked if each.offer_id not in tried]


def _failure(history: tuple[Attempt, ...]) -> Code:
    """What to call it when nothing more is tried."""
    if not history:
        return Code.NONE_AVAILABLE
    if all(attempt.outcome.cls is OutcomeClass.TIMEOUT for attempt in history):
        return Code.DEADLINE
    return Code.EXHAUSTED


def requests_fault(history: tuple[Attempt, ...]) -> frozenset[int]:
    """The offers that answered what another orchestrator's container answered too.

    The request is to blame there, so their harm is dropped; it is applied for all others when the request
    ends.
    """
    if len(history) < 2:
        return _NOBODY
    voices: dict[Answer, set[str]] = {}
    for attempt in history:
        if attempt.answer:
            voices.setdefault(attempt.answer, set()).add(attempt.orchestrator)
    agreed = {answer for answer, orchestrators in voices.items() if len(orchestrators) > 1}
    return frozenset(attempt.offer_id for attempt in history if attempt.answer in agreed)
