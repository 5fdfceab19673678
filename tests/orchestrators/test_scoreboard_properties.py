"""However processes take turns in telling each other what they saw, they end with the same states.

Each worker does what the runtime does: it collects, writes and settles, and now and then hears what the
others wrote. The rows are in the database; only the order of the turns is the example's.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import F
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrators.core.outcome import Outcome, OutcomeClass
from orchestrators.models import Capability, Offer, OfferHealth, Orchestrator
from orchestrators.scoreboard import News, Scoreboard, Written, write
from tests.support.outcomes import BOUNDED, START

WORKERS, OFFERS = 3, 2
SEEN = (
    OutcomeClass.OK,
    OutcomeClass.TIMEOUT,
    OutcomeClass.TIMEOUT,
    OutcomeClass.TIMEOUT,
    OutcomeClass.API_MISMATCH,
    OutcomeClass.REJECTED,
    OutcomeClass.SLOW,
)


class Worker:
    """A gateway process, as far as health goes."""

    def __init__(self, number: int) -> None:
        self.board = Scoreboard(lambda: number / WORKERS)  # each draws its own jitter
        self._news: News | None = None
        self._written: Written | None = None

    def observe(self, offer_id: int, cls: OutcomeClass, now: float) -> None:
        self.board.observe(offer_id, Outcome(cls, latency=0.02), now=now)

    def collect(self, now: float) -> None:
        self._news = self._news or self.board.collect()

    def write(self, now: float) -> None:
        if self._news is not None and self._written is None:
            self._written = write(self._news, now)

    def settle(self, now: float) -> None:
        if self._news is not None and self._written is not None:
            self.board.settle(self._news, self._written)
            self._news = self._written = None

    def hear(self, now: float) -> None:
        self.board.adopt(OfferHealth.objects.all())

    def publish(self, now: float) -> None:
        for turn in (self.collect, self.write, self.settle):
            turn(now)

    def states(self) -> dict[int, tuple[Any, ...]]:
        """What all must agree on, of every offer that has a row."""
        return {
            offer_id: shown(self.board.live(offer_id).health)
            for offer_id in OfferHealth.objects.values_list("pk", flat=True)
        }


def shown(health: Any) -> tuple[Any, ...]:
    """The database keeps microseconds."""
    until = None if health.until is None else round(health.until, 3)
    return health.state, until, health.cause, health.ejections


TURNS = ("collect", "write", "settle", "hear", "publish", "publish")
turns = st.lists(
    st.tuples(st.integers(0, WORKERS - 1), st.sampled_from(TURNS))
    | st.tuples(st.integers(0, WORKERS - 1), st.integers(0, OFFERS - 1), st.sampled_from(SEEN))
    | st.just(("prober",)),
    min_size=10,
    max_size=40,
)


@pytest.fixture
def offers(db: None) -> list[int]:
    found = []
    for number in range(OFFERS):
        home = Orchestrator.objects.create(name=f"home-{number}", service_uri=f"https://{number}.invalid")
        found.append(
            Offer.objects.create(orchestrator=home, capability=Capability.objects.get(slug="depth")).pk
        )
    return found


def take_turns(offers: list[int], workers: list[Worker], turns: list[tuple[Any, ...]]) -> float:
    now = START
    for now, turn in enumerate(turns, int(START)):
        match turn:
            case (worker, str() as name):
                getattr(workers[worker], name)(now)
            case (worker, offer, cls):
                workers[worker].observe(offers[offer], cls, now)
            case _:
                # a sample request that succeeds, as the prober stores it
                OfferHealth.objects.update(state="healthy", until=None, cause="", epoch=F("epoch") + 1)
    return now + 1.0


@settings(BOUNDED, max_examples=150)
@given(turns=turns)
def test_all_workers_end_with_the_same_states(offers: list[int], turns: list[tuple[Any, ...]]) -> None:
    """R10, R51: nothing is lost, nothing is left over, and the rows say what everybody knows."""
    OfferHealth.objects.all().delete()
    workers = [Worker(number) for number in range(WORKERS)]
    now = take_turns(offers, workers, turns)
    for worker in workers:
        worker.publish(now)  # what was under way when the turns ended
        worker.publish(now)  # and what came meanwhile
    for worker in workers:
        worker.hear(now)

    rows = {row.pk: shown(row.as_health()) for row in OfferHealth.objects.all()}
    for worker in workers:
        assert worker.states() == rows
        assert worker.board.collect() is None
        assert not any(worker.board.live(offer_id).unpublished for offer_id in offers)


alone = st.lists(st.sampled_from(TURNS) | st.sampled_from(SEEN), min_size=5, max_size=25)


@settings(BOUNDED, max_examples=60)
@given(turns=alone)
def test_a_worker_alone_stores_what_it_saw(offers: list[int], turns: list[Any]) -> None:
    """R10: nobody races it, so no news of its own is ever lost, whenever it comes to write."""
    OfferHealth.objects.all().delete()
    worker, deaf = Worker(0), Worker(0)
    now = START
    for now, turn in enumerate(turns, int(START)):
        if isinstance(turn, OutcomeClass):
            for each in (worker, deaf):
                each.observe(offers[0], turn, now)
        else:
            getattr(worker, turn)(now)
    for _ in range(2):
        worker.publish(now + 1.0)
    worker.hear(now + 1.0)

    for row in OfferHealth.objects.all():
        assert shown(row.as_health()) == shown(deaf.board.live(offers[0]).health)


@settings(BOUNDED, max_examples=60)
@given(
    turns=st.lists(
        st.tuples(st.booleans(), st.integers(0, OFFERS - 1), st.integers(1, 3)), min_size=1, max_size=60
    )
)
def test_every_seat_is_given_back(turns: list[tuple[bool, int, int]]) -> None:
    """No order of taking and releasing, twice included, leaves a seat taken or gives one too many."""
    board = Scoreboard(lambda: 0.0)
    taken: list[Any] = []
    for wants, offer_id, limit in turns:
        before = board.live(offer_id).in_flight
        if wants:
            seat = board.seat(offer_id, limit)
            assert (seat is None) == (before >= limit)
            taken += [seat] if seat else []
        elif taken:
            taken[offer_id % len(taken)].release()
    for seat in taken:
        seat.release()
        seat.release()
    assert board.in_flight == 0
    assert board.busy_offers() == []
