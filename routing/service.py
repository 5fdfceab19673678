"""RoutingService.infer: one request to one answer, or to one typed refusal. The only loop on the way.

    rank -> decide -+-> Try: ask one orchestrator, judge what comes, remember it, decide again
                    +-> Deliver: the answer goes to the client; nobody is asked from here on
                    +-> GiveUp: a refusal with its reasons

Everything it reads is in memory: the routing table, the scoreboard. There is no query and no thread
between a request's arrival and its first byte upstream. Two clocks: durations and deadlines by the
monotonic one, what is remembered by the wall's; each is read once per step and passed on.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf

from orchestrators.core.classify import Answered, Setting, by_contract, classify, classify_fault
from orchestrators.core.health import Source
from orchestrators.core.latency import cold_threshold
from orchestrators.core.outcome import Fault, Outcome, OutcomeClass, Speaker
from orchestrators.scoreboard import Scoreboard, Seat
from orchestrators.upstream.base import Reply, UpstreamError
from orchestrators.upstream.registry import Upstreams
from routing import context
from routing.access import AccessLog
from routing.allowances import Allowances
from routing.candidates import view
from routing.core import retries
from routing.core.budget import Budget
from routing.core.failover import Attempt, Deliver, GiveUp, Try, decide, may_wait, requests_fault
from routing.core.refusal import STATUS, Code, Refusal
from routing.core.selection import Refused, choose, lacks_seat
from routing.counts import Counts
from routing.deadline import Deadlines
from routing.delivery import Delivery, Ending, Opening
from routing.journal import Journal
from routing.opening import first_event, opening_at_hand, read_opening
from routing.replay import BodyTooLarge, BodyTooSlow, ClientGone
from routing.table import OfferEntry
from routing.trip import CLIENT_CLOSED, NOBODY, Held, InferenceCall, Trip, most_wei
from routing.waiting import SeatQueue

# What the client sees of the orchestrator's answer, besides its status and body.
PASSED_ON = ("content-type", "content-encoding", "content-disposition")


_OK, _TRAFFIC = OutcomeClass.OK, Source.TRAFFIC  # see OutcomeClass
GIVEN_UP = Outcome(OutcomeClass.CANCELLED, speaker=Speaker.GATEWAY)


class Unsendable(Exception):
    """The client's path or content type cannot be put into a request."""


CLIENTS_FAULTS: Mapping[type[Exception], Refusal] = {
    BodyTooLarge: Refusal(Code.BODY_TOO_LARGE, "The body is larger than this gateway takes."),
    BodyTooSlow: Refusal(Code.DEADLINE, "The body did not arrive within the time of an attempt."),
    Unsendable: Refusal(Code.BAD_REQUEST, "The path or the content type holds what HTTP does not allow."),
}


class RoutingService:
    """`upstreams`: protocol name -> how to speak it. `expose`: tell clients who served them.

    `longest_answer`: seconds that one may take once it has begun.
    `decision_sample`: share of smooth calls whose decision is kept, 0 to 1. `access_sample`: of all calls that
    get a log line.
    """

    def __init__(
        self,
        upstreams: Upstreams,
        board: Scoreboard,
        journal: Journal,
        allowances: Allowances,
        counts: Counts,
        *,
        longest_answer: float,
        expose: bool = False,
        decision_sample: float = 1.0,
        access_sample: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.board = board
        self.journal = journal
        self.counts = counts
        self.access = AccessLog(access_sample)
        self._allowances = allowances
        self._longest_answer = longest_answer
        self._upstreams = upstreams
        self._expose = expose
        self._decision_sample = decision_sample
        self._clock = clock
        self._wall = wall
        self._draw = draw
        self._queue = SeatQueue()
        self._deadlines = Deadlines()
        self._tallies: defaultdict[str, retries.Tally] = defaultdict(retries.Tally)  # by capability

    async def infer(self, call: InferenceCall) -> Delivery | Refusal:
        """Never raises for what upstreams do. ClientGone and CancelledError pass, the books closed."""
        at, now = self._wall(), self._clock()
        most = most_wei(call.lane, self._longest_answer) if call.client.has_budget else 0
        reservation = self._allowances.reserve(call.client, most, at)
        if isinstance(reservation, Refusal):
            if call.client.has_budget and await self._allowances.handed_over():
                at = self._wall()
                reservation = self._allowances.reserve(call.client, most, at)
            if isinstance(reservation, Refusal):
                return self._refuse(Trip(call, at, now), reservation)
        trip = Trip(call, at, now, reservation)
        context.enter(trip)
        try:
            policy = call.lane.policy
            # Here and elsewhere by place: matching a name takes 90 instructions a value.
            budget = Budget.of(
                now,
                policy.retry_timeout,
                policy.attempt_timeout,
                policy.cold_grace,
                call.timeout,
                call.search_timeout,
            )
            tally = self._tallies[policy.slug]
            tally.asked(now)
            if not call.body.complete:
                await call.body.short(min(budget.attempt_timeout, budget.left(now)))
                at, now = self._wall(), self._clock()
            while True:
                step, refused = self._step(trip, budget, tally, at, now)
                if isinstance(step, Try):
                    if await self._attempt(trip, step):
                        return self._deliver(trip)  # as `decide` would say, without another look: 6 us
                elif isinstance(step, Deliver):
                    return self._deliver(trip)
                elif not await self._seat_came_free(trip, budget, refused):
                    await self._drop_held(trip)
                    return self._refuse(trip, trip.refusal(step.code, refused, self._wall()))
                await self._pause(trip, budget)
                at, now = self._wall(), self._clock()
        except (BodyTooLarge, BodyTooSlow, Unsendable) as exc:
            await self._drop_held(trip)
            return self._refuse(trip, CLIENTS_FAULTS[type(exc)])
        except BaseException as exc:
            gone = isinstance(exc, ClientGone | asyncio.CancelledError)
            self._close(trip, "cancelled" if gone else "internal", CLIENT_CLOSED if gone else 500)
            await self._drop_held(trip)
            raise

    def _step(
        self, trip: Trip, budget: Budget, tally: retries.Tally, at: float, now: float
    ) -> tuple[Try | Deliver | GiveUp, Sequence[Refused]]:
        """What comes next, and who is passed over. This moment: `at` by the wall, `now` by the other clock."""
        call, history = trip.call, trip.history
        stateful, draws = call.lane.policy.stateful, (self._draw(), self._draw(), self._draw())
        ranked, refused = choose(
            view(call.lane, self.board, call.table.revision, at),
            at,
            stateful,
            draws,
            trip.tried() if history else NOBODY,
            call.include,
            call.exclude,
            trip.in_vain is not None,
        )
        if not history:
            trip.first = (ranked, refused, draws)
        step = decide(
            ranked,
            history,
            budget,
            trip.max_attempts(),
            stateful,
            now,
            not history or tally.allows(now),
            bool(refused) and lacks_seat(refused),
        )
        if isinstance(step, Try) and step.budgeted:
            tally.retried(now)
        return step, refused

    async def _seat_came_free(self, trip: Trip, budget: Budget, refused: Sequence[Refused]) -> bool:
        """Wait for a seat, within its time, if that is all that is missing.

        True when it is worth ranking again: a seat may be free, or the time is up and the last resort's turn.
        """
        now, policy = self._clock(), trip.call.lane.policy
        allowed = may_wait(trip.history, max_attempts=trip.max_attempts(), stateful=policy.stateful)
        if not lacks_seat(refused) or not allowed or trip.in_vain == len(trip.history):
            return False
        if trip.waiting_since is None:
            trip.waiting_since = now
        until = budget.wait_until(trip.waiting_since, policy.seat_wait, tried=bool(trip.history))
        if not await self._queue.wait(policy.slug, until - now):
            trip.in_vain = len(trip.history)
        trip.waited += self._clock() - now
        return True

    async def _pause(self, trip: Trip, budget: Budget) -> None:
        """Before the second retry and later ones, and before ranking for it: much may change meanwhile."""
        if len(trip.history) == trip.paused_after or trip.history[-1].outcome.is_answer:
            return
        trip.paused_after = len(trip.history)
        seconds = retries.pause(len(trip.history), self._draw())
        if seconds:
            seconds = min(seconds, budget.left(self._clock()))
            trip.waited += seconds
            await asyncio.sleep(seconds)

    # --- one attempt -----------------------------------------------------------------------------

    async def _attempt(self, trip: Trip, step: Try) -> bool:
        """Ask one, and judge what comes. True if there is an answer for the client."""
        if trip.held is not None:
            await self._drop_held(trip)
        call = trip.call
        offer = call.lane.by_id[step.candidate.offer_id]
        seat = self.board.seat(offer.id, offer.seats)
        if seat is None:
            return False  # taken between ranking and now: rank again
        started = self._clock()
        reply: Reply | None = None
        opening: Opening | None = None
        outcome = GIVEN_UP
        task = self._deadlines.begin(step.timeout)
        try:
            try:
                call.body.wanted = True
                if not call.body.complete:
                    await call.body.first()
                upstream = self._upstreams[offer.target.protocol]
                reply = await upstream.send(offer.target, trip.asking(step.timeout))
                opening = opening_at_hand(reply) or await read_opening(reply, call.lane.policy.contract)
            finally:
                seconds = self._clock() - started
                self._deadlines.end(task)
        except (TimeoutError, UpstreamError) as exc:
            outcome = _failed(exc, call, offer, step)
        except ValueError as exc:
            raise Unsendable from exc
        else:
            outcome = self._classified(call, offer, step, opening, seconds)
        finally:
            attempt = trip.note(offer, outcome, started, seconds)
            is_success = outcome.cls is _OK or outcome.is_success
            is_answer = is_success or outcome.is_answer
            if opening is not None and (is_answer or attempt.answer is not None):
                trip.held = Held(opening, seat, offer, step.candidate, outcome, is_success, started)
            else:
                self._leave(trip, seat)
                if reply is not None:
                    await reply.aclose()
        if not is_success:  # a stream is judged at its end
            self._judge(trip, attempt)
        return is_answer

    def _classified(
        self, call: InferenceCall, offer: OfferEntry, step: Try, opening: Opening, latency: float
    ) -> Outcome:
        live, policy = self.board.offers[offer.id], call.lane.policy
        reply = opening.reply
        body: bytes | None = opening.head
        if opening.is_event_stream and reply.status < 300:
            # A stream may end without its last empty line. Comments alone are no answer.
            ended = opening.head + b"\n\n" if opening.whole else opening.head
            body = first_event(ended) or (b"" if opening.whole else opening.head)
        cold_over = inf if step.candidate.warm else cold_threshold(live.latency, policy.latency_target)
        signatures = call.table.signatures if reply.status >= 300 else call.table.signatures_of_success
        if 200 <= reply.status < 300 and not signatures:
            content_type = reply.headers.get("content-type", "")
            return by_contract(
                reply.status, content_type, body, opening.whole, latency, policy.contract, cold_over
            )
        path_known = call.worker_path in live.served or call.worker_path == policy.sample_path
        return classify(
            Answered(reply.status, reply.headers, body, opening.whole, latency),
            Setting(offer.target.protocol, policy.contract, path_known, cold_over, signatures),
        )

    def _judge(self, trip: Trip, attempt: Attempt) -> None:
        """Tell the scoreboard: now, or, where the request itself may be to blame, when it ends."""
        outcome = attempt.outcome
        if attempt.answer is not None:
            trip.postponed += ((attempt.offer_id, outcome),)
            self.board.doubt(attempt.offer_id, 1)
        elif outcome.speaker is not Speaker.GATEWAY:
            self.board.observe(attempt.offer_id, outcome, self._wall())
            if outcome.cls is OutcomeClass.NOT_CLAIMED:
                self.board.claim(attempt.offer_id, False)

    # --- endings: each closes the trip once ------------------------------------------------------

    @property
    def waiting(self) -> dict[str, int]:
        """Requests that wait for a seat, by capability."""
        return self._queue.lengths()

    def _deliver(self, trip: Trip) -> Delivery:
        held = trip.held
        if held is None:
            raise RuntimeError("nothing to deliver")
        reply, now = held.opening.reply, self._clock()
        theirs = reply.headers
        own, timing = trip.timing(now)
        headers = {"x-byocgw-attempts": str(len(trip.history)), "server-timing": timing}
        for name in PASSED_ON:
            if name in theirs:
                headers[name] = theirs[name]
        if held.opening.is_event_stream:
            headers["cache-control"] = "no-cache"
            headers["x-accel-buffering"] = "no"
        if self._expose:
            headers["x-orchestrator-url"] = held.offer.target.service_uri
        delivery = Delivery(held.opening, reply.status, headers, None, trip.call.lane.policy.attempt_timeout)
        if held.opening.whole:  # the journal has its line before the client has the answer
            self._settle(trip, held, own, "ended", len(held.opening.head), None, now)
        else:
            trip.call.body.forget()
            delivery.settle = partial(self._settle, trip, held, own)
        return delivery

    def _settle(
        self,
        trip: Trip,
        held: Held,
        own: float,
        ending: Ending,
        sent: int,
        fault: Fault | None,
        now: float | None = None,
    ) -> None:
        """`own`: the gateway's seconds until there was an answer. `sent`: bytes. `now`: monotonic seconds."""
        outcome, offer = held.outcome, held.offer
        code: str = ending
        if ending == "ended":
            code = "client_error"
            if held.is_success:
                code = "ok"
                self.board.observe(offer.id, outcome, self._wall(), _TRAFFIC, trip.call.worker_path)
                if not held.candidate.claimed:
                    self.board.claim(offer.id, True)
        elif ending == "broken":
            outcome = classify_fault(fault or Fault.CUT_OFF, offer.target.protocol)
            trip.broke_off(outcome)
            self.board.observe(offer.id, outcome, self._wall())
        self._close(trip, code, held.opening.reply.status, sent, own, now)
        self._leave(trip, held.seat)

    def _refuse(self, trip: Trip, refusal: Refusal) -> Refusal:
        self._close(trip, refusal.code.value, STATUS[refusal.code])
        return refusal

    def _close(
        self,
        trip: Trip,
        code: str,
        status: int,
        sent: int = 0,
        own: float | None = None,
        now: float | None = None,
    ) -> None:
        if trip.closed:
            return
        trip.closed = True
        trip.call.body.forget()
        blameless = requests_fault(trip.history) if trip.postponed else NOBODY
        for offer_id, outcome in trip.postponed:
            self.board.doubt(offer_id, -1)
            if offer_id not in blameless:
                self.board.observe(offer_id, outcome, self._wall())
        if now is None:
            now = self._clock()
        served_by = trip.held.offer if trip.held is not None else None
        self.counts.closed(trip.call.lane, code, trip.history, now - trip.started, own, served_by)
        record = trip.record(code, status, sent, now, blameless, self._decision_sample)
        if trip.reservation is not None:
            trip.reservation.settle(record.wei)
        self.journal.append(record)
        if self.access.share:
            self.access.note(record)

    def _leave(self, trip: Trip, seat: Seat) -> None:
        seat.release()
        if self._queue.waiting:
            self._queue.wake(trip.call.lane.policy.slug)

    async def _drop_held(self, trip: Trip) -> None:
        held, trip.held = trip.held, None
        if held is not None:
            self._leave(trip, held.seat)
            await held.opening.reply.aclose()


def _failed(error: TimeoutError | UpstreamError, call: InferenceCall, offer: OfferEntry, step: Try) -> Outcome:
    """Of an attempt that no answer came of. Raises BodyTooSlow where its client is to blame."""
    fault = error.fault if isinstance(error, UpstreamError) else Fault.NO_ANSWER
    if fault is Fault.NO_ANSWER and not call.body.complete:
        raise BodyTooSlow from error
    return classify_fault(fault, offer.target.protocol, str(error) or f"no answer within {step.timeout:.1f} s")
