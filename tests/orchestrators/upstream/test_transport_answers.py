"""What an origin makes of every way an answer can come, or not come."""

from __future__ import annotations

import asyncio
import random

import pytest

from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import NotAnswered, NotConnected, PartlyAnswered, Target, UpstreamError

from .conftest import LINE, OK, Conversation, MakePool, Serve, ask, fault_of, read, saying, saying_once


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_it_knows_answers_without_a_body(serve: Serve, make_pool: MakePool, status: bytes):
    peer, pool = await serve(saying(b"HTTP/1.1 %b\r\n\r\n" % status)), make_pool()
    for _ in range(2):
        assert await read(await ask(pool, peer)) == b""
    assert peer.connections == 1


async def test_it_reads_chunks_and_trailers(serve: Serve, make_pool: MakePool):
    text = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n1;x=y\r\nh\r\n1\r\ni\r\n0\r\nx-late: 1\r\n\r\n"
    )
    peer, pool = await serve(saying(text)), make_pool()
    answer = await ask(pool, peer)
    assert await read(answer) == b"hi"
    assert answer.length is None
    assert "x-late" not in answer.headers
    assert await read(await ask(pool, peer)) == b"hi"
    assert peer.connections == 1


async def test_it_reads_an_answer_that_comes_byte_by_byte(serve: Serve, make_pool: MakePool):
    text = b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + LINE
    text += b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    peer, pool = await serve(saying(*(bytes([byte]) for byte in text))), make_pool()
    answer = await ask(pool, peer)
    assert (answer.status, await read(answer)) == (200, b"hi")
    assert "link" not in answer.headers


async def test_it_reads_a_body_that_ends_by_closing(serve: Serve, make_pool: MakePool):
    peer, pool = await serve(saying_once(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000)), make_pool()
    for _ in range(2):
        assert len(await read(await ask(pool, peer))) == 100_000
    assert peer.connections == 2


async def test_it_tells_names_in_lower_case_and_the_last_value(serve: Serve, make_pool: MakePool):
    text = b"HTTP/1.1 200 OK\r\nX-Metadata: one\r\nx-metadata: tw\xf6\r\nContent-Length: 0\r\n\r\n"
    answer = await ask(make_pool(), await serve(saying(text)))
    assert answer.headers == {"x-metadata": "twö", "content-length": "0"}


async def test_it_follows_no_redirect(serve: Serve, make_pool: MakePool):
    """G27"""
    text = b"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    answer = await ask(make_pool(), await serve(saying(text)))
    assert (answer.status, answer.headers["location"]) == (307, "http://127.0.0.1:1/")


async def test_it_says_refused(make_pool: MakePool, free_port: int):
    for host in ("127.0.0.1", "localhost"):
        target = Target(f"http://{host}:{free_port}", "direct", "depth")
        with pytest.raises(NotConnected) as caught:
            await make_pool().origin(target).send(b"POST", b"/", [], b"", timeout=1)
        assert caught.value.fault is Fault.REFUSED


@pytest.mark.parametrize(
    "uri",
    [
        "http://host.invalid",
        "http://" + "x" * 70 + ".invalid",
        "ftp://x",
        "http://x/y",
        "http://a@x",
        "http://x:99999",
    ],
)
async def test_it_says_unreachable(make_pool: MakePool, uri: str):
    with pytest.raises(NotConnected) as caught:
        await make_pool().origin(Target(uri, "direct", "depth")).send(b"POST", b"/", [], b"", timeout=1)
    assert caught.value.fault is Fault.UNREACHABLE


async def test_it_says_unreachable_when_a_handshake_never_ends(serve: Serve, make_pool: MakePool):
    peer = await serve(Conversation.gone)
    target = Target(peer.uri.replace("http", "https"), "direct", "depth")
    with pytest.raises(NotConnected) as caught:
        await make_pool(connect=0.1).origin(target).send(b"POST", b"/", [], b"", timeout=1)
    assert caught.value.fault is Fault.UNREACHABLE


async def reset_unanswered(conversation: Conversation) -> None:
    await conversation.request()
    conversation.reset()


async def reset_within_the_head(conversation: Conversation) -> None:
    await conversation.request()
    await conversation.say(b"HTTP/1.1 200 OK\r\ncontent-le")
    conversation.reset()


@pytest.mark.parametrize(
    "script", [reset_unanswered, reset_within_the_head, saying_once(b""), saying_once(b"HTTP/1.1 2")]
)
async def test_it_says_broken_before_the_head(serve: Serve, make_pool: MakePool, script):
    error = await fault_of(make_pool(), await serve(script))
    assert (type(error), error.fault) == (NotAnswered, Fault.BROKEN)


async def reset_within_the_body(conversation: Conversation) -> None:
    await conversation.request()
    await conversation.say(OK[:-1])
    await conversation.reader.read(1)
    conversation.reset()


@pytest.mark.parametrize(
    "end", [b"content-length: 3\r\n\r\nhi", b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"]
)
async def test_it_says_cut_off_after_what_came(serve: Serve, make_pool: MakePool, end: bytes):
    answer = await ask(make_pool(), await serve(saying_once(b"HTTP/1.1 200 OK\r\n" + end)))
    seen = []
    with pytest.raises(PartlyAnswered) as caught:
        async for chunk in answer.chunks():
            seen.append(chunk)
    assert (b"".join(seen), caught.value.fault) == (b"hi", Fault.CUT_OFF)


@pytest.mark.beyond_aiohttp("takes a reset for the end")
async def test_it_says_cut_off_when_a_body_that_ends_by_closing_is_reset(serve: Serve, make_pool: MakePool):
    said = asyncio.Event()

    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(b"HTTP/1.1 200 OK\r\n\r\nhi")
        await said.wait()
        conversation.reset()

    answer = await ask(make_pool(), await serve(script))
    said.set()
    with pytest.raises(PartlyAnswered) as caught:
        await read(answer)
    assert caught.value.fault is Fault.CUT_OFF


def accepted(text: bytes):
    return pytest.param(text, marks=pytest.mark.beyond_aiohttp("takes this for an answer"))


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-OpenSSH\r\n",
        accepted(b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n"),
        accepted(b"HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n"),
        b"HTTP/1.1 20 OK\r\n\r\n",
        accepted(b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"),
        accepted(LINE.replace(b"\r", b"") + b"content-length: 0\n\n"),
        LINE + b"content-length: 2\r\ncontent-length: 2\r\n\r\nhi",
        LINE + b"content-length: 2\r\ncontent-length: 3\r\n\r\nhi",
        LINE + b"content-length: 2, 2\r\n\r\nhi",
        LINE + b"content-length: -2\r\n\r\nhi",
        LINE + b"content-length: 99999999999999999999999\r\n\r\nhi",
        LINE + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        LINE + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        accepted(LINE + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        accepted(LINE + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        accepted(LINE + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        LINE + b"x: a\x00b\r\ncontent-length: 0\r\n\r\n",
        accepted(LINE + b"x: a\x07b\r\ncontent-length: 0\r\n\r\n"),
        LINE + b"x: a\rb\r\ncontent-length: 0\r\n\r\n",
        LINE + b"x y: a\r\ncontent-length: 0\r\n\r\n",
        LINE + b"x : a\r\ncontent-length: 0\r\n\r\n",
        accepted(LINE + b"x: a\r\n folded\r\ncontent-length: 0\r\n\r\n"),
    ],
)
async def test_it_refuses_what_two_readers_could_read_differently(
    serve: Serve, make_pool: MakePool, text: bytes
):
    error = await fault_of(make_pool(), await serve(saying(text)))
    assert (type(error), error.fault) == (NotAnswered, Fault.MALFORMED)


@pytest.mark.beyond_aiohttp("takes a bad first chunk for a bad head")
@pytest.mark.parametrize(
    "chunks", [b"zz\r\nhi", b"2\nhi", b"2\r\nhiXX", b"fffffffffffffffff\r\nhi", b"2 \r\nhi"]
)
async def test_it_refuses_bad_chunks(serve: Serve, make_pool: MakePool, chunks: bytes):
    peer = await serve(saying(LINE + b"transfer-encoding: chunked\r\n\r\n", chunks))
    error = await fault_of(make_pool(), peer)
    assert (type(error), error.fault) == (PartlyAnswered, Fault.MALFORMED)


CHUNKED = LINE + b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n"


@pytest.mark.beyond_aiohttp("has no cap for a whole head or body")
@pytest.mark.parametrize(
    "text",
    [
        LINE + b"x: " + b"a" * 5000 + b"\r\ncontent-length: 0\r\n\r\n",
        LINE + b"x: " + b"a" * 5000,
        b"HTTP/1.1 100 Go on\r\n\r\n" * 1000,
        CHUNKED + b"0\r\nx: " + b"a" * 5000 + b"\r\n\r\n",
        LINE + b"content-length: 100001\r\n\r\n",
        LINE + b"\r\n" + b"x" * 100_001,
        LINE + b"transfer-encoding: chunked\r\n\r\n" + b"186a1\r\n" + b"x" * 100_001,
    ],
)
async def test_it_refuses_more_than_its_caps(serve: Serve, make_pool: MakePool, text: bytes):
    peer = await serve(saying(text, b"\r\n"))
    error = await fault_of(make_pool(head=4096, body=100_000), peer)
    assert (type(error), error.fault) == (PartlyAnswered, Fault.TOO_LARGE)


@pytest.mark.beyond_aiohttp("has no cap for what is not content")
async def test_it_refuses_chunk_extensions_without_end(serve: Serve, make_pool: MakePool):
    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(CHUNKED + b"1;")
        while True:
            await conversation.say(b"a" * 1000)

    error = await fault_of(make_pool(head=4096), await serve(script))
    assert (type(error), error.fault) == (PartlyAnswered, Fault.TOO_LARGE)


@pytest.mark.beyond_aiohttp("reads garbled chunks until a timeout")
async def test_any_garbled_answer_ends_in_an_answer_or_one_of_our_errors(serve: Serve, make_pool: MakePool):
    whole = CHUNKED + b"5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n"
    garble = random.Random(7)

    async def script(conversation: Conversation) -> None:
        await conversation.request()
        text = bytearray(whole)
        for _ in range(garble.randint(1, 4)):
            spot = garble.randrange(len(text))
            text[spot : spot + garble.randint(0, 3)] = garble.randbytes(garble.randint(0, 3))
        await conversation.say(bytes(text))

    peer, pool = await serve(script), make_pool(idle=1.0)
    for _ in range(150):
        try:
            answer = await ask(pool, peer, timeout=1.0)
            await read(answer)
        except UpstreamError as error:
            assert isinstance(error.fault, Fault)
