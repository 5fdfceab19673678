"""Ten minutes of mixed traffic with faults, at half of what the gateway can carry: does anything grow?

    .venv/bin/python -m tests.chaos.soak [MINUTES]

gunicorn with two workers, five simulated orchestrators. Calls and streams, kept and fresh connections; every
ten seconds another fault at one orchestrator, or a hundred clients that hang up. Exit status 1 when a worker's
memory grows by 0.2 MB a minute or more in the second half (a straight line through it), or when descriptors,
tasks, calls in flight or seats are left over after the end.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
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
from tests.chaos.load import AT_ONCE, Call, Line, Load, request  # noqa: E402
from tests.chaos.test_orchestrators import resident  # noqa: E402
from tests.support.served import Served  # noqa: E402

SAMPLE_EVERY, FAULT_EVERY = 5.0, 10.0  # seconds
MEASURED = 10.0  # seconds, for the maximum
KEPT = 70.0  # seconds until connections kept to orchestrators are closed
SLOPE = 0.2  # MB a minute
SPARE = 5  # descriptors: SQLite opens some when it needs them
FAULTS = ("gpu_oom", "crash", "none", "busy", "slow", "none", "wrong_schema", "mid_stream_break", "trickle")
ENVIRONMENT = {"WEB_CONCURRENCY": "2", "PYTHONPATH": str(Path(__file__).parent / "tell_tasks")}
STREAM = b'{"text": "one two three four five"}'


async def maximum(gateway: Served) -> float:
    """Calls a second that 32 clients get answered, one after the other each."""
    until, wanted, answered = time.monotonic() + MEASURED, request(gateway), 0

    async def ask() -> None:
        nonlocal answered
        line = await Line.open(gateway)
        while time.monotonic() < until:
            await line.ask(wanted, Call(fresh=False, at=0))
            answered += 1
        line.close()

    await asyncio.gather(*(ask() for _ in range(32)))
    return answered / MEASURED


async def crowd(gateway: Served) -> None:
    """As many calls at once as the load may ever have open: so much the allocator has seen before it counts."""
    lines = [await Line.open(gateway) for _ in range(2 * AT_ONCE)]
    wanted = request(gateway)
    await asyncio.gather(*(line.ask(wanted, Call(fresh=True, at=0)) for line in lines))
    for line in lines:
        line.close()


async def trouble(gateway: Served, fleet: SimulatorProcess) -> None:
    """On and on, until cancelled: one orchestrator after the other, one fault after the other."""
    wanted = request(gateway)
    for endpoint in itertools.cycle(range(len(fleet.uris))):
        for fault in (*FAULTS, "none"):
            await asyncio.to_thread(fleet.fault, "depth", fault, endpoint=endpoint)
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


async def tasks(gateway: Served) -> list[int]:
    """Of each worker; they have nothing to do."""
    files = [gateway.folder / str(pid) for pid in gateway.workers()]
    for file in files:
        file.unlink(missing_ok=True)
        os.kill(int(file.name), signal.SIGRTMIN)
    async with asyncio.timeout(10):
        while not all(file.exists() for file in files):
            await asyncio.sleep(0.05)
    return [int(file.read_text()) for file in files]


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
    await asyncio.sleep(SAMPLE_EVERY)
    before, tasks_before, samples = Sample(gateway), await tasks(gateway), list[Sample]()
    await crowd(gateway)
    most = await maximum(gateway)
    rate = most / 2
    print(f"maximum {most:.0f}/s; {rate:.0f}/s for {minutes:g} min, every tenth of it a stream", flush=True)
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
    after, tasks_after = Sample(gateway), await tasks(gateway)
    held = [fleet.state(endpoint=each)["capabilities"]["depth"]["in_flight"] for each in range(len(fleet.uris))]
    under_way = in_flight(gateway)
    grown = slopes(samples)
    print(f"answers: {dict(calls.outcomes())}, streams: {dict(streams.outcomes())}")
    for worker, slope in enumerate(grown):
        course = [f"{each.memory[worker]:.1f}" for each in samples[:: max(1, len(samples) // 10)]]
        print(f"worker {worker}: {slope:+.3f} MB/min in the second half; MB over time: {' '.join(course)}")
    print(f"descriptors before {before.descriptors}, at the end {after.descriptors}")
    print(f"tasks before {tasks_before}, at the end {tasks_after}")
    print(f"in flight at the end: gateway {under_way:g}, orchestrators {held}")
    return (
        all(slope < SLOPE for slope in grown)
        and all(
            late <= early + SPARE for early, late in zip(before.descriptors, after.descriptors, strict=True)
        )
        and all(late <= early for early, late in zip(tasks_before, tasks_after, strict=True))
        and not (under_way or any(held))
    )


def main(minutes: float) -> int:
    with (
        SimulatorProcess(*fleet_arguments()) as fleet,
        tempfile.TemporaryDirectory() as folder,
        Served(Path(folder), document(fleet), **ENVIRONMENT, TASKS_FOLDER=folder) as gateway,
    ):
        good = asyncio.run(soak(gateway, fleet, minutes))
    print("nothing grows" if good else "something grows, or is left over")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0))
