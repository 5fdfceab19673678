"""Our policy, made of the product's own parts around a simulated wire.

The loop is that of `routing.service`, without bytes: an answer arrives whole and is delivered in the same
moment, so what the service does at a stream's end happens at once. Scoreboard, view, choose, decide,
classify and step are the product's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf

from orchestrators.core.classify import Setting, classify, classify_fault
from orchestrators.core.latency import cold_threshold
from orchestrators.core.outcome import Outcome, OutcomeClass
from orchestrators.scoreboard import Scoreboard
from orchestrators.upstream.base import Target
from routing.candidates import view
from routing.core import retries
from routing.core.budget import Budget
from routing.core.failover import Attempt, Deliver, GiveUp, Try, decide, may_wait, requests_fault
from routing.core.selection import Candidate, Refused, Why, choose, lacks_seat
from routing.simulation.numbers import Numbers
from routing.simulation.prober import Advert, Prober, answered
from routing.simulation.stage import Course, Park, Send, Sleep, Stage
from routing.simulation.world import Box, Reply
from routing.table.facts import CapabilityPolicy, Lane, OfferEntry

REVISION = 1
LONGEST_QUEUE = 100


@dataclass(slots=True)
class _Trip:
    """What one request has been through."""

    budget: Budget
    history: tuple[Attempt, ...] = ()
    refused: list[Refused] = field(default_factory=list)
    postponed: list[tuple[int, Outcome]] = field(default_factory=list)
    waiting_since: float | None = None
    in_vain: int | None = None
    paused_after: int = 0


class Gateway:
    name = "byocgw"

    def __init__(self, stage: Stage, numbers: Numbers) -> None:
        self._stage = stage
        self._policy = numbers.policy
        self._most = numbers.max_in_flight
        self._board = Scoreboard(stage.draw)
        self._boxes = {box.id: box for box in stage.boxes}
        self._prober = Prober(stage, self._board, numbers.policy, self._adopt)
        self._adverts: dict[int, Advert] = {}
        self._lane = Lane(numbers.policy, (), (), stage.scenario.ceiling, True)
        self._tally = retries.Tally()
        self._waiting = 0

    def __repr__(self) -> str:
        return f"<Gateway {self._board}, {self._waiting} waiting>"

    @property
    def in_flight(self) -> int:
        return self._board.in_flight

    def start(self) -> None:
        self._prober.start()

    def serve(self, deadline: float) -> Course:
        trip = _Trip(_budget(self._policy, self._stage.now, deadline))
        reply: Reply | None = None
        self._tally.asked(self._stage.now)
        try:
            while True:
                yield from self._pause(trip)
                answered = bool(trip.history) and trip.history[-1].outcome.is_answer
                ranked = [] if answered else self._rank(trip)
                step = self._decide(ranked, trip)
                if isinstance(step, Deliver):
                    return reply
                if isinstance(step, Try):
                    if step.budgeted:
                        self._tally.retried(self._stage.now)
                    reply = (yield from self._attempt(trip, step)) or reply
                elif not (yield from self._seat_came_free(trip)):
                    return step.code
        finally:
            self._close(trip)

    def _decide(self, ranked: list[Candidate], trip: _Trip) -> Try | Deliver | GiveUp:
        policy = self._policy
        return decide(
            ranked,
            trip.history,
            budget=trip.budget,
            max_attempts=policy.max_attempts,
            stateful=policy.stateful,
            now=self._stage.now,
            may_retry=self._tally.allows(self._stage.now),
            seat_missing=lacks_seat(trip.refused),
        )

    def _rank(self, trip: _Trip) -> list[Candidate]:
        policy, now, draw = self._policy, self._stage.now, self._stage.draw
        candidates = view(self._lane, self._board, policy_number=REVISION, now=now)
        ranked, trip.refused = choose(
            candidates,
            now=now,
            stateful=policy.stateful,
            draws=(draw(), draw(), draw()),
            tried=frozenset(attempt.offer_id for attempt in trip.history),
            has_waited=trip.in_vain is not None,
        )
        return ranked

    def _seat_came_free(self, trip: _Trip) -> Course:
        """True, as the value of the generator, when it is worth ranking again."""
        now, policy = self._stage.now, self._policy
        allowed = may_wait(trip.history, max_attempts=policy.max_attempts, stateful=policy.stateful)
        if not lacks_seat(trip.refused) or not allowed or trip.in_vain == len(trip.history):
            return None
        if trip.waiting_since is None:
            trip.waiting_since = now
        until = trip.budget.wait_until(trip.waiting_since, policy.seat_wait, tried=bool(trip.history))
        came_free = False
        if until > now and self._waiting < LONGEST_QUEUE:
            self._waiting += 1
            try:
                came_free = yield Park(until - now)
            finally:
                self._waiting -= 1
        if not came_free:
            trip.in_vain = len(trip.history)
        return True

    def _pause(self, trip: _Trip) -> Course:
        if len(trip.history) == trip.paused_after or not trip.history or trip.history[-1].outcome.is_answer:
            return
        trip.paused_after = len(trip.history)
        seconds = retries.pause(len(trip.history), self._stage.draw())
        if seconds:
            yield Sleep(min(seconds, trip.budget.left(self._stage.now)))

    def _attempt(self, trip: _Trip, step: Try) -> Course:
        candidate, started = step.candidate, self._stage.now
        seat = self._board.seat(candidate.offer_id, max(candidate.seats, 1))
        if seat is None:
            return None  # taken during the pause: rank again
        try:
            reply: Reply = yield Send(self._boxes[candidate.offer_id], step.timeout)
        finally:
            seat.release()
            self._stage.wake()
        outcome = self._judged(reply, candidate)
        attempt = Attempt(candidate.offer_id, candidate.orchestrator, outcome, self._stage.now - started)
        trip.history += (attempt,)
        self._tell(trip, attempt, candidate)
        return reply

    def _judged(self, reply: Reply, candidate: Candidate) -> Outcome:
        if reply.fault is not None:
            return classify_fault(reply.fault, "byoc")
        live = self._board.live(candidate.offer_id)
        setting = Setting(
            protocol="byoc",
            contract=self._policy.contract,
            path_known=True,
            cold_over=inf if candidate.warm else cold_threshold(live.latency, self._policy.latency_target),
        )
        return classify(answered(reply), setting)

    def _tell(self, trip: _Trip, attempt: Attempt, candidate: Candidate) -> None:
        """The scoreboard hears it now or, where the request itself may be to blame, at the end."""
        outcome, now = attempt.outcome, self._stage.now
        if attempt.answer is not None:
            trip.postponed.append((attempt.offer_id, outcome))
            self._board.live(attempt.offer_id).doubts += 1
            return
        self._board.observe(attempt.offer_id, outcome, now=now)
        if outcome.cls is OutcomeClass.NOT_CLAIMED:
            self._board.claim(attempt.offer_id, False)
        elif outcome.is_success and not candidate.claimed:
            self._board.claim(attempt.offer_id, True)

    def _close(self, trip: _Trip) -> None:
        blameless = requests_fault(trip.history)
        for offer_id, outcome in trip.postponed:
            self._board.live(offer_id).doubts -= 1
            if offer_id not in blameless:
                self._board.observe(offer_id, outcome, now=self._stage.now)

    # --- what the prober has found becomes the next table ---

    def _adopt(self, box: Box, advert: Advert) -> None:
        if self._adverts.get(box.id) == advert:
            return
        self._adverts[box.id] = advert
        entries, refused = [], []
        for offer_id, known in sorted(self._adverts.items()):
            entry = self._entry(self._boxes[offer_id], known)
            if self._lane.ceiling is not None and known.price > self._lane.ceiling:
                refused.append(Refused(offer_id, entry.orchestrator, Why.PRICE_CEILING, "above the ceiling"))
            else:
                entries.append(entry)
        self._lane = replace(self._lane, offers=tuple(entries), refused=tuple(refused))

    def _entry(self, box: Box, advert: Advert) -> OfferEntry:
        name = box.member.name
        return OfferEntry(
            id=box.id,
            orchestrator=name,
            orchestrator_id=box.id,
            target=Target(f"https://{name}.example", "byoc", "simulated"),
            price=advert.price,
            claimed=advert.claimed,
            seats=max(1, min(self._most, advert.largest)),
            share=1.0,
            falling=advert.falling,
        )


def _budget(policy: CapabilityPolicy, now: float, deadline: float) -> Budget:
    return Budget.of(
        now,
        retry_timeout=policy.retry_timeout,
        attempt_timeout=policy.attempt_timeout,
        cold_grace=policy.cold_grace,
        client_timeout=deadline - now,
    )
