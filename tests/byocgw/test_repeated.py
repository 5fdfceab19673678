"""What is read without the parser, since it repeats what the parser has read, the parser would read alike."""

from __future__ import annotations

import asyncio
import json
import random

import httptools
import pytest

from byocgw.protocol import DIFFERENT, BoundedProtocol
from byocgw.repeated import LONGEST, Head, head_of

from .edge import Edge, running

LINE = b"POST /a/b?c=d HTTP/1.1\r\n"
FIELDS = b"Host: a\r\nContent-Length: %d\r\nX-Key: secret\r\n"
DANGEROUS = (
    *(
        b"\r\n",
        b"\r",
        b"\n",
        b"\0",
        b" ",
        b"\t",
        b":",
        b",",
        b"0",
        b"1",
        b"9",
        b"+",
        b"-",
        b"\r\n\r\n",
        b"\xff",
    ),
    *(
        b"Content-Length: 3\r\n",
        b"\r\nTransfer-Encoding: chunked",
        b"Connection: close\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ),
    *(b"X: y\r\n", b"\r\nContent-Length: 0\r\n\r\n", b"Upgrade: h2c\r\nConnection: upgrade\r\n"),
)


def request(body: bytes, fields: bytes = FIELDS) -> bytes:
    return LINE + fields % len(body) + b"\r\n" + body


class Reading:
    """The parser's word on all that is told of a request."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.url = self.body = b""
        self.requests = 0
        self.kept = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)
        self.asked = (self.parser.get_method(), self.url, self.parser.get_http_version())

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.kept = self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.requests += 1


def known(data: bytes) -> Head | None:
    read = Reading(data)
    fields = {name: value for name, value in read.headers if name != b"content-length"}
    return head_of(data, len(read.body), read.asked, read.headers, fields)


@pytest.mark.parametrize(
    "fields", [FIELDS, b"content-length: %d\r\nA: b\r\n", b"A: b\r\nCONTENT-LENGTH: %d\r\n"]
)
@pytest.mark.parametrize("size", [0, 1, 9, 10, 99, 100, 5_000])
def test_the_same_with_another_body_is_read(fields: bytes, size: int) -> None:
    head = known(request(b"hi", fields))
    assert head is not None
    assert head.read(request(b"x" * size, fields)) == b"x" * size


def test_what_is_not_all_here_or_more_is_left_to_the_parser() -> None:
    whole, head = request(b"0123456789"), known(request(b""))
    assert head is not None
    assert [end for end in range(len(whole)) if head.read(whole[:end]) is not None] == []
    assert head.read(whole + b"\r\n") is None
    assert head.read(whole + whole) is None
    assert head.read(request(b"")[:-4]) is None  # ends with the digit: none of the body is missing


@pytest.mark.parametrize(
    "data",
    [
        LINE + b"Host: a\r\n\r\n",
        LINE + b"Content-Length:2\r\n\r\nhi",
        LINE + b"Content-Length: 2 \r\n\r\nhi",
        LINE + b"Content-Length: 02\r\n\r\nhi",
        LINE + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        LINE + b"Content-Length: 2\r\nA: b\r\nA: b\r\n\r\nhi",
        LINE + b"Content-Length: 2\r\nA: %s\r\n\r\nhi" % (b"b" * LONGEST),
        request(b"hi") + request(b"hi"),
        b"\r\n" + request(b"hi"),
    ],
)
def test_what_is_not_said_plainly_is_not_known(data: bytes) -> None:
    assert known(data) is None


def test_the_parser_agrees_whatever_comes() -> None:
    dice = random.Random(4)
    head = known(request(b"hi"))
    assert head is not None
    alike = 0
    for _ in range(20_000):
        text = bytearray(request(dice.randbytes(dice.choice((0, 2, 10, 120)))))
        for _ in range(dice.choice((0, 1, 1, 2, 3))):
            spot, size = dice.randrange(len(text) + 1), dice.randint(0, 8)
            text[spot : spot + size] = dice.choice((b"", dice.randbytes(1), *DANGEROUS))
        found = head.read(bytes(text))
        if found is not None:
            alike += 1
            read = Reading(bytes(text))
            length = (b"content-length", b"%d" % len(found))
            headers = [length if name == b"content-length" else (name, value) for name, value in head.headers]
            assert (read.requests, read.kept, read.asked) == (1, True, head.asked), text
            assert (read.headers, read.body) == (headers, found), text
    assert alike > 2_000


class Counting(BoundedProtocol):
    repeats = 0

    def repeat(self, head: Head, body: bytes) -> None:
        type(self).repeats += 1
        super().repeat(head, body)


async def answer_to(edge: Edge, *requests: bytes) -> list[tuple[int, int]]:
    """On a connection of its own: how long each said its body was, and how long it was."""
    client, told = await edge.connect(), []
    for each in requests:
        await client.send(each)
        said = json.loads((await client.answer())[2])
        told.append((said["fields"].get("content-length", 0), said["body"]))
    return told


async def test_on_a_connection_both_take_turns() -> None:
    Counting.repeats = 0
    async with running(Counting) as edge:
        other = b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n"
        bodies = [b"x" * size for size in (2, 2, 2, 100, 0, 7)]
        assert await answer_to(edge, *map(request, bodies), other, request(b"abc")) == [
            *((len(str(len(body))), len(body)) for body in bodies),
            *((0, 0), (1, 3)),
        ]
        assert Counting.repeats == 5
        assert edge.app.served == ["/a/b"] * 6 + ["/other", "/a/b"]


async def test_pipelined_behind_one_that_is_being_answered_it_waits() -> None:
    Counting.repeats = 0
    async with running(Counting) as edge:
        client = await edge.connect()
        hold = b"POST /hold HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s"
        edge.app.go.set()
        for _ in range(2):
            await client.send(hold % (1, b"a"))
            await client.answer()
        edge.app.go.clear()
        for body in (b"ab", b"abc"):
            before = Counting.repeats
            await client.send(hold % (len(body), body))
            async with asyncio.timeout(10):
                while Counting.repeats == before:
                    await asyncio.sleep(0)
        edge.app.go.set()
        assert [json.loads((await client.answer())[2])["body"] for _ in range(2)] == [2, 3]


async def test_where_all_differ_nothing_is_kept_after_a_while() -> None:
    Counting.repeats = 0
    async with running(Counting) as edge:
        one = [request(b"hi").replace(b"secret", b"%d" % number) for number in range(DIFFERENT)]
        last = request(b"hi")
        assert await answer_to(edge, *one, last, last, last) == [(1, 2)] * (DIFFERENT + 3)
        assert Counting.repeats == 0
