"""A whole answer in one write: the same bytes, and the same life of the connection, as by ASGI's `send`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from byocgw.protocol import BoundedProtocol

from .edge import ODD, Edge, running

POST = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n%s\r\nhi"


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running(BoundedProtocol) as edge:
        yield edge


async def test_it_is_one_answer_and_the_connection_goes_on(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(POST % (b"/at-once", b"") + POST % (b"/at-once", b""))  # pipelined
    await client.send(POST % (b"/other", b""))
    answers = [await client.answer() for _ in range(3)]

    assert answers[0][2] == answers[1][2]
    assert [status for status, *_ in answers] == [200] * 3
    assert answers[0][1].keys() - answers[2][1].keys() == {"x-even"}
    assert edge.app.at_once == [True, True]
    assert "connection" not in answers[0][1]


async def test_who_wants_it_closed_has_it_closed(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(POST % (b"/at-once", b"Connection: close\r\n"))
    _, fields, _ = await client.answer()

    assert fields["connection"] == "close"
    assert await client.rest() == b""


async def test_head_has_no_body_and_is_left_to_asgi(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(b"HEAD /at-once HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    assert (await client.rest()).endswith(b"\r\n\r\n")
    assert edge.app.at_once == [False]


@pytest.mark.parametrize("path", [each.encode() for each in ODD])
async def test_a_field_that_no_head_may_hold_is_not_written(edge: Edge, path: bytes) -> None:
    client = await edge.connect()
    await client.send(POST % (path, b""))
    _, fields, _ = await client.answer()

    assert edge.app.at_once == [False]
    assert not {"x-odd", "x-odd\0", "b"} & fields.keys()


async def test_what_follows_while_it_waits_to_be_sent_is_answered_after_it(edge: Edge) -> None:
    client = await edge.connect()
    edge.app.meanwhile = lambda: os.write(client.fileno, b"\0\r\n\r\n")
    await client.send(POST % (b"/at-once", b""))
    statuses = [(await client.answer())[0] for _ in range(2)]

    assert statuses == [200, 400]
    assert await client.rest() == b""


async def test_what_waits_to_be_sent_is_sent_before_a_connection_is_cut_off(edge: Edge) -> None:
    client = await edge.connect()
    edge.app.meanwhile = lambda: os.write(client.fileno, b"\0\r\n\r\n")
    await client.send(POST % (b"/at-once", b"") + POST % (b"/hold", b""))
    status, *_ = await client.answer()

    assert status == 200
    assert await client.rest() == b""


async def test_who_ends_its_stream_while_it_waits_to_be_sent_has_it(edge: Edge) -> None:
    client = await edge.connect()
    edge.app.meanwhile = client.end
    await client.send(POST % (b"/at-once", b""))
    status, *_ = await client.answer()

    assert status == 200
    assert await client.rest() == b""
