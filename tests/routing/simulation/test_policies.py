"""What each policy does in a trouble that tells it apart."""

from __future__ import annotations

import pytest

from routing.simulation.metrics import Metrics, measure
from tests.routing.simulation.worlds import account, world

VALUE = 300 * 10**9


def measured(faults: str, policy: str = "byocgw", **world_of: float) -> Metrics:
    return measure(account(world(faults, **world_of), policy), VALUE)


@pytest.mark.parametrize(
    "kind",
    [
        "down",
        "reset",
        "crash",
        "error",
        "oom",
        "oom_400",
        "loading",
        "busy",
        "wrong",
        "empty",
        "html",
        "missing",
    ],
)
def test_one_bad_orchestrator_costs_no_request(kind: str) -> None:
    """R65, R66: whatever it does instead of working, others serve."""
    found = measured(f"[{{who: [alpha], kind: {kind}, from: 30, for: 60}}]", rate=0.7)
    assert found.success == 1.0


@pytest.mark.parametrize("kind", ["not_claimed", "rejected"])
def test_the_orchestrators_own_words_move_on(kind: str) -> None:
    """They are no answer to the client, whatever their status."""
    assert measured(f"[{{who: [alpha], kind: {kind}, from: 30}}]", rate=0.7).success == 1.0


@pytest.mark.parametrize("rate", [0.05, 0.5, 2])
def test_steady_beats_quick_with_cold_starts(rate: float) -> None:
    """R73: 400 ms every time against 200 ms where every fifth call has to load the model."""
    pair = """
fleet:
  steady: {latency: {median: 0.4}, capacity: 2, price: 60 gwei/second}
  hasty: {latency: {median: 0.2}, capacity: 2, price: 60 gwei/second, cold: {takes: 3, after: 1000000}}
"""
    restless = "[{who: [hasty], kind: evicted, from: 0, rate: 0.2}]"
    found = measure(account(world(restless, fleet=pair, duration=150 / rate, rate=rate)), VALUE)
    assert found.success == 1.0
    assert found.shares["steady"] > 0.7


def test_a_bad_one_is_left_alone_and_taken_back() -> None:
    found = measured("[{who: [alpha], kind: error, from: 60, for: 60}]", duration=300)
    assert found.time_to_eject is not None and found.time_to_eject < 15
    assert found.time_to_recover is not None and found.time_to_recover < 170


@pytest.mark.parametrize("policy", ["stock-byoc", "round-robin", "litellm", "envoy"])
def test_others_hand_a_wrong_answer_of_status_200_to_the_client(policy: str) -> None:
    assert measured("[{who: [alpha], kind: wrong, from: 20}]", policy).failures["bad answer"] > 10


def test_the_stock_gateway_ends_with_nothing_when_all_fail() -> None:
    found = measured("[{who: all, kind: error, from: 20}]", "stock-byoc")
    assert found.failures["nobody served it"] > 80 and found.attempts > 2


def test_round_robin_shares_evenly() -> None:
    shares = measured("", "round-robin", duration=300).shares
    assert all(abs(share - 1 / 3) < 0.01 for share in shares.values())


def test_litellm_leaves_a_429_alone_for_five_seconds() -> None:
    found = measured("[{who: [alpha], kind: busy, from: 20}]", "litellm")
    assert found.time_to_eject is not None and found.time_to_eject < 30
    assert found.attempts < 1.25


def test_envoy_ejects_after_five_in_a_row() -> None:
    run = account(world("[{who: [alpha], kind: error, from: 20}]"), "envoy")
    failed = [each.at for each in run.attempts if each.box == 1 and not each.good]
    assert failed[5] - failed[4] >= 29


def test_the_oracle_asks_nobody_who_is_ill_and_pays_the_least() -> None:
    ours, oracle = (
        measured("[{who: [alpha], kind: oom, from: 60, for: 30}]", policy, duration=200)
        for policy in ("byocgw", "oracle")
    )
    assert oracle.attempts == 1.0 and oracle.success == 1.0
    assert oracle.cost <= ours.cost


def test_a_model_that_was_dropped_is_loaded_again() -> None:
    fleet = """
fleet:
  alpha: {latency: {median: 0.4, spread: 0}, price: 60 gwei/second, round_trip: 0,
          cold: {takes: 6, after: 5, starts: cold}}
"""
    run = account(world(fleet=fleet, rate=0.05, duration=600), "round-robin")
    took = {round(each.seconds, 1) for each in run.requests}
    assert {0.4, 6.4} <= took
