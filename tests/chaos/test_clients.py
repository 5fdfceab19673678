"""Clients that are slow, that hang up, that are too many: those beside them are served as ever."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from orchestrators.simulator import SimulatorProcess
from tests.chaos.load import Books, Line, Load, request
from tests.support.served import Served

RATE = 100
CROWD = 500


@contextlib.asynccontextmanager
async def crowd(gateway: Served, sent: bytes) -> AsyncIterator[None]:
    """500 connections on each of which a byte of `sent` comes a second, once half of it has come at once."""
    lines = [await Line.open(gateway) for _ in range(CROWD)]
    half = len(sent) // 2

    async def drip() -> None:
        for line in lines:
            line.writer.write(sent[:half])
        for at in range(half, len(sent)):
            await asyncio.sleep(1)
            for line in lines:
                if not line.writer.transport.is_closing():
                    line.writer.write(sent[at : at + 1])

    dripping = asyncio.create_task(drip())
    try:
        yield
    finally:
        dripping.cancel()
        for line in lines:
            line.close()


@pytest.mark.parametrize("part", ["head", "body"])
async def test_slow_clients_are_waited_for_by_nobody_else(gateway: Served, part: str) -> None:
    """A byte a second of the head, or of the body: they wait for themselves alone."""
    whole = request(gateway, body=b" " * 3000 + b'{"image": "a picture"}')
    head = whole.index(b"\r\n\r\n")
    async with Load(gateway, rate=RATE) as load, crowd(gateway, whole[:head] if part == "head" else whole):
        await asyncio.sleep(8)
    books = await Books.of(gateway, load)

    assert load.failures == []
    assert books.lost(load) == set()


async def test_clients_that_hang_up_leave_nothing_behind(gateway: Served, fleet: SimulatorProcess) -> None:
    """500 at a time, four times, as soon as their call is at an orchestrator: no seat stays taken."""
    sent = request(gateway)
    async with Load(gateway, rate=RATE) as load:
        for endpoint in range(len(fleet.uris)):
            await asyncio.to_thread(fleet.fault, "depth", "slow", seconds=0.3, endpoint=endpoint)
        for _ in range(4):
            lines = [await Line.open(gateway) for _ in range(CROWD)]
            for line in lines:
                line.writer.write(sent)
            await asyncio.sleep(0.1)
            for line in lines:
                line.close()
            await asyncio.sleep(1)
        for endpoint in range(len(fleet.uris)):
            await asyncio.to_thread(fleet.fault, "depth", "none", endpoint=endpoint)
        await asyncio.sleep(1)
    async with Load(gateway, rate=RATE) as after:
        await asyncio.sleep(1)
    books = await Books.of(gateway, load, after)

    held = [
        (await asyncio.to_thread(fleet.state, endpoint=endpoint))["capabilities"]["depth"]["in_flight"]
        for endpoint in range(len(fleet.uris))
    ]
    assert held == [0] * len(fleet.uris)
    assert [call for call in load.failures if call.status not in (429, 503)] == []
    assert after.failures == []
    assert books.lost(load, after) == set()
    assert books.balanced
