"""An end to waiting: in time, too late, or ended by others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from routing.deadline import Deadlines

LONG = 30.0


@contextmanager
def within(seconds: float, deadlines: Deadlines | None = None) -> Iterator[None]:
    deadlines = deadlines or Deadlines()
    task = deadlines.begin(seconds)
    try:
        yield
    finally:
        deadlines.end(task)


async def test_a_deadline_ends_what_takes_too_long() -> None:
    with pytest.raises(TimeoutError), within(0.01):
        await asyncio.Event().wait()
    await asyncio.sleep(0)  # nothing of the cancelling is left


async def test_a_deadline_that_was_kept_does_nothing() -> None:
    with within(0.2):
        await asyncio.sleep(0)
    await asyncio.sleep(0.25)


async def test_an_error_before_the_deadline_is_itself() -> None:
    with pytest.raises(KeyError), within(LONG):
        raise KeyError


async def test_who_is_cancelled_by_others_does_not_read_as_late() -> None:
    async def waiting() -> None:
        with within(LONG):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(waiting())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_each_has_its_own_end() -> None:
    """Two that follow on the one timer, a third that was kept, and a fourth that goes on."""
    deadlines, ended = Deadlines(), []

    async def wait(name: str, most: float, seconds: float) -> None:
        try:
            with within(most, deadlines):
                await asyncio.sleep(seconds)
        except TimeoutError:
            ended.append(name)

    lasting = asyncio.ensure_future(wait("lasting", LONG, LONG))
    await asyncio.gather(wait("later", 0.4, LONG), wait("kept", 0.3, 0.0), wait("sooner", 0.1, LONG))
    assert ended == ["sooner", "later"]
    assert repr(deadlines) == "<Deadlines 1 running>"
    lasting.cancel()
