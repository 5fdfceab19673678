"""httpx over our transport: our errors, our caps, nothing followed, nothing unpacked."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import NotAnswered, NotConnected, PartlyAnswered, Target
from orchestrators.upstream.transport.face import ANSWER_CAP

from .conftest import OK, Conversation, MakePool, Serve


def saying(data: bytes):
    async def script(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            await conversation.say(data)

    return script


async def test_it_asks_and_keeps_the_connection(serve: Serve, make_pool: MakePool):
    peer, pool = await serve(saying(OK)), make_pool()
    for _ in range(2):
        async with pool.client(peer.target()) as client:
            response = await client.post("/a?b=c", json={"d": 1}, headers={"x-own": "e"})
        assert (response.status_code, response.content) == (200, b"hi")
        assert response.extensions["fingerprint"] == ""
    received = peer.received[0]
    assert (received.line, received.body) == (b"POST /a?b=c HTTP/1.1", b'{"d":1}')
    assert received.headers[b"x-own"] == b"e"
    assert b"accept-encoding" not in received.headers
    assert peer.connections == 1


async def test_our_errors_come_through(serve: Serve, make_pool: MakePool, free_port: int):
    async with make_pool().client(Target(f"http://127.0.0.1:{free_port}", "direct", "depth")) as client:
        with pytest.raises(NotConnected):
            await client.get("/")
    peer = await serve(saying(b""))
    async with make_pool().client(peer.target()) as client:
        with pytest.raises(NotAnswered) as caught:
            await client.get("/", timeout=0.1)
    assert caught.value.fault is Fault.NO_ANSWER


async def test_its_timeout_counts_for_the_whole_answer(serve: Serve, make_pool: MakePool):
    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await conversation.say(b"x")
            await asyncio.sleep(0.02)

    peer = await serve(script)
    async with make_pool().client(peer.target()) as client:
        with pytest.raises(PartlyAnswered) as caught:
            await asyncio.wait_for(client.get("/", timeout=0.2), 5)
    assert caught.value.fault is Fault.STALLED


async def test_it_caps_an_answer(serve: Serve, make_pool: MakePool):
    peer = await serve(saying(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b"x" * (ANSWER_CAP + 1)))
    async with make_pool().client(peer.target()) as client:
        with pytest.raises(PartlyAnswered) as caught:
            await client.get("/")
    assert caught.value.fault is Fault.TOO_LARGE


async def test_it_unpacks_nothing(serve: Serve, make_pool: MakePool):
    bomb = gzip.compress(b"\0" * 10_000_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    peer = await serve(saying(head + bomb))
    async with make_pool().client(peer.target()) as client:
        with pytest.raises(PartlyAnswered) as caught:
            await client.get("/")
    assert caught.value.fault is Fault.MALFORMED


async def test_it_follows_no_redirect(serve: Serve, make_pool: MakePool):
    peer = await serve(saying(b"HTTP/1.1 302 Found\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n"))
    async with make_pool().client(peer.target()) as client:
        assert (await client.get("/a")).status_code == 302
    assert len(peer.received) == 1


async def test_it_refuses_methods_it_could_not_read_the_answer_of(serve: Serve, make_pool: MakePool):
    peer = await serve(saying(OK))
    async with make_pool().client(peer.target()) as client:
        with pytest.raises(ValueError, match="HEAD"):
            await client.head("/")
