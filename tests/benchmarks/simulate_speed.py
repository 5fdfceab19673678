"""How many simulated requests a second of CPU our policy manages; the least is 3,000.

    .venv/bin/python -m tests.benchmarks.simulate_speed

Exit status 1 when it is slower.
"""

from __future__ import annotations

import os
import sys
import time

import django

LEAST = 3000.0


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byocgw.settings")
    django.setup()
    from routing.simulation.numbers import configuration
    from routing.simulation.scenario import load
    from routing.simulation.trials import OURS, play

    scenario, numbers = load("mixed-day"), configuration()
    started, requests = time.process_time(), 0
    for seed in range(1, 4):
        requests += len(play(scenario, OURS, seed, numbers).requests)
    speed = requests / (time.process_time() - started)
    print(f"{requests} requests of {scenario.name}: {speed:,.0f} a second of CPU, at least {LEAST:,.0f} wanted")
    return 0 if speed >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
