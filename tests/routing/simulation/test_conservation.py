"""Nothing is lost in a run, nothing happens twice, and the same dice make the same run."""

from __future__ import annotations

import pytest

from routing.simulation.baselines import BASELINES
from routing.simulation.metrics import measure
from tests.routing.simulation.worlds import account, world

POLICIES = ["byocgw", *BASELINES]
TROUBLE = """
- {who: [alpha], kind: hang, from: 20, for: 30, rate: 0.5}
- {who: [bravo, charlie], kind: down, from: 40, for: 20}
- {who: all, kind: busy, from: 70, for: 10, retry_after: 2}
- {who: all, kind: error, from: 90, for: 20, every: 5}
"""


@pytest.mark.parametrize("policy", POLICIES)
def test_every_request_ends_once_and_every_seat_is_free_at_the_end(policy: str) -> None:
    """Also where demand is more than the fleet can do."""
    run = account(world("\n" + TROUBLE, rate=20), policy)
    assert len(run.requests) > 1500
    assert {each.ended for each in run.requests} == {1}
    assert run.seats == 0
    assert all(each.seconds <= run.scenario.deadline + 1e-6 for each in run.requests)


@pytest.mark.parametrize("policy", POLICIES)
def test_an_attempt_belongs_to_a_request_and_no_offer_above_the_ceiling_is_asked_by_us(policy: str) -> None:
    dear = """
fleet:
  alpha: {latency: {median: 0.4}, capacity: 2, price: 301 gwei/second}
  bravo: {latency: {median: 0.5}, capacity: 2, price: 80 gwei/second}
"""
    run = account(world(fleet=dear), policy)
    known = {each.number for each in run.requests}
    assert all(each.request in known for each in run.attempts if each.request >= 0)
    asked = {each.box for each in run.attempts if each.request >= 0}
    assert asked == ({2} if policy in ("byocgw", "oracle") else {1, 2})


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_seed_gives_the_same_run_and_another_does_not(policy: str) -> None:
    scenario = world("\n" + TROUBLE)
    one, again, other = (account(scenario, policy, seed) for seed in (1, 1, 2))
    assert one == again
    assert measure(one, 10**9) == measure(again, 10**9)
    assert [each.at for each in one.requests] != [each.at for each in other.requests]


def test_all_policies_meet_the_same_clients() -> None:
    runs = [account(world(), policy) for policy in POLICIES]
    assert len({tuple(each.at for each in run.requests) for run in runs}) == 1


def test_money_is_begun_seconds_of_work_and_nothing_where_no_container_was_asked() -> None:
    run = account(world("[{who: [alpha], kind: down}, {who: [bravo], kind: error}]"), "round-robin")
    prices = {box: {each.wei // 10**9 for each in run.attempts if each.box == box} for box in (1, 2, 3)}
    assert prices[1] == {0}
    assert prices[2] == {80}
    assert prices[3] <= {100, 200, 300, 400} and 100 in prices[3]
