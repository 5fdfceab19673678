"""Where a stream of events ends when nobody ends it."""

from __future__ import annotations

import pytest

from orchestrators.upstream.sse import FLOOD, Events

STREAM = b'data: {"n": 1}\n\nevent: x\ndata: two\n\n: ping\n\ndata: {"balance": 12.345}\n\ndata: [DONE]\n\n'


def passed(*parts: bytes) -> tuple[bytes, Events]:
    events = Events()
    seen = b""
    for part in parts:
        if not events.ended:
            seen += events.feed(part)
    return seen + events.close(), events


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_it_passes_a_stream_on_as_it_is_and_ends_at_done(newline: bytes, size: int):
    """R3, whatever the pieces it comes in."""
    stream = STREAM.replace(b"\n", newline)
    whole = stream + newline * 1000 + b"data: late\n\n"
    seen, events = passed(*(whole[i : i + size] for i in range(0, len(whole), size)))
    assert seen == stream
    assert events.ended


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_it_makes_the_same_of_whole_lines(parts: int):
    """Which are looked at as a whole: what it keeps of them is what it keeps of their bytes."""
    lines = (STREAM.replace(b"\n\n", b"\n\n\n", 1) + b"\n" * 9).splitlines(keepends=True)
    texts = [b"".join(lines[i : i + parts]) for i in range(0, len(lines), parts)]
    assert passed(*texts)[0] == STREAM


def test_it_ends_without_waiting_for_the_blank_line():
    seen, events = passed(b"data: [DONE]\n")
    assert (seen, events.ended) == (b"data: [DONE]\n\n", True)


@pytest.mark.parametrize("line", [b"data:[DONE]", b"data: [DONE] ", b"data:  [DONE]"])
def test_it_adds_what_the_last_event_lacks(line: bytes):
    assert passed(b"data: x\n\n" + line)[0] == b"data: x\n\n" + line + b"\n\n"


@pytest.mark.parametrize(
    "text",
    [
        b'data: {"text": "say [DONE]"}\n\n',
        b"data: [DONE] not\n\n",
        b"id: [DONE]\n\n",
        b"data: [DONE" + b" " * 90 + b"]\n\n",
    ],
)
def test_done_within_a_text_is_not_the_end(text: bytes):
    seen, events = passed(text, b"data: more\n\n")
    assert (seen, events.ended) == (text + b"data: more\n\n", False)


def test_it_drops_newlines_between_events():
    assert passed(b"data: a\n\n\n\n", b"\n\n\ndata: b\n\n\n")[0] == b"data: a\n\ndata: b\n\n"


def test_a_flood_of_newlines_is_an_end():
    seen, events = passed(b"data: a\n", b"\n" * FLOOD, b"data: never\n\n")
    assert (seen, events.ended) == (b"data: a\n\n", True)


def test_newlines_between_texts_are_no_flood():
    seen, events = passed(*(b"data: a\n\n" + b"\n" * (FLOOD // 2) for _ in range(5)))
    assert (seen, events.ended) == (b"data: a\n\n" * 5, False)
