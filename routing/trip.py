"""Trip: the account of one request, from its arrival to its line in the journal, closed exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from math import ceil
from typing import Any

import msgspec
from msgspec.structs import replace

from orchestrators.core.outcome import Outcome, OutcomeClass
from orchestrators.core.price import Price, Unit
from orchestrators.scoreboard import Seat
from orchestrators.upstream.base import Call
from routing.allowances import Reservation
from routing.core.failover import Attempt, milliseconds
from routing.core.limits import Account
from routing.core.refusal import STATUS, AttemptSummary, Code, Refusal
from routing.core.selection import Candidate, Refused, Why, soonest
from routing.core.trace import Trace
from routing.decisions import is_sampled, pack
from routing.delivery import Opening
from routing.journal import AttemptRecord, JobRecord
from routing.replay import ReplayBody
from routing.table import ClientEntry, Lane, OfferEntry, RoutingTable

# Where no offer says when it may be fit again (a ceiling, a mode), somebody has to change something.
WAIT_FOR_PEOPLE = 30.0
NOT_REPEATABLE = "Its body was not kept for another attempt: the worker keeps as many as it may."
NOBODY: frozenset[int] = frozenset()
_OK, _SECOND = OutcomeClass.OK, Unit.SECOND  # see OutcomeClass
CLIENT_CLOSED = 499  # nginx's number for a client that hung up; never sent, only recorded


class InferenceCall(msgspec.Struct, frozen=True):
    """One request as the routing service wants it: HTTP is behind it.

    `worker_path`: undecoded, without a leading slash. `timeout`, `search_timeout`: seconds the client
    allows for the whole and until an attempt starts, None for no wish. `headers`: from the allow-list.
    `model_id`: what the client calls the model, written down and no more.
    `method` and `query` reach the offers whose protocol has words for them. `keep_decision`: also of a smooth
    call that is not in the sample.
    """

    request_id: str
    client: ClientEntry
    table: RoutingTable
    lane: Lane
    worker_path: bytes
    content_type: str
    body: ReplayBody
    trace: Trace
    timeout: float | None = None
    headers: dict[str, str] = {}
    query: bytes = b""
    request: str = "{}"
    parameters: str = "{}"
    include: Collection[str] = ()
    exclude: Collection[str] = ()
    search_timeout: float | None = None
    method: bytes = b"POST"
    model_id: str = ""
    keep_decision: bool = False


class Held(msgspec.Struct, frozen=True):
    """The latest answer, kept open until it is decided whether the client gets it."""

    opening: Opening
    seat: Seat
    offer: OfferEntry
    candidate: Candidate
    outcome: Outcome
    is_success: bool
    started: float


Round = tuple[Sequence[Candidate], Sequence[Refused], Sequence[float]]  # what was chosen from, and the draws


class Trip(msgspec.Struct, eq=False, weakref=True):
    """`at`: wall seconds; `started`: monotonic seconds, of the same moment."""

    call: InferenceCall
    at: float
    started: float
    reservation: Account | Reservation | None = None
    history: tuple[Attempt, ...] = ()
    first: Round | None = None  # the one before any attempt
    postponed: tuple[tuple[int, Outcome], ...] = ()
    held: Held | None = None
    waiting_since: float | None = None
    in_vain: int | None = None  # attempts at the time when the latest wait ended without a seat
    paused_after: int = 0  # attempts
    waited: float = 0.0  # seconds: for a seat, between attempts
    closed: bool = False

    def tried(self) -> frozenset[int]:
        """Offers."""
        return frozenset([attempt.offer_id for attempt in self.history])

    def log_fields(self) -> dict[str, object]:
        """For `routing.context`."""
        return {
            "request": self.call.request_id,
            "client": self.call.client.name,
            "capability": self.call.lane.policy.slug,
            "attempt": len(self.history) + 1,
        }

    def max_attempts(self) -> int:
        """As the profile says; none more after one whose body could not be kept for another."""
        most = self.call.lane.policy.max_attempts
        return most if self.call.body.repeatable else min(most, len(self.history))

    def asking(self, timeout: float) -> Call:
        """The next attempt, as upstreams want it. `timeout`: seconds."""
        call = self.call
        whole = call.body.whole()
        return Call(
            call.request_id,
            call.worker_path,
            call.content_type,
            call.body if whole is None else whole,
            timeout,
            call.request,
            call.parameters,
            call.trace.headers(call.request_id, len(self.history) + 1, call.headers),
            call.method,
            call.query,
        )

    def note(self, offer: OfferEntry, outcome: Outcome, started: float, seconds: float) -> Attempt:
        """An attempt that has ended. `started`: monotonic seconds."""
        if not (self.call.body.repeatable or outcome.is_answer):
            outcome = replace(outcome, detail=f"{outcome.detail}. {NOT_REPEATABLE}")
        attempt = Attempt(offer.id, offer.orchestrator, outcome, seconds, self.at + started - self.started)
        self.history += (attempt,)
        return attempt

    def broke_off(self, outcome: Outcome) -> None:
        """The answer under way broke: that, not its good start, is what became of the last attempt."""
        self.history = (*self.history[:-1], replace(self.history[-1], outcome=outcome))

    def refusal(self, code: Code, refused: Sequence[Refused], now: float) -> Refusal:
        """The typed answer when nobody could serve. `refused`: in the latest round. `now`: wall seconds."""
        everyone = [*self.call.lane.refused, *refused]
        reasons = Counter(each.why.value for each in everyone if each.why is not Why.TRIED)
        wait = soonest(everyone, now)
        if wait is None and code is Code.NONE_AVAILABLE:
            wait = 1.0 if Why.NO_SEAT in reasons else WAIT_FOR_PEOPLE
        return Refusal(
            code,
            self._sentence(code, reasons),
            reasons=dict(reasons),
            retry_after=wait if code is Code.NONE_AVAILABLE else None,
            attempts=tuple(AttemptSummary(each.outcome.cls.value, each.ms) for each in self.history),
        )

    def _sentence(self, code: Code, reasons: Counter[str]) -> str:
        slug = self.call.lane.policy.slug
        if code is Code.NONE_AVAILABLE:
            listed = ", ".join(f"{why} {number}" for why, number in sorted(reasons.items()))
            return f"no orchestrators available for {slug}: {listed or 'none is configured'}"
        tried = ", ".join(each.outcome.cls.value for each in self.history) or "none started"
        if code is Code.DEADLINE:
            return f"The time for {slug} ran out; attempts: {tried}."
        spent = "" if self.call.body.repeatable else f" {NOT_REPEATABLE}"
        return f"Every attempt at {slug} failed: {tried}.{spent}"

    def timing(self, now: float) -> tuple[float, str]:
        """What the gateway itself took until `now` (monotonic), without attempts and waiting: in seconds, and
        as W3C Server-Timing, which tells each attempt by its class besides, all in ms.
        """
        own = now - self.started - self.waited
        classes: tuple[OutcomeClass, ...] = ()
        values: tuple[float, ...] = ()
        for attempt in self.history:
            own -= attempt.seconds
            classes += (attempt.outcome.cls,)
            values += (attempt.seconds * 1000.0,)
        own = own if own > 0.0 else 0.0
        values += (own * 1000.0,)
        return own, _timing_of(classes) % values

    def record(
        self,
        code: str,
        status: int,
        sent: int,
        now: float,
        blameless: Collection[int],
        sample: float,
    ) -> JobRecord:
        """The line for the journal. `sent`: bytes. `now`: monotonic seconds. `blameless`: offers whose answers
        were the request's own fault. `sample`: see `_decision`.
        """
        held, call = self.held, self.call
        # By place, in the order of the line: by name it would take longer than encoding the line does.
        return JobRecord(
            call.request_id,
            self.at,
            call.client.name,
            call.lane.policy.slug,
            call.worker_path[:200].decode("ascii", "replace"),
            code,
            status,
            held.offer.orchestrator if held else "",
            milliseconds(now - self.started),
            call.body.size,
            sent,
            cost(held.offer.price, now - held.started) if held else 0,
            call.table.revision,
            self._decision(code, sample),
            _attempts(self.history, blameless),
            call.trace.id,
            call.model_id,
        )

    def _decision(self, code: str, sample: float) -> dict[str, Any]:
        """Kept for whatever did not go well at once, and for this share of the rest; else empty."""
        if self.first is None:
            return {}  # refused before anybody was looked at
        smooth = code == "ok" and len(self.history) == 1 and self.history[0].outcome.cls is _OK
        if smooth and not (self.call.keep_decision or is_sampled(self.call.request_id, sample)):
            return {}
        ranked, refused, draws = self.first
        return pack(ranked, [*self.call.lane.refused, *refused], draws)


@lru_cache
def _timing_of(attempts: tuple[OutcomeClass, ...]) -> str:
    """With places for the numbers, which are written at once: one by one they take twice as long."""
    told = [f'attempt{number};desc="{cls}";dur=%.1f' for number, cls in enumerate(attempts, 1)]
    return ", ".join([*told, "gateway;dur=%.2f"])


def _attempts(history: Sequence[Attempt], blameless: Collection[int]) -> tuple[AttemptRecord, ...]:
    records: tuple[AttemptRecord, ...] = ()
    for each in history:
        outcome, held_against = each.outcome, each.offer_id not in blameless
        records += (
            AttemptRecord(
                each.at,
                each.orchestrator,
                outcome.cls,
                outcome.status,
                milliseconds(each.seconds),
                outcome.cold,
                held_against,
                outcome.detail and outcome.detail[:500],
            ),
        )
    return records


def most_wei(lane: Lane, longest_answer: float) -> int:
    """What a call may cost at most: the dearest offer, from the last moment to the longest answer (seconds)."""
    policy = lane.policy
    seconds = policy.retry_timeout + policy.attempt_timeout + policy.cold_grace + longest_answer
    return max((cost(offer.price, seconds) for offer in lane.offers), default=0)


def cost(price: Price, seconds: float) -> int:
    """Wei for a call that took so long, rounded up. Pixels are the orchestrator's to count: 0 here.

    An orchestrator charges whole seconds, begun ones included (go-livepeer, chargeForCompute).
    """
    if price.unit is _SECOND:
        units = ceil(seconds) or 1
    elif price.unit is Unit.PIXEL:
        return 0
    else:
        units = 1
    return -(-price.wei * units // price.units)  # exact, rounded up; a Fraction takes 4 us


def refused_record(
    refusal: Refusal, *, request_id: str, client: str, capability: str, at: float, ms: int, policy: int
) -> JobRecord:
    """The line of a request that was refused before any routing: it counts in the client's usage."""
    return JobRecord(
        request_id=request_id,
        at=at,
        client=client,
        capability=capability,
        worker_path="",
        code=refusal.code.value,
        status=STATUS[refusal.code],
        orchestrator="",
        ms=ms,
        bytes_in=0,
        bytes_out=0,
        wei=0,
        policy=policy,
        decision={},
        attempts=(),
    )
