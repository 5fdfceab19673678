"""The gateway's probes in the simulated world: looks every interval, sample requests where one is due.

The rules are the product's (`core.schedule`, `core.advert`, `core.health`); when a sample is due follows
`orchestrators.prober.assignment`: rarely for an offer that is well, at every probe for one in trouble.
Simplified: prober and gateway share one health at once; the product's need a write and half a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from orchestrators.core import advert as adverts
from orchestrators.core import health as healths
from orchestrators.core import latency as latencies
from orchestrators.core.advert import Claim
from orchestrators.core.classify import Answered, Setting, classify, classify_fault
from orchestrators.core.health import Source, State
from orchestrators.core.latency import Latency
from orchestrators.core.outcome import Fault, Outcome, OutcomeClass
from orchestrators.core.price import Price
from orchestrators.core.schedule import next_probe
from orchestrators.scoreboard import Scoreboard
from routing.simulation.stage import Course, Send, Sleep, Stage
from routing.simulation.world import CONNECT_TIMEOUT, Box, Reply, Token
from routing.table.facts import CapabilityPolicy

INTERVAL = 30.0
LONGEST_SAMPLE = 90.0
LOOK_EVERY = 1.0  # how often the product's prober looks what is due
CALLED_LATELY = 5.0


@dataclass(frozen=True, slots=True)
class Advert:
    """What the routing table knows of an offer. `largest`: the most capacity ever claimed."""

    price: Price
    claimed: bool
    largest: int
    falling: bool = False


@dataclass(slots=True)
class _Row:
    """What the prober keeps of one offer; its latencies are its own."""

    box: Box
    claim: Claim = field(default_factory=Claim)
    latency: Latency = field(default_factory=Latency)
    price: Price | None = None
    sampled_at: float | None = None


class Prober:
    """`adopt` hears every advert that a token has shown."""

    def __init__(
        self,
        stage: Stage,
        board: Scoreboard,
        policy: CapabilityPolicy,
        adopt: Callable[[Box, Advert], None],
    ) -> None:
        self._stage = stage
        self._board = board
        self._policy = policy
        self._adopt = adopt

    def start(self) -> None:
        """The fleet was looked at before the first client comes, as in a gateway that is already at work."""
        for box in self._stage.boxes:
            row = _Row(box)
            self._look(row, box.token(self._stage.now))
            self._publish(row)
            self._stage.spawn(self._watch(row))

    def _watch(self, row: _Row) -> Course:
        """Ask, judge, sleep until the next time, for as long as the scenario lasts."""
        stage = self._stage
        while True:
            token = row.box.token(stage.now)
            yield Sleep(CONNECT_TIMEOUT if token is None else token.seconds)
            self._look(row, token)
            if token is not None and self._is_due(row):
                row.sampled_at = stage.now
                policy = self._policy
                timeout = min(policy.attempt_timeout + policy.cold_grace, LONGEST_SAMPLE)
                self._take(row, (yield Send(row.box, timeout)))
            self._publish(row)
            yield Sleep(self._wait(row))

    def _look(self, row: _Row, token: Token | None) -> None:
        """What a token says of claim, price and reach; None: it could not be had."""
        look = _REACHED
        if token is None:
            look = classify_fault(Fault.UNREACHABLE, "byoc")
        else:
            busy = self._board.live(row.box.id).in_flight > 0
            row.claim = adverts.next_claim(row.claim, token.capacity, ours_in_flight=busy)
            row.price = token.price
        self._step(row, look, Source.LOOK)

    def _is_due(self, row: _Row) -> bool:
        health = self._board.live(row.box.id).health
        if row.sampled_at is None or health.state not in (State.HEALTHY, State.DEGRADED) or health.cause:
            return True
        return self._stage.now - row.sampled_at >= max(self._policy.fresh_for, 10 * INTERVAL)

    def _take(self, row: _Row, reply: Reply) -> None:
        """Judge a sample request's answer."""
        live, now = self._board.live(row.box.id), self._stage.now
        outcome = self._judged(row, reply)
        row.latency = latencies.observe(row.latency, outcome, now)
        outcome = latencies.against_target(outcome, row.latency, self._policy.latency_target)
        self._step(row, outcome, Source.PROBE)
        if outcome.is_success:
            row.claim = adverts.affirmed(row.claim)
        elif outcome.cls is OutcomeClass.NOT_CLAIMED:
            row.claim = adverts.revoked(row.claim)
        live.latency = latencies.heard(
            live.latency,
            mean=row.latency.mean,
            cold=row.latency.cold,
            warm_at=now if outcome.is_success and not outcome.cold else None,
        )

    def _judged(self, row: _Row, reply: Reply) -> Outcome:
        if reply.fault is not None:
            return classify_fault(reply.fault, "byoc")
        health, policy = self._board.live(row.box.id).health, self._policy
        at = health.last_success_at
        warm = at is not None and self._stage.now - at <= policy.fresh_for
        setting = Setting(
            protocol="byoc",
            contract=policy.contract,
            path_known=True,
            cold_over=inf if warm else latencies.cold_threshold(row.latency, policy.latency_target),
        )
        return classify(answered(reply), setting)

    def _step(self, row: _Row, outcome: Outcome, source: Source) -> None:
        live, now = self._board.live(row.box.id), self._stage.now
        live.health = healths.step(live.health, outcome, source=source, now=now, draw=self._stage.draw())
        live.heard_at = now

    def _publish(self, row: _Row) -> None:
        if row.price is None:
            return
        live = self._board.live(row.box.id)
        advert = Advert(row.price, row.claim.claimed, row.claim.largest, row.claim.falling)
        if row.claim.claimed and row.claim.capacity:
            live.revoked_before = 0  # the row says so, and with it the next table
        self._adopt(row.box, advert)

    def _wait(self, row: _Row) -> float:
        now = self._stage.now
        health = self._board.live(row.box.id).health
        return max(next_probe(health, interval=INTERVAL, now=now, draw=self._stage.draw()) - now, LOOK_EVERY)


_REACHED = Outcome(OutcomeClass.OK)


def answered(reply: Reply) -> Answered:
    return Answered(
        status=reply.status,
        headers={"content-type": reply.content_type, "retry-after": reply.retry_after},
        body=reply.body,
        whole=True,
        latency=reply.seconds,
    )
