"""Ten minutes of mixed traffic with faults, at half of what the gateway can carry: does anything grow?

    .venv/bin/python -m tests.chaos.soak [MINUTES]

gunicorn with two workers, five simulated orchestrators. Calls and streams, kept and fresh connections; every
ten seconds another fault at one orchestrator, or a hundred clients that hang up. Exit status 1 when a worker's
memory grows by 0.2 MB a minute or more in the second half (a straight line through it), or when descriptors,
calls in flight or seats are left over after the end.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byocgw.settings")
os.environ.setdefault("DATABASE_URL", "sqlite://:memory:")
django.setup()

from orchestrators.simulator import SimulatorProcess  # noqa: E402  Django first
from tests.chaos.conftest import document, fleet_arguments  # noqa: E402
from tests.chaos.load import Call, Line, Load, request  # noqa: E402
from tests.chaos.test_orchestrators import resident  # noqa: E402
from tests.support.served import Served  # noqa: E402

SAMPLE_EVERY, FAULT_EVERY = 5.0, 10.0  # seconds
KEPT = 70.0  # until connections kept to orchestrators are closed
MOST = 200.0  # calls a second: this process speaks for the clients, on the same cores
SLOPE = 0.2  # MB a minute
FAULTS = (
    "gpu_oom",
    "crash",
    "none",
    "busy",
    "slow",
    "none",
    "wrong_schema",
    "mid_stream_break",
    "none",
    "trickle",
)
STREAM = b'{"text": "one two three four five"}'


async def maximum(gateway: Served, seconds: float = 5.0) -> float:
    """Calls a second that 32 clients get answered, one after the other each."""
    until, wanted, answered = time.monotonic() + seconds, request(gateway), 0

    async def ask() -> None:
        nonlocal answered
        line = await Line.open(gateway)
        while time.monotonic() < until:
            await line.ask(wanted, Call(fresh=False, at=0))
            answered += 1
        line.close()

    await asyncio.gather(*(ask() for _ in range(32)))
    return answered / seconds


async def trouble(gateway: Served, fleet: SimulatorProcess) -> None:
    """On and on, until cancelled."""
    wanted = request(gateway)
    for turn, fault in enumerate(itertools.cycle(FAULTS)):
        await asyncio.to_thread(fleet.fault, "depth", fault, endpoint=turn // len(FAULTS) % 5)
        lines = [await Line.open(gateway) for _ in range(100)]
        for line in lines:
            line.writer.write(wanted)
        await asyncio.sleep(0.02)
        for line in lines:
            line.close()
        await asyncio.sleep(FAULT_EVERY)


class Sample:
    """One look at the workers: MB and descriptors of each."""

    def __init__(self, gateway: Served) -> None:
        self.at = time.monotonic()
        self.memory = [resident(pid) for pid in gateway.workers()]
        self.descriptors = [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in gateway.workers()]


def slopes(samples: list[Sample]) -> list[float]:
    """MB a minute, of each worker, in the second half."""
    half = [each for each in samples if each.at >= (samples[0].at + samples[-1].at) / 2]
    minutes = [each.at / 60 for each in half]
    return [
        statistics.linear_regression(minutes, [each.memory[worker] for each in half]).slope
        for worker in range(len(half[0].memory))
    ]


def in_flight(gateway: Served) -> float:
    with urllib.request.urlopen(f"{gateway.url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    gauges = r"^byocgw_(?:requests_in_flight|attempts_in_flight|waiting)(?:\{[^}]*\})? (\S+)$"
    return sum(float(value) for value in re.findall(gauges, text, re.MULTILINE))


async def soak(gateway: Served, fleet: SimulatorProcess, minutes: float) -> bool:
    before, samples = Sample(gateway), list[Sample]()
    most = await maximum(gateway)
    rate = min(most / 2, MOST)
    print(
        f"maximum {most:.0f}/s, soaking at {rate:.0f}/s for {minutes:g} min, every tenth a stream", flush=True
    )
    stream = request(gateway, "text-reversal/reverse-stream", STREAM)
    async with (
        Load(gateway, rate=rate * 0.9) as calls,
        Load(gateway, rate=rate * 0.1, wanted=stream) as streams,
    ):
        troubling = asyncio.create_task(trouble(gateway, fleet))
        until = time.monotonic() + 60 * minutes
        while time.monotonic() < until:
            await asyncio.sleep(SAMPLE_EVERY)
            samples.append(Sample(gateway))
        troubling.cancel()
    await asyncio.sleep(KEPT)
    after = Sample(gateway)
    grown = slopes(samples)
    held = [fleet.state(endpoint=each)["capabilities"]["depth"]["in_flight"] for each in range(len(fleet.uris))]
    print(f"answers: {dict(calls.outcomes())}, streams: {dict(streams.outcomes())}")
    for worker, slope in enumerate(grown):
        course = [f"{each.memory[worker]:.1f}" for each in samples[:: max(1, len(samples) // 10)]]
        print(f"worker {worker}: {slope:+.3f} MB/min in the second half; MB over time: {' '.join(course)}")
    print(f"descriptors before {before.descriptors}, at the end {after.descriptors}")
    print(f"in flight at the end: gateway {in_flight(gateway):g}, orchestrators {held}")
    kept = all(late <= early + 5 for early, late in zip(before.descriptors, after.descriptors, strict=True))
    return all(slope < SLOPE for slope in grown) and kept and not in_flight(gateway) and not any(held)


def main(minutes: float) -> int:
    with (
        SimulatorProcess(*fleet_arguments()) as fleet,
        tempfile.TemporaryDirectory() as folder,
        Served(Path(folder), document(fleet), WEB_CONCURRENCY="2") as gateway,
    ):
        good = asyncio.run(soak(gateway, fleet, minutes))
    print("nothing grows" if good else "something grows, or is left over")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0))
