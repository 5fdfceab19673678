"""Waiting for a seat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from routing.waiting import LONGEST_QUEUE, SeatQueue

LONG = 30.0


async def waiting(*waits: Awaitable[bool]) -> list[asyncio.Task[bool]]:
    """Tasks that stand in the queue, in this order."""
    tasks = [asyncio.ensure_future(each) for each in waits]
    await asyncio.sleep(0)
    return tasks


async def settled() -> None:
    """Everything that could run has run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_wakes_the_first_come_first() -> None:
    queue = SeatQueue()
    tasks = await waiting(*(queue.wait("depth", LONG) for _ in range(3)))
    woken = []
    for _ in range(3):
        queue.wake("depth")
        await settled()
        woken.append([task.done() for task in tasks])

    assert woken == [[True, False, False], [True, True, False], [True, True, True]]
    assert [task.result() for task in tasks] == [True, True, True]


async def test_it_gives_up_when_the_time_is_over() -> None:
    queue = SeatQueue()
    assert await queue.wait("depth", 0.01) is False
    queue.wake("depth")  # nobody is there any more
    assert await queue.wait("depth", 0.0) is False
    assert await queue.wait("depth", -1.0) is False
    assert repr(queue) == "<SeatQueue {}>"


async def test_it_keeps_capabilities_apart() -> None:
    queue = SeatQueue()
    depth, pose = await waiting(queue.wait("depth", LONG), queue.wait("pose", LONG))
    queue.wake("segmentation")
    queue.wake("pose")
    await settled()

    assert (depth.done(), pose.done()) == (False, True)
    queue.wake("depth")
    assert await depth is True


async def test_it_is_bounded() -> None:
    queue = SeatQueue()
    tasks = await waiting(*(queue.wait("depth", LONG) for _ in range(LONGEST_QUEUE)))
    assert await queue.wait("depth", LONG) is False  # at once
    for _ in tasks:
        queue.wake("depth")
    assert all(await asyncio.gather(*tasks))


async def test_it_forgets_who_hung_up() -> None:
    queue = SeatQueue()
    first, second = await waiting(queue.wait("depth", LONG), queue.wait("depth", LONG))
    first.cancel()
    await settled()
    queue.wake("depth")
    assert await second is True


async def test_it_passes_on_a_seat_whose_waiter_hung_up_when_woken() -> None:
    queue = SeatQueue()
    first, second = await waiting(queue.wait("depth", LONG), queue.wait("depth", LONG))
    queue.wake("depth")
    first.cancel()  # before it could run
    await settled()

    assert first.cancelled()
    assert second.done() and second.result() is True


async def test_it_finds_those_who_wait_again() -> None:
    """Two are woken; the first finds no seat and waits again before the second has even left."""
    queue = SeatQueue()

    async def wait_twice() -> bool:
        return await queue.wait("depth", LONG) and await queue.wait("depth", LONG)

    again, second = await waiting(wait_twice(), queue.wait("depth", LONG))
    queue.wake("depth")
    queue.wake("depth")
    await settled()
    assert (again.done(), second.done()) == (False, True)
    queue.wake("depth")
    await settled()
    assert again.done() and again.result() is True
