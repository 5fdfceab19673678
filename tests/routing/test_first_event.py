"""Where the first event of a stream ends, in whatever pieces it comes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.opening import FirstEvent, first_event

PARTS = st.sampled_from(
    [b"\n", b"\r", b"\r\n", b"data: x", b"data", b"dat", b": ping", b"event: y", b"a", b"\n\n", b"xdata"]
)


def seen(*pieces: bytes) -> bool:
    events = FirstEvent()
    for piece in pieces:
        events.feed(piece)
    return events.seen


@pytest.mark.parametrize("newline", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_comments_and_keep_alives_are_no_event(newline: bytes, size: int) -> None:
    before = b": wait\n\nevent: x\nid: 7\n\nretry: 5\n\n\n".replace(b"\n", newline)
    event = b"event: y\ndata: a\ndata: b\n".replace(b"\n", newline)
    stream = before + event + newline
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert not seen(before)
    assert not seen(before, event)
    assert seen(*pieces)


@given(parts=st.lists(PARTS, max_size=12), size=st.integers(1, 5))
def test_it_sees_what_is_read_of_the_whole_at_once(parts: list[bytes], size: int) -> None:
    head = b"".join(parts)
    pieces = [head[at : at + size] for at in range(0, len(head), size)]
    ends = [seen(*pieces[:number]) for number in range(len(pieces) + 1)]
    wholes = [first_event(b"".join(pieces[:number])) is not None for number in range(len(pieces) + 1)]
    assert ends[-1] == any(wholes)


def test_a_stream_that_trickles_costs_no_more_than_its_bytes() -> None:
    """64 KiB in single bytes; looking at all of it for each took minutes."""
    began = time.process_time()
    assert not seen(*(b"a\n"[at % 2 : at % 2 + 1] for at in range(64 * 1024)))
    assert time.process_time() - began < 2
