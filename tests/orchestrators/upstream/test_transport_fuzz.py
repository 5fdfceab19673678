"""Answers as no server would give them, fed to a connection without a socket: 2,000 always, 100,000 at length.

Whatever comes: the exchange ends, once, with an answer or with one of our errors; what was told of an answer
can be trusted; and a connection is used again only after an answer that a strict reader calls whole.
"""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrators.upstream.base import UpstreamError
from orchestrators.upstream.byoc import EventReply
from orchestrators.upstream.transport.answer import Answer
from orchestrators.upstream.transport.connection import Connection
from orchestrators.upstream.transport.limits import Limits

LIMITS = Limits(head=2048, body=64 * 1024)
LINE = b"HTTP/1.1 200 OK\r\n"
EVENTS = (
    b'data: {"n": 1}\n\n: ping\n\nevent: x\ndata: two\r\n\r\ndata: {"balance": 12.345}\n\ndata: [DONE]\n\n\n\n'
)
VALID = (
    LINE + b"content-type: application/json\r\ncontent-length: 10\r\n\r\n" + b'{"ok": 12}',
    LINE + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nx-late: 1\r\n\r\n",
    LINE
    + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n" % len(EVENTS)
    + EVENTS
    + b"\r\n0\r\n\r\n",
    LINE + b"content-type: text/event-stream\r\nlivepeer-payment-balance: 7\r\n\r\n" + EVENTS,
    b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + LINE + b"content-length: 2\r\n\r\nhi",
    b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil it closes",
    b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 3\r\n\r\nyes",
    b"HTTP/1.1 503 Busy\r\nretry-after: 3\r\ncontent-length: 4\r\nlivepeer-balance: 5\r\n\r\nbusy",
    b"HTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 307 There\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
)
DANGEROUS = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\x00",
        b"\x7f",
        b" ",
        b"\t",
        b":",
        b"\xff",
        b"0",
        b"-1",
        b"+",
        b"0x",
        b",",
    ),
    *(b"HTTP/1.1 ", b"HTTP/1.1 100 Go on\r\n\r\n", b"HTTP/1.1 101 Go\r\nupgrade: x\r\n\r\n", b"200", b"999"),
    *(
        b"content-length: 3\r\n",
        b"transfer-encoding: chunked\r\n",
        b"connection: close\r\n",
        b"upgrade: h2c\r\n",
    ),
    *(
        b"chunked",
        b"0\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"9" * 30,
        b"a" * 3000,
        b"\n" * 70_000,
        b"x: y\r\n" * 400,
    ),
    *(b"data: [DONE]\n\n", b"data:", b"[DONE]", LINE),
)
STRICT_HEAD = re.compile(
    rb"HTTP/1\.[01] [2-5]\d\d[^\r\n\x00]*\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\x00]*\r\n)*\r\n"
)
NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Wire(asyncio.Transport):
    """A transport without a socket."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "socket" else default

    def fileno(self) -> int:
        raise OSError("no socket")

    def write(self, data: Any) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True


@dataclass
class Owner:
    """Counts the exchanges that ended, and how."""

    ends: list[bool] = field(default_factory=list)

    def ended(self, connection: Connection, reusable: bool) -> None:
        self.ends.append(reusable)

    def lost(self, connection: Connection) -> None: ...


@dataclass
class Seen:
    status: int
    headers: dict[str, str]
    length: int | None
    body: bytes


async def exchange(connection: Connection, *, events: bool) -> Seen | UpstreamError:
    try:
        answer = await connection.exchange([b"POST / HTTP/1.1\r\n"], b"{}", timeout=60, total=60)
        reply = EventReply(answer) if events and isinstance(answer, Answer) else answer
        body = b"".join([chunk async for chunk in reply.chunks()])
        return Seen(answer.status, dict(answer.headers), None if events else answer.length, body)
    except UpstreamError as error:
        return error


async def feed(data: bytes, cuts: list[int], *, events: bool = False) -> None:
    """One connection, one answer in these pieces, and the end of the stream."""
    wire, owner = Wire(), Owner()
    connection = Connection(owner, LIMITS)
    connection.connection_made(wire)
    task = asyncio.get_running_loop().create_task(exchange(connection, events=events))
    await asyncio.sleep(0)
    start = 0
    for cut in [*sorted(cuts), len(data)]:
        if wire.closing:
            break
        if piece := data[start:cut]:
            connection.data_received(piece)
            start = cut
        await asyncio.sleep(0)
    reused = owner.ends == [True] and not wire.closing
    connection.eof_received()
    connection.connection_lost(None)
    for _ in range(10):
        if task.done():
            break
        await asyncio.sleep(0)
    assert task.done(), "it hangs"
    judge(data[:start], task.result(), owner, reused=reused)


def judge(data: bytes, seen: Seen | UpstreamError, owner: Owner, *, reused: bool) -> None:
    assert len(owner.ends) == 1, "its end is told once"
    if reused:
        assert isinstance(seen, Seen)
        head = STRICT_HEAD.search(data)
        assert head, "used again after what is no head"
    if isinstance(seen, Seen):
        assert 200 <= seen.status <= 599
        assert all(NAME.fullmatch(name) and VALUE.fullmatch(text) for name, text in seen.headers.items())
        assert not ("content-length" in seen.headers and "transfer-encoding" in seen.headers)
        assert seen.length is None or seen.status in (204, 304) or len(seen.body) == seen.length
        assert len(seen.body) <= LIMITS.body + 4


def garbled(dice: random.Random) -> bytes:
    text = bytearray(dice.choice(VALID))
    for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
        spot = dice.randrange(len(text) + 1)
        match dice.randrange(6):
            case 0:
                text[spot : spot + 1] = dice.randbytes(1)
            case 1:
                text[spot:spot] = dice.choice(DANGEROUS)
            case 2:
                del text[spot : spot + dice.randint(1, 8)]
            case 3:
                text[spot : spot + dice.randint(1, 8)] = dice.choice(DANGEROUS)
            case 4:
                end = spot + dice.randint(1, 40)
                text[spot:spot] = text[spot:end]
            case 5:
                other = dice.choice(VALID)
                text[spot:] = other[dice.randrange(len(other)) :]
    return bytes(text)


async def feed_garbled(number: int, seed: int) -> None:
    dice = random.Random(seed)
    for turn in range(number):
        data = garbled(dice)
        cuts = [dice.randrange(len(data) + 1) for _ in range(dice.choice((0, 0, 1, 3)))]
        try:
            await feed(data, cuts, events=dice.random() < 0.3)
        except BaseException as error:
            error.add_note(f"turn {turn} of seed {seed}: {data!r} cut at {sorted(cuts)}")
            raise


async def test_every_valid_answer_is_read_whole():
    for data in VALID:
        await feed(data, [])
        await feed(data, list(range(len(data))), events=True)


async def test_two_thousand_garbled_answers_end():
    await feed_garbled(2_000, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 12))
async def test_a_hundred_thousand_garbled_answers_end(seed: int):
    """Ten times 10,000, on either event loop."""
    await feed_garbled(10_000, seed)


NAMES = st.sampled_from(
    [b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"x", b"content-type", b" x", b"x "]
)
VALUES = st.one_of(
    st.sampled_from(
        [b"0", b"2", b"3", b"chunked", b"gzip, chunked", b"close", b"keep-alive", b"text/event-stream"]
    ),
    st.binary(max_size=6),
)
HEADS = st.builds(
    lambda version, status, fields, end: b"".join(
        [b"HTTP/", version, b" ", status, b" Y\r\n", *(b"%b: %b\r\n" % each for each in fields), end]
    ),
    st.sampled_from([b"1.1", b"1.0", b"2.0", b"1.9"]),
    st.sampled_from([b"200", b"204", b"304", b"500", b"100", b"101", b"999"]),
    st.lists(st.tuples(NAMES, VALUES), max_size=4),
    st.sampled_from([b"\r\n", b"\n", b""]),
)
BODIES = st.lists(
    st.one_of(
        st.sampled_from([b"2\r\nhi\r\n", b"0\r\n\r\n", b"hi", b"0\r\nx: y\r\n\r\n"]), st.binary(max_size=8)
    ),
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(
    heads=st.lists(HEADS, min_size=1, max_size=3), body=BODIES, cuts=st.lists(st.integers(0, 200), max_size=4)
)
def test_any_composed_answer_ends(heads: list[bytes], body: list[bytes], cuts: list[int]) -> None:
    data = b"".join([*heads, *body])
    asyncio.run(feed(data, [min(cut, len(data)) for cut in cuts]))
