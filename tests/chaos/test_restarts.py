"""The gateway's processes are replaced, stopped and killed while it carries 200 requests a second."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter

from tests.chaos.load import Books, Load
from tests.support.served import STARTED, Served

RATE = 200


async def until_started(gateway: Served, workers: int) -> None:
    """So many in all, since the first."""
    async with asyncio.timeout(60):
        while gateway.log().count(STARTED) < workers:
            await asyncio.sleep(0.05)


async def until_replaced(gateway: Served, old: set[int]) -> None:
    async with asyncio.timeout(60):
        while old & set(gateway.workers()) or len(gateway.workers()) < 2:
            await asyncio.sleep(0.05)


async def test_a_rolling_restart_loses_no_call(gateway: Served) -> None:
    """Three times SIGHUP: no call fails that had received a byte or was sent on a fresh connection; one whose
    connection was closed before any byte is served when it is repeated once."""
    assert gateway.process is not None
    async with Load(gateway, rate=RATE) as load:
        for _ in range(3):
            old = set(gateway.workers())
            gateway.process.send_signal(signal.SIGHUP)
            await until_replaced(gateway, old)
            await asyncio.sleep(1)
    books = await Books.of(gateway, load)

    assert [call for call in load.failures if call.got or call.fresh] == []
    assert len(load.failures) == sum(call.again for call in load.calls)
    assert len(load.calls) > RATE  # as many as a busy machine lets the load make
    assert books.lost(load) == set()
    assert books.balanced


async def test_a_stop_finishes_what_it_began(gateway: Served) -> None:
    """SIGTERM: whoever was let in is answered; whoever comes later is refused a connection."""
    process = gateway.process
    assert process is not None
    async with Load(gateway, rate=RATE) as load:
        await asyncio.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 40) == 0
    books = await Books.of(gateway, load)

    assert [call for call in load.failures if call.got] == []
    errors = Counter(call.error for call in load.failures if call.fresh)
    assert errors.pop("ConnectionRefusedError") > 0
    # The kernel may let one more in between a worker's last look at who waits and the end of its socket.
    assert errors in (Counter(), Counter(ConnectionResetError=1))
    assert books.lost(load) == set()
    assert books.balanced


async def test_a_killed_worker_costs_the_calls_it_held(gateway: Served) -> None:
    """kill -9: what was under way there breaks; nothing that comes later does, and no answer is lost. What
    holds of a call holds of its repetition, too: a kept connection may only break just before the next kill."""
    killed, others = [], []
    async with Load(gateway, rate=RATE) as load:
        for _ in range(3):
            started, before = gateway.log().count(STARTED), gateway.workers()
            gateway.kill_worker()
            killed.append(time.monotonic())
            await until_started(gateway, started + 1)
            others.append(set(before) & set(gateway.workers()))
    books = await Books.of(gateway, load)

    broken = [call for call in load.failures if call.got or call.fresh]
    assert [call for call in broken if not any(call.at <= at <= call.at + call.seconds for at in killed)] == []
    assert [len(each) for each in others] == [1, 1, 1]  # the other worker goes on
    assert books.lost(load) == set()
    assert books.balanced


async def test_a_killed_master_is_replaced(gateway: Served) -> None:
    """kill -9 of the master: its workers finish and leave the port to the next one, which loses nothing."""
    assert gateway.process is not None
    async with Load(gateway, rate=RATE) as load:
        gateway.process.kill()
        killed = time.monotonic()
        await asyncio.to_thread(gateway.process.wait)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(gateway.start)  # returns when both workers have started
        back = time.monotonic()
        await asyncio.sleep(1)
    books = await Books.of(gateway, load)

    under_way = [call for call in load.calls if call.at <= killed <= call.at + call.seconds]
    late = [call for call in load.calls if call.at > back]
    assert [call for call in under_way if call.fresh and not call.served] == []  # by orphans
    assert [call for call in load.failures if call.got] == []
    assert late and [call for call in late if call.fresh and not call.served] == []
    assert books.lost(load) == set()
    assert books.balanced
