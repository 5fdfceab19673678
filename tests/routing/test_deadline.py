"""An end to waiting: in time, too late, or ended by others."""

from __future__ import annotations

import asyncio

import pytest

from routing.deadline import Deadline

LONG = 30.0


async def test_a_deadline_ends_what_takes_too_long() -> None:
    with pytest.raises(TimeoutError), Deadline(0.01):
        await asyncio.Event().wait()
    await asyncio.sleep(0)  # nothing of the cancelling is left


async def test_a_deadline_that_was_kept_does_nothing() -> None:
    with Deadline(0.01):
        await asyncio.sleep(0)
    await asyncio.sleep(0.03)


async def test_an_error_before_the_deadline_is_itself() -> None:
    with pytest.raises(KeyError), Deadline(LONG):
        raise KeyError


async def test_who_is_cancelled_by_others_does_not_read_as_late() -> None:
    async def late() -> None:
        with Deadline(0.01):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(late())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
