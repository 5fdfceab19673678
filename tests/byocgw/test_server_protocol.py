"""BoundedProtocol over real sockets: what it cuts off, what it lets pass, how it drains.

The application under it answers with what it saw of the request, so that a test can tell "cut off
before anything read it" (`served` stays empty) from "answered".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from byocgw.protocol import BoundedProtocol

from .edge import Client, Edge, running

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


class Impatient(BoundedProtocol):
    SECONDS = 0.3
    LINGER = 0.3


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running(BoundedProtocol) as edge:
        yield edge


@pytest.fixture
async def impatient() -> AsyncIterator[Edge]:
    async with running(Impatient) as edge:
        yield edge


async def send_head(client: Client, head: bytes) -> bytes:
    """Send what the server may refuse to take, and return all it says."""
    with contextlib.suppress(ConnectionError):
        await client.send(head)
    return await client.rest()


# --- size -------------------------------------------------------------------------------------------


async def test_it_passes_a_livepeer_header_of_a_mebibyte(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(b"POST /a HTTP/1.1\r\nLivepeer: %s\r\nContent-Length: 2\r\n\r\nhi" % (b"x" * 2**20))
    status, _, body = await client.answer()
    assert status == 200
    assert json.loads(body) == {"path": "/a", "fields": {"livepeer": 2**20, "content-length": 1}, "body": 2}


@pytest.mark.parametrize("part", [b"GET /%s", b"GET / HTTP/1.1\r\nLivepeer: %s", b"GET / HTTP/1.1\r\n%s: a"])
async def test_it_cuts_off_a_head_of_eight_mebibytes(edge: Edge, part: bytes) -> None:
    said = await send_head(await edge.connect(), part % (b"x" * 2**23))
    assert said == b"" or said.startswith(b"HTTP/1.1 431 ")
    assert edge.app.served == []


async def test_it_says_why_it_refuses_a_large_head(edge: Edge) -> None:
    client = await edge.connect()
    start = b"GET / HTTP/1.1\r\nLivepeer: "
    await client.send(start + b"x" * (BoundedProtocol.HEAD + 1 - len(start)))
    said = await client.rest()
    assert said.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"\r\nconnection: close\r\n" in said
    assert edge.app.served == []


async def test_it_judges_a_head_that_came_in_one_read_without_its_body() -> None:
    class Small(BoundedProtocol):
        HEAD = 1_000

    async with running(Small) as small:
        client = await small.connect()
        await client.send(POST % (b"x" * 800, 5_000) + b"b" * 5_000)
        assert (await client.answer())[0] == 200
        await client.send(POST % (b"x" * 1_000, 0))
        assert (await client.answer())[0] == 431


async def test_it_counts_heads_of_a_kept_connection_one_by_one(edge: Edge) -> None:
    client = await edge.connect()
    for _ in range(3):
        await client.send(b"GET / HTTP/1.1\r\nLivepeer: %s\r\n\r\n" % (b"x" * 900_000))
        assert (await client.answer())[0] == 200


async def test_an_idle_connection_keeps_no_large_head(edge: Edge) -> None:
    clients, head = (
        [await edge.connect() for _ in range(4)],
        b"GET / HTTP/1.1\r\nLivepeer: %s\r\n\r\n" % (b"x" * 2**20),
    )
    tracemalloc.start()
    try:
        for client in clients:
            for _ in range(3):
                await client.send(head)
                assert (await client.answer())[0] == 200
        assert tracemalloc.get_traced_memory()[0] < 2**20
    finally:
        tracemalloc.stop()


async def test_it_does_not_count_a_body_as_head(edge: Edge) -> None:
    client = await edge.connect()
    size = 3 * BoundedProtocol.HEAD
    await client.send(b"POST / HTTP/1.1\r\nLivepeer: %s\r\n" % (b"x" * 1_100_000))
    await client.send(b"Content-Length: %d\r\n\r\n%s" % (size, b"b" * size))
    status, _, body = await client.answer()
    assert (status, json.loads(body)["body"]) == (200, size)


async def test_it_cuts_off_empty_lines_that_never_become_a_request(edge: Edge) -> None:
    said = await send_head(await edge.connect(), b"\r\n" * BoundedProtocol.HEAD)
    assert said == b"" or said.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(("fields", "status"), [(200, b"200"), (201, b"431"), (20_000, b"431")])
async def test_it_allows_two_hundred_fields(edge: Edge, fields: int, status: bytes) -> None:
    said = await send_head(
        await edge.connect(), b"GET / HTTP/1.1\r\nConnection: close\r\n" + b"a: b\r\n" * (fields - 1) + b"\r\n"
    )
    assert said.startswith(b"HTTP/1.1 " + status) or (said == b"" and fields > 10_000)
    assert len(edge.app.served) == (1 if fields <= 200 else 0)


CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"


async def test_it_drops_trailers(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(CHUNKED + b"0\r\nAuthorization: Bearer late\r\n\r\n")
    assert json.loads((await client.answer())[2])["fields"] == {"transfer-encoding": 7}
    await client.send(POST % (b"", 0))
    assert json.loads((await client.answer())[2])["fields"] == {"host": 1, "content-length": 1}


@pytest.mark.parametrize("part", [b"0\r\nTrailer-Field: %s", b"2;extension=%s"])
async def test_it_bounds_what_a_chunked_body_says_besides_its_content(edge: Edge, part: bytes) -> None:
    client = await edge.connect()
    await send_head(client, CHUNKED + part % (b"x" * 2**23))
    assert edge.server.server_state.connections == set()


# --- form -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi",
        b"CONNECT a:80 HTTP/1.1\r\n\r\n",
    ],
    ids=["words", "field", "two framings", "two lengths", "upgrade with a body", "connect"],
)
async def test_it_answers_400_to_a_malformed_head(edge: Edge, head: bytes) -> None:
    said = await send_head(await edge.connect(), head)
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert edge.app.served == []


async def test_it_ignores_an_upgrade_without_a_body(edge: Edge) -> None:
    client = await edge.connect()
    for _ in range(2):
        await client.send(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert (await client.answer())[0] == 200


async def test_it_never_writes_a_refusal_into_an_answer_under_way(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(POST % (b"hold", 0) + b"nonsense\r\n\r\n")
    assert await client.rest() == b""


async def test_it_answers_pipelined_requests_in_order(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(POST % (b"a", 3) + b"one" + POST % (b"b", 5) + b"three" + GET + POST[:20])
    answers = [json.loads((await client.answer())[2]) for _ in range(3)]
    assert [(a["path"], a["body"]) for a in answers] == [("/a", 3), ("/b", 5), ("/", 0)]


async def test_it_answers_what_comes_behind_an_upgrade_that_it_ignores(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(
        b"GET /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + POST % (b"b", 2) + b"hi"
    )
    answers = [json.loads((await client.answer())[2]) for _ in range(2)]
    assert [(a["path"], a["body"]) for a in answers] == [("/a", 0), ("/b", 2)]


async def test_it_cuts_off_who_has_too_many_requests_wait(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(POST % (b"hold", 0) + GET * (BoundedProtocol.PIPELINED + 1))
    assert await client.rest() == b""
    assert edge.app.served == ["/hold"]


async def test_it_reads_no_more_while_requests_wait(edge: Edge) -> None:
    """Or each answer would let in as many as a read holds."""
    client = await edge.connect()
    half = BoundedProtocol.PIPELINED // 2 + 10
    await client.send(POST % (b"hold", 0) + GET * half)
    (connection,) = edge.server.server_state.connections
    assert isinstance(connection, BoundedProtocol)
    while len(connection.pipeline) < half:
        await asyncio.sleep(0)
    await client.send(GET * half)
    edge.app.go.set()
    seen = []
    for _ in range(1 + 2 * half):
        assert (await client.answer())[0] == 200
        seen.append(len(connection.pipeline))
    assert max(seen) <= half


async def test_who_hangs_up_is_missed_by_the_request_under_way_though_others_wait(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
    await client.reader.readuntil(b"\r\n\r\n")
    client.writer.transport.abort()
    async with asyncio.timeout(10):
        await edge.app.hung_up.wait()
    assert edge.app.served == ["/endless"]


# --- HTTP/1.0 ---------------------------------------------------------------------------------------


async def test_the_end_of_the_connection_ends_an_answer_to_http_1_0_without_a_length(edge: Edge) -> None:
    """RFC 9112, 6.1: it knows no chunks."""
    client = await edge.connect()
    await client.send(b"GET /endless HTTP/1.0\r\n\r\n")
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert b"transfer-encoding" not in head and b"\r\nconnection: close\r\n" in head
    assert not any(await client.reader.readexactly(200_000))


async def test_http_1_0_is_not_told_to_continue(edge: Edge) -> None:
    """RFC 9110, 10.1.1."""
    client = await edge.connect()
    await client.send(b"POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    while not edge.app.served:
        await asyncio.sleep(0)
    await client.send(b"hi")
    status, fields, body = await client.answer()
    assert (status, json.loads(body)["body"], fields["connection"]) == (200, 2, "close")


# --- time -------------------------------------------------------------------------------------------


async def test_it_cuts_off_a_connection_that_says_nothing(impatient: Edge) -> None:
    client = await impatient.connect()
    assert await client.rest() == b""


async def test_it_says_why_it_cuts_off_a_slow_head(impatient: Edge) -> None:
    client = await impatient.connect()
    await client.send(GET[:20])
    assert (await client.rest()).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert impatient.app.served == []


async def test_it_cuts_off_a_slow_head(impatient: Edge) -> None:
    client = await impatient.connect()
    assert await client.drip(GET, every=0.1) is not None
    assert impatient.app.served == []


@pytest.mark.parametrize("start", [GET, b"\r\n" * 20], ids=["a request", "empty lines"])
async def test_it_cuts_off_a_slow_head_on_a_kept_connection(impatient: Edge, start: bytes) -> None:
    client = await impatient.connect()
    await client.send(GET)
    assert (await client.answer())[0] == 200
    await asyncio.sleep(2 * Impatient.SECONDS)  # idle is no head
    assert await client.drip(start, every=0.1) is not None
    assert impatient.app.served == ["/"]


async def test_it_cuts_off_a_slow_head_that_began_in_the_packet_of_the_request_before(impatient: Edge) -> None:
    client = await impatient.connect()
    await client.send(POST % (b"a", 2) + b"hiGET")
    assert (await client.answer())[0] == 200
    assert (await client.rest()).startswith(b"HTTP/1.1 408 ")


async def test_it_does_not_cut_off_a_slow_body(impatient: Edge) -> None:
    client = await impatient.connect()
    await client.send(POST % (b"a", 8))
    assert await client.drip(b"8 bytes", every=0.1) is None
    await client.send(b"!")
    assert json.loads((await client.answer())[2])["body"] == 8


async def test_it_takes_the_framing_of_a_body_for_no_head(impatient: Edge) -> None:
    client = await impatient.connect()
    for part in (CHUNKED, b"2\r\n", b"ho\r\n", b"0\r\n\r\n"):
        await client.send(part)
        await asyncio.sleep(0.05)
    assert json.loads((await client.answer())[2])["body"] == 4
    await asyncio.sleep(2 * Impatient.SECONDS)
    await client.send(GET)
    assert (await client.answer())[0] == 200


async def test_it_does_not_cut_off_an_answer_for_a_slow_head_behind_it(impatient: Edge) -> None:
    client = await impatient.connect()
    await client.send(POST % (b"hold", 0) + b"GET / HT")
    await asyncio.sleep(2 * Impatient.SECONDS)
    impatient.app.go.set()
    assert (await client.answer())[0] == 200
    assert (await client.rest()).startswith(b"HTTP/1.1 408 ")


async def test_it_does_not_wait_for_a_body_after_its_answer(impatient: Edge) -> None:
    client = await impatient.connect()
    await client.send(POST % (b"early", 1_000))
    assert (await client.answer())[0] == 200
    assert await client.drip(b"x" * 1_000, every=0.05) is not None
    assert impatient.app.served == ["/early"]


async def test_it_resets_who_takes_nothing_of_an_answer() -> None:
    class Brief(BoundedProtocol):
        STALL = 0.5

    async with running(Brief) as brief:
        client = await brief.connect()
        client.writer.transport.pause_reading()
        await client.send(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(20):
            await brief.app.hung_up.wait()


# --- draining ---------------------------------------------------------------------------------------


def drain(edge: Edge) -> float:
    """What uvicorn does to its connections when it is told to stop; returns the time."""
    for connection in list(edge.server.server_state.connections):
        connection.shutdown()
    return time.monotonic()


async def test_it_says_close_in_an_answer_that_begins_while_draining(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(POST % (b"hold", 0))
    while not edge.app.served:
        await asyncio.sleep(0)
    drain(edge)
    edge.app.go.set()
    status, fields, _ = await client.answer()
    assert (status, fields["connection"]) == (200, "close")
    assert await client.rest() == b""


async def test_it_answers_the_request_that_was_on_its_way_when_draining_began(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(GET)
    assert "connection" not in (await client.answer())[1]
    drain(edge)
    await client.send(GET)
    status, fields, _ = await client.answer()
    assert (status, fields["connection"]) == (200, "close")
    assert await client.rest() == b""


async def test_it_lets_a_head_under_way_finish_while_draining(edge: Edge) -> None:
    class Brief(BoundedProtocol):
        LINGER = 0.1

    async with running(Brief) as brief:
        client = await brief.connect()
        await client.send(GET[:20])
        while not any(isinstance(c, Brief) and c.pending for c in brief.server.server_state.connections):
            await asyncio.sleep(0)
        drain(brief)
        await asyncio.sleep(3 * Brief.LINGER)
        await client.send(GET[20:])
        status, fields, _ = await client.answer()
        assert (status, fields["connection"]) == (200, "close")


async def test_it_closes_idle_connections_a_moment_after_draining_began(impatient: Edge) -> None:
    client = await impatient.connect()
    await client.send(GET)
    await client.answer()
    (connection,) = impatient.server.server_state.connections
    began = drain(impatient)
    assert not connection.transport.is_closing()  # how much later depends on how busy the loop is
    assert await client.rest() == b""
    assert time.monotonic() - began < 4  # not only at the end of the keep-alive time (5 s)


async def test_it_describes_itself(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(POST % (b"hold", 9))
    while not edge.app.served:
        await asyncio.sleep(0)
    (connection,) = edge.server.server_state.connections
    assert repr(connection) == "<BoundedProtocol answering, body, 0 bytes pending>"
