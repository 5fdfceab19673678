"""Orchestrators that never answer, trickle, flood or crash: whoever has a ready alternative is served by it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestrators.simulator import SimulatorProcess
from tests.chaos.load import Books, Load, request
from tests.support.served import Served

RATE = 100
STREAMS = 20


async def serve_through(gateway: Served, fleet: SimulatorProcess, kind: str, **options: object) -> Load:
    """Two of five go wrong under load, and come back."""
    async with Load(gateway, rate=RATE) as load:
        for endpoint in (0, 1):
            await asyncio.to_thread(fleet.fault, "depth", kind, endpoint=endpoint, **options)
        await asyncio.sleep(6)
        for endpoint in (0, 1):
            await asyncio.to_thread(fleet.fault, "depth", "none", endpoint=endpoint)
    return load


@pytest.mark.parametrize("kind", ["hang", "trickle", "crash"])
async def test_whoever_goes_wrong_is_passed_over(gateway: Served, fleet: SimulatorProcess, kind: str) -> None:
    """Accepts and never answers, a byte a second, breaks off: not one call fails, a few are late."""
    load = await serve_through(gateway, fleet, kind)
    books = await Books.of(gateway, load)

    assert load.failures == []
    assert load.latency(0.5) < 1.0
    assert books.lost(load) == set()
    assert books.balanced


async def test_a_gigabyte_passes_without_filling_the_memory(gateway: Served, fleet: SimulatorProcess) -> None:
    """An answer without end is passed on as it comes, and broken off at 1 GiB: nobody else fails."""
    before = sum(resident(pid) for pid in gateway.workers())
    async with Load(gateway, rate=20) as load:
        await asyncio.to_thread(fleet.fault, "depth", "flood", times=2)
        peak = before
        for _ in range(20):
            await asyncio.sleep(0.5)
            peak = max(peak, sum(resident(pid) for pid in gateway.workers()))
    books = await Books.of(gateway, load)

    assert len(load.failures) <= 2  # those that were flooded
    assert peak - before < 60
    assert books.lost(load) == set()


async def test_a_flood_of_newlines_ends_at_the_end(gateway: Served, fleet: SimulatorProcess) -> None:
    """Two of five drown every stream in newlines after its end: each client has its stream, and its end."""
    stream = request(gateway, "text-reversal/reverse-stream", b'{"text": "one two three"}')
    async with Load(gateway, rate=STREAMS, wanted=stream) as load, Load(gateway, rate=RATE) as others:
        for endpoint in (0, 1):
            await asyncio.to_thread(fleet.fault, "text-reversal", "sse_flood", endpoint=endpoint)
        await asyncio.sleep(5)
    books = await Books.of(gateway, load, others)

    assert (load.failures, others.failures) == ([], [])
    assert books.lost(load, others) == set()
    assert books.balanced


def resident(pid: int) -> float:
    """Memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6
