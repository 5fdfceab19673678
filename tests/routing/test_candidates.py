"""What an offer's latencies make of it, as selection sees it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from orchestrators.core.contract import Contract
from orchestrators.core.health import State
from orchestrators.core.outcome import Outcome, OutcomeClass
from orchestrators.core.price import Price
from orchestrators.scoreboard import Scoreboard, Seat
from orchestrators.upstream.base import Target
from routing.candidates import candidate, evidence, view
from routing.core.selection import Candidate, choose
from routing.table import CapabilityPolicy, Lane, OfferEntry
from tests.support.outcomes import BOUNDED

NOW = 1_000_000.0
OFFER = OfferEntry(
    id=1,
    orchestrator="alder",
    orchestrator_id=1,
    target=Target("https://alder:8935", "byoc", "image-to-image"),
    price=Price.parse("10 wei/second"),
    claimed=True,
    seats=2,
    share=1.0,
)
WARM = CapabilityPolicy(
    id=1,
    slug="image-to-image",
    description="",
    profile="warm",
    max_attempts=3,
    retry_timeout=8,
    attempt_timeout=5,
    cold_grace=10,
    latency_target=1.0,
    seat_wait=1,
    fresh_for=120,
    value_of_second=300,
    typical_seconds=1.0,
    stateful=False,
    contract=Contract(),
    content_types=(),
    sample_path=None,
)


def seen(*latencies: float) -> Candidate:
    """An offer that answered so many seconds each time, one answer a second, the last one now."""
    board = Scoreboard(lambda: 0.0)
    for number, seconds in enumerate(latencies, 1 - len(latencies)):
        board.observe(1, Outcome(OutcomeClass.OK, status=200, latency=seconds), now=NOW + number)
    return candidate(OFFER, WARM, board.live(1), 1, NOW)


def test_a_steady_and_quick_one_is_healthy_and_warm() -> None:
    found = seen(*[0.4] * 10)
    assert (found.state, found.warm, found.stale, found.slow_start) == (State.HEALTHY, True, False, False)


@pytest.mark.parametrize(
    "latencies",
    [
        pytest.param([1.1] * 10, id="R32: slow for its profile"),
        pytest.param([0.1, 0.9] * 10, id="R35: contention"),
        pytest.param([0.3] * 10 + [6.0], id="R42: eviction"),
    ],
)
def test_what_its_latencies_say_against_it_degrades_it(latencies: list[float]) -> None:
    """R32, R35, R42: still used, ranked later."""
    assert seen(*latencies).state is State.DEGRADED


def test_uneven_answers_that_nobody_feels_do_not() -> None:
    assert seen(*[0.001, 0.009] * 10).state is State.HEALTHY


def test_a_neighbour_that_fits_poorly_comes_along() -> None:
    """R22"""
    board = Scoreboard(lambda: 0.0)
    assert candidate(structs.replace(OFFER, poor_fit=True), WARM, board.live(1), 1, NOW).poor_fit


def test_who_lied_before_ranks_below_an_equal_one() -> None:
    """R57: one mismatch costs 15 points, and they are felt."""
    board = Scoreboard(lambda: 0.0)
    for offer_id in (1, 2):
        board.observe(offer_id, Outcome(OutcomeClass.OK, status=200, latency=0.4), now=NOW)
    lane = Lane(WARM, (structs.replace(OFFER, reputation=85.0), structs.replace(OFFER, id=2)), (), None, True)
    candidates = view(lane, board, policy_number=1, now=NOW)
    ranked, _ = choose(candidates, now=NOW, stateful=False, draws=(0.0, 0.0, 0.0))
    assert [each.offer_id for each in ranked] == [2, 1]
    assert candidates[0].failure > candidates[1].failure


def test_offers_of_one_capability_have_figures_of_their_own() -> None:
    """R51: what one orchestrator takes says nothing of another."""
    board = Scoreboard(lambda: 0.0)
    for offer_id, seconds in ((1, 0.2), (2, 0.8)):
        board.observe(offer_id, Outcome(OutcomeClass.OK, status=200, latency=seconds), now=NOW)
    lane = Lane(WARM, (OFFER, structs.replace(OFFER, id=2)), (), None, True)
    assert [each.latency for each in view(lane, board, policy_number=1, now=NOW)] == [0.2, 0.8]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"falling": True}, "its free slots fell to half"),
        ({"poor_fit": True}, "its orchestrator also does long or stateful work"),
        ({"reputation": 80.0}, "its orchestrator's reputation is 80 of 100"),
        ({"precision": "fp32"}, "its model computes in fp32"),
    ],
)
def test_what_its_orchestrator_tells_against_it_is_said(changed: dict[str, Any], sentence: str) -> None:
    """R22, R54, R55, R57"""
    told = evidence(structs.replace(OFFER, **changed), WARM, Scoreboard(lambda: 0.0).live(1), NOW)
    assert [each[: len(sentence)] for each in told] == [sentence]


def test_what_was_seen_of_it_is_said() -> None:
    """R32, R42, R50: each with its numbers."""
    board = Scoreboard(lambda: 0.0)
    assert evidence(OFFER, WARM, board.live(1), NOW) == []
    for outcome in (COLD, *[Outcome(OutcomeClass.OK, status=200, latency=1.1)] * 5, OUTCOMES["timeout"]):
        board.observe(1, outcome, now=NOW)
    seat = board.seat(1, 2)
    told = evidence(OFFER, WARM, board.live(1), NOW + 130)
    assert seat is not None
    assert told == [
        "slow for its profile: p95 of its warm answers about 1,100 ms, the target is 1,000 ms",
        "its latest cold start took 12,000 ms, over 10,000 ms",
        "stale: nothing was heard of it for 130 s, fresh is 120 s",
        "its latest answer was a fault, and a call in flight is finding out what that means",
    ]


def test_what_took_it_down_is_said() -> None:
    board = Scoreboard(lambda: 0.0)
    board.observe(1, OUTCOMES["wrong"], now=NOW)
    assert evidence(OFFER, WARM, board.live(1), NOW) == ["api_mismatch"]


class Board:
    """A scoreboard with one offer, a clock, and what may happen to them."""

    def __init__(self) -> None:
        self.board = Scoreboard(lambda: 0.5)
        self.live = self.board.live(1)
        self.now = NOW
        self.offer, self.policy = OFFER, WARM
        self.seats: list[Seat] = []

    def happens(self, what: str) -> None:
        if what == "call":
            seat = self.board.seat(1, 99)
            assert seat is not None
            self.seats.append(seat)
        elif what == "end" and self.seats:
            self.seats.pop().release()
        elif what in OUTCOMES:
            self.board.observe(1, OUTCOMES[what], now=self.now)
        elif what == "doubt":
            self.board.doubt(1, 1)
        elif what in ("claimed", "revoked"):
            self.board.claim(1, what == "claimed")
        elif what == "dearer":
            self.offer = structs.replace(OFFER, price=Price.parse("20 wei/second"))
        elif what == "stricter":
            self.offer, self.policy = (
                structs.replace(self.offer),
                replace(WARM, latency_target=0.2),
            )  # another table


COLD = Outcome(OutcomeClass.COLD_START, status=200, latency=12.0, cold=True)
OUTCOMES = {
    "ok": Outcome(OutcomeClass.OK, status=200, latency=0.4),
    "cold": COLD,
    "busy": Outcome(OutcomeClass.BUSY, status=429, retry_after=3.0),
    "timeout": Outcome(OutcomeClass.TIMEOUT),
    "wrong": Outcome(OutcomeClass.API_MISMATCH, status=200),
}
happenings = st.sampled_from(
    [*OUTCOMES, "call", "end", "doubt", "claimed", "revoked", "dearer", "stricter", "nothing"]
)


@BOUNDED
@given(st.lists(st.tuples(happenings, st.sampled_from([0.0, 0.4, 6.0, 119.0, 121.0])), max_size=12))
def test_a_candidate_used_again_is_what_a_new_one_would_be(story: list[tuple[str, float]]) -> None:
    """But for the failure probability, which may lag behind the window by a second."""
    scene = Board()
    for what, passes in story:
        scene.happens(what)
        scene.now += passes
        lane = Lane(scene.policy, (scene.offer,), (), None, True)
        (again,), (new,) = (
            view(lane, board, policy_number=1, now=scene.now)
            for board in (scene.board, scene.board.glimpse([1]))
        )
        if passes > 1:
            assert again == new
        else:
            assert structs.replace(again, failure=0.0) == structs.replace(new, failure=0.0)


def test_it_is_used_again_while_nothing_changes() -> None:
    board = Scoreboard(lambda: 0.0)
    board.observe(1, OUTCOMES["ok"], now=NOW)
    lane = Lane(WARM, (OFFER,), (), None, True)
    found = [view(lane, board, policy_number=1, now=NOW + later)[0] for later in (0.0, 0.5, 29.9)]
    assert found[0] is found[1] is found[2]


@pytest.mark.parametrize(
    ("profile", "precision", "heavy"),
    [("warm", "fp16", False), ("warm", "fp32", True), ("warm", "", True), ("chained", "", False)],
)
def test_only_real_time_minds_a_heavy_model(profile: str, precision: str, heavy: bool) -> None:
    """R55"""
    offer, policy = structs.replace(OFFER, precision=precision), replace(WARM, profile=profile)
    assert candidate(offer, policy, Scoreboard(lambda: 0.0).live(1), 1, NOW).heavy is heavy
