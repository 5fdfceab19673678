"""What is read without the parser, the parser reads alike; what it would refuse, or wait for, is left to it."""

from __future__ import annotations

import random

import httptools
import pytest

from orchestrators.core.outcome import Fault
from orchestrators.upstream.transport import plain

from .conftest import LINE, OK, Conversation, MakePool, Serve, ask, fault_of, read, saying
from .test_transport_fuzz import DANGEROUS, VALID

OFTEN = LINE + b"Content-Type: application/json\r\nDate: Thu, 26 Nov 2026 19:00:01 GMT\r\n"
JSON = b'{"ok": 12}'


class Read:
    """The parser's word on all that is told of an answer."""

    def __init__(self, data: bytes) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.answers = 0
        self.kept = False
        self.parser = httptools.HttpResponseParser(self)
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.kept = self.parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        self.answers += 1

    def told(self) -> tuple[int, bool, int, dict[str, str], bytes]:
        headers = {name.decode("ascii").lower(): value.decode("ascii") for name, value in self.fields}
        assert len(headers) == len(self.fields)
        status = self.parser.get_status_code()
        return self.answers, self.kept, status, headers, b"".join(self.pieces)


def test_it_reads_the_commonest_answer():
    data = OFTEN + b"Content-Length: 10\r\nLivepeer-Balance: 7\r\nConnection: Keep-Alive\r\n\r\n" + JSON
    headers = {
        "content-type": "application/json",
        "date": "Thu, 26 Nov 2026 19:00:01 GMT",
        "content-length": "10",
        "livepeer-balance": "7",
        "connection": "Keep-Alive",
    }
    for _ in range(2):
        found = plain.read(data)
        assert found == (headers, JSON)
        found[0].clear()  # nobody else's
    longer = data.replace(b"Length: 10", b"Length: 11") + b" "
    assert plain.read(longer) == (headers | {"content-length": "11"}, JSON + b" ")
    assert Read(data).told() == (1, True, 200, headers, JSON)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        LINE,
        LINE + b"content-length: 0",
        OFTEN + b"content-length: 0\r\nx: y",
        LINE + b"\r\n" + JSON,
        OFTEN + b"content-length: 10\r\n\r\n" + JSON[:-1],
        OFTEN + b"content-length: 10\r\n\r\n" + JSON + b"\n",
        OFTEN + b"content-length: 010\r\n\r\n" + JSON,
        OFTEN + b"content-length: +10\r\n\r\n" + JSON,
        OFTEN + b"content-length: 10\r\ncontent-length: 10\r\n\r\n" + JSON,
        OFTEN + b"content-length: 10\r\nContent-Length: 2\r\n\r\n" + JSON,
        OFTEN + b"x-length: 10\r\ncontent-length: 11\r\n\r\n" + JSON,
        OFTEN + b"content-length: 11\r\nx-length: 10\r\n\r\n" + JSON,
        OFTEN + b"x: content-length: 10\r\n\r\n" + JSON,
        OFTEN + b"x-length: 10\r\ncontent-length: 0\r\n\r\n" + JSON,
        OFTEN + b"x: ength: 10\r\ncontent-length: 0\r\n\r\n" + JSON,
        OFTEN + b"x: content-length: 10\r\ncontent-length: 0\r\n\r\n" + JSON,
        OFTEN + b"content-length: 0\r\nx-length: 10\r\n\r\n" + JSON,
        OFTEN + b"content-length: 100\r\n\r\n" + JSON,
        b"HTTP/1.1 103 Early\r\ncontent-length: %d\r\n\r\n" % len(OK) + OK,
        OFTEN + b"content-length: 10\r\nconnection: close\r\n\r\n" + JSON,
        OFTEN + b"content-length: 10\r\nproxy-connection: close\r\n\r\n" + JSON,
        OFTEN + b"content-length: 10\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n" + JSON,
        OFTEN + b"content-length: 10\r\ntransfer-encoding: chunked\r\n\r\n" + JSON,
        OFTEN + b"content-length: 10\r\nx : y\r\n\r\n" + JSON,
        OFTEN + b"content-length: 10\r\nx:y\r\n\r\n" + JSON,
        OFTEN + b"content-length: 10\r\nx: \r\n\r\n" + JSON,
        OFTEN + b"content-length: 10\r\nx:  y \r\n\r\n" + JSON,
        OFTEN + b"content-length: 10\r\nx: y\r\n folded\r\n\r\n" + JSON,
        OFTEN + b"content-length: 10\r\nx: a\rb\r\n\r\n" + JSON,
        OFTEN + b"content-length: 10\r\nx: a\nb\r\n\r\n" + JSON,
        OFTEN + b"content-length: 10\r\nx: a\0b\r\n\r\n" + JSON,
        OFTEN + b"content-length: 10\r\nx: \xe9\r\n\r\n" + JSON,
        OFTEN + b"content-length: 10\r\nx: " + b"y" * plain.LONGEST + b"\r\n\r\n" + JSON,
        OFTEN.replace(b"1.1", b"1.0") + b"content-length: 10\r\n\r\n" + JSON,
        OFTEN.replace(b"200 OK", b"503 Busy") + b"content-length: 10\r\n\r\n" + JSON,
        OFTEN.replace(b"200 OK", b"204 OK") + b"content-length: 10\r\n\r\n" + JSON,
        b"\r\n" + OFTEN + b"content-length: 10\r\n\r\n" + JSON,
    ],
)
def test_it_leaves_to_the_parser_what_is_not(data: bytes):
    assert plain.read(data) is None


def test_it_agrees_with_the_parser_whatever_comes():
    dice = random.Random(4)
    whole = OFTEN + b"Content-Length: 10\r\nConnection: keep-alive\r\n\r\n" + JSON
    alike = 0
    for _ in range(20_000):
        text = bytearray(dice.choice((whole, whole, whole, *VALID)))
        for _ in range(dice.choice((1, 1, 2, 3))):
            spot, size = dice.randrange(len(text) + 1), dice.randint(0, 8)
            text[spot : spot + size] = dice.choice((b"", dice.randbytes(1), dice.choice(DANGEROUS), b"A"))
        found = plain.read(bytes(text))
        if found is not None:
            alike += 1
            assert Read(bytes(text)).told() == (1, True, 200, *found), bytes(text)
    assert alike > 500


async def test_both_take_turns_on_a_connection(serve: Serve, make_pool: MakePool):
    answers = [OK, LINE + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"]

    async def script(conversation: Conversation) -> None:
        for turn in range(6):
            await conversation.request()
            await conversation.say(answers[turn % 2])

    peer, pool = await serve(script), make_pool()
    for turn in range(6):
        answer = await ask(pool, peer)
        assert (answer.status, answer.length, await read(answer)) == (200, None if turn % 2 else 2, b"hi")
    assert peer.connections == 1


async def test_an_answer_without_content_has_no_piece(serve: Serve, make_pool: MakePool):
    answer = await ask(make_pool(), await serve(saying(LINE + b"content-length: 0\r\n\r\n")))
    assert (answer.length, answer.complete, [each async for each in answer.chunks()]) == (0, True, [])


async def test_no_body_is_larger_than_the_cap(serve: Serve, make_pool: MakePool):
    error = await fault_of(make_pool(body=1), await serve(saying(OK)))
    assert error.fault is Fault.TOO_LARGE
