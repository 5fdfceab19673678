"""Small scenarios for tests, as text that can be varied."""

from __future__ import annotations

from routing.simulation.numbers import configuration
from routing.simulation.scenario import Scenario, parse
from routing.simulation.stage import Account
from routing.simulation.trials import play

HEAD = """
description: A small world.
duration: {duration}
warm_up: 10
ceiling: 300 gwei/second
clients: {{rate: {rate}, deadline: 20}}
"""
FLEET = """
fleet:
  alpha: {latency: {median: 0.4}, capacity: 2, price: 60 gwei/second}
  bravo: {latency: {median: 0.5}, capacity: 2, price: 80 gwei/second}
  charlie: {latency: {median: 0.6}, capacity: 2, price: 100 gwei/second}
"""


def text(faults: str = "", *, fleet: str = FLEET, duration: float = 120, rate: float = 1) -> str:
    return HEAD.format(duration=duration, rate=rate) + fleet + (f"faults: {faults}\n" if faults else "")


def world(faults: str = "", *, fleet: str = FLEET, duration: float = 120, rate: float = 1) -> Scenario:
    return parse(text(faults, fleet=fleet, duration=duration, rate=rate).encode(), "small")


def account(scenario: Scenario, policy: str = "byocgw", seed: int = 1) -> Account:
    return play(scenario, policy, seed, configuration())
