"""A request's body before anybody is asked: short ones are waited for, and kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from routing.replay import SHORT, BodyTooSlow, ReplayBody, ReplayMemory

NONE = ReplayMemory(0)


def arriving(*pieces: bytes, length: int | None) -> ReplayBody:
    """A body of these pieces, whose rest never comes if they are fewer than `length` bytes."""
    left = list(pieces)

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()
        piece = left.pop(0)
        return {
            "type": "http.request",
            "body": piece,
            "more_body": bool(left) or sum(map(len, pieces)) < (length or 0),
        }

    return ReplayBody(receive, length=length, limit=10 * SHORT, memory=NONE)


async def test_a_short_body_is_there_as_a_whole_and_can_be_sent_again() -> None:
    """Also where no memory is left for retries: a few of its pieces must never be missing."""
    body = arriving(b"one ", b"two ", b"three", length=13)
    await body.short(10)
    assert body.whole() == b"one two three"
    assert [b"".join([piece async for piece in body.chunks()]) for _ in range(2)] == [b"one two three"] * 2


async def test_a_short_body_that_does_not_come_is_too_slow() -> None:
    body = arriving(b"one ", length=13)
    with pytest.raises(BodyTooSlow):
        await body.short(0.05)


@pytest.mark.parametrize("length", [SHORT + 1, None])
async def test_a_long_body_is_not_waited_for(length: int | None) -> None:
    """Nor one that does not say how long it is: they are passed on as they come."""
    body = arriving(b"one ", length=length)
    await body.short(0.05)
    assert (body.size, body.complete) == (0, False)


@pytest.mark.parametrize("length", [3 * SHORT, None])
async def test_the_head_of_a_long_body_is_kept_for_its_first_reader(length: int | None) -> None:
    """Read ahead, and still passed on from the first byte, where no memory is left for another reader."""
    pieces = (b"one ", b"two ", b"3" * (SHORT - 4), b"4" * (2 * SHORT - 4))
    body = arriving(*pieces, length=length)
    assert await body.head(SHORT, 10) == b"".join(pieces)[:SHORT]
    assert not body.complete
    assert b"".join([piece async for piece in body.chunks()]) == b"".join(pieces)
    assert not body.repeatable
