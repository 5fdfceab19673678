"""BYOC on the wire: what an orchestrator is told, what it is never told, and how its answers are read."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import NotAnswered, NotConnected
from orchestrators.upstream.byoc import Byoc
from orchestrators.upstream.signing import Offline

from .conftest import OK, Conversation, MakePool, Serve, Upload, call, read

SENDER = "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"


def answering(status: bytes, body: bytes, fields: bytes = b""):
    async def script(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            head = b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n" % (status, fields, len(body))
            await conversation.say(head + body)

    return script


@pytest.fixture
def byoc(make_pool: MakePool) -> Byoc:
    return Byoc(make_pool(), Offline(SENDER))


async def test_it_sends_a_job(serve: Serve, byoc: Byoc):
    peer = await serve(answering(b"200 OK", b"hi"))
    target = peer.target("byoc", wire_name="text-reversal", path="/v1")
    changes = {"request": '{"run":"<é>"}', "worker_path": b"a%2Fb", "timeout": 29.01}
    reply = await byoc.send(target, call(b'{"x": 1}', **changes))
    assert (reply.status, reply.length, await read(reply)) == (200, 2, b"hi")
    assert repr(reply) == "<Whole 200 buffered 0>"
    received = peer.received[0]
    assert (received.line, received.body) == (b"POST /process/request/v1/a%2Fb HTTP/1.1", b'{"x": 1}')
    assert set(received.headers) == {b"host", b"livepeer", b"content-type", b"content-length"}
    assert received.headers[b"content-type"] == b"application/json"
    assert json.loads(base64.b64decode(received.headers[b"livepeer"])) == {
        "id": "job-0",
        "request": '{"run":"<é>"}',
        "parameters": "{}",
        "capability": "text-reversal",
        "capability_url": "",
        "sender": SENDER,
        "sig": "",
        "timeout_seconds": 30,
        "OrchSearchTimeout": 1_000_000_000,
        "OrchSearchRespTimeout": 500_000_000,
    }


async def test_a_job_may_last_a_second_at_least(serve: Serve, byoc: Byoc):
    peer = await serve(answering(b"200 OK", b""))
    await byoc.send(peer.target("byoc"), call(timeout=0.2))
    assert json.loads(base64.b64decode(peer.received[0].headers[b"livepeer"]))["timeout_seconds"] == 1


async def test_it_never_passes_on_what_a_client_says_of_itself(serve: Serve, byoc: Byoc):
    """R19: protocol headers and the content type, nothing else."""
    peer = await serve(answering(b"200 OK", b""))
    headers = {"Authorization": "Bearer s", "Cookie": "s", "Accept": "text/plain", "Livepeer": "s"}
    await byoc.send(peer.target("byoc"), call(headers=headers))
    assert set(peer.received[0].headers) == {b"host", b"livepeer", b"content-type", b"content-length"}
    assert peer.received[0].headers[b"livepeer"] != b"s"


@pytest.mark.parametrize(
    "changes",
    [
        {"content_type": "a/b\r\nx: y"},
        {"content_type": "a\0"},
        {"content_type": "☃"},
        {"worker_path": b"a b"},
        {"worker_path": b"../x"},
    ],
)
async def test_it_refuses_an_injection(serve: Serve, byoc: Byoc, changes):
    peer = await serve(answering(b"200 OK", b""))
    with pytest.raises(ValueError):
        await byoc.send(peer.target("byoc"), call(**changes))
    assert peer.received == []


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data; boundary=x", "application/octet-stream", ""]
)
async def test_bodies_pass_byte_by_byte(serve: Serve, byoc: Byoc, content_type: str):
    """R3, R5: body, content type and sub-path both ways, whole or streamed."""
    body = bytes(range(256)) * 2000

    async def parts():
        for start in range(0, len(body), 70_001):
            yield body[start : start + 70_001]

    peer = await serve(answering(b"200 OK", body, b"content-type: image/png\r\n"))
    for sent in (body, Upload(parts), Upload(parts, length=len(body))):
        reply = await byoc.send(
            peer.target("byoc"), call(sent, content_type=content_type, worker_path=b"%41/b")
        )
        assert (reply.headers["content-type"], await read(reply)) == ("image/png", body)
        received = peer.received[-1]
        assert received.body == body
        assert received.path == b"/process/request/%41/b"
        assert received.headers.get(b"content-type", b"").decode() == content_type


async def test_it_leaves_a_refusal_as_it_is(serve: Serve, byoc: Byoc):
    peer = await serve(answering(b"503 Service Unavailable", b"No capacity available for capability\n"))
    reply = await byoc.send(peer.target("byoc"), call())
    assert (reply.status, await read(reply)) == (503, b"No capacity available for capability\n")


@pytest.mark.parametrize("name", [b"Livepeer-Balance", b"Livepeer-Payment-Balance"])
async def test_it_reads_the_balance_and_metadata(serve: Serve, byoc: Byoc, name: bytes):
    peer = await serve(answering(b"200 OK", b"", b"%b: 1234\r\nX-Metadata: m\r\n" % name))
    reply = await byoc.send(peer.target("byoc"), call())
    assert (reply.headers[name.decode().lower()], reply.headers["x-metadata"]) == ("1234", "m")


async def test_a_fault_of_the_transport_comes_through(serve: Serve, byoc: Byoc):
    async def script(conversation: Conversation) -> None:
        await conversation.request()
        conversation.reset()

    with pytest.raises(NotAnswered) as caught:
        await byoc.send((await serve(script)).target("byoc"), call())
    assert caught.value.fault is Fault.BROKEN


EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nLivepeer-Payment-Balance: 7\r\n\r\n"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (b"data: 1\n\ndata: [DONE]\n\n", b"data: 1\n\ndata: [DONE]\n\n"),
        (b"data: 1\n\ndata: [DONE]\n", b"data: 1\n\ndata: [DONE]\n\n"),
        (b"data: 1\n\n", b"data: 1\n\n"),
    ],
)
async def test_a_flood_of_newlines_ends_with_the_events(serve: Serve, byoc: Byoc, text: bytes, seen: bytes):
    """The orchestrator writes newlines until its timeout; the client sees none, the connection goes."""
    flooded = asyncio.Event()

    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(EVENTS + text)
        try:
            while True:
                await conversation.say(b"\n" * 10_000)
        except ConnectionError:
            flooded.set()

    reply = await byoc.send((await serve(script)).target("byoc"), call())
    assert reply.length is None and repr(reply).startswith("<EventReply <Answer 200")
    assert await asyncio.wait_for(read(reply), 5) == seen
    await asyncio.wait_for(flooded.wait(), 5)
    assert await read(reply) == b""


async def test_events_arrive_as_they_are_said(serve: Serve, byoc: Byoc):
    go_on = asyncio.Event()

    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(EVENTS + b"data: 1\n\n")
        await go_on.wait()
        await conversation.say(b"data: [DONE]")

    reply = await byoc.send((await serve(script)).target("byoc"), call())
    seen = []
    async for chunk in reply.chunks():
        seen.append(chunk)
        go_on.set()
    assert seen == [b"data: 1\n\n", b"data: [DONE]", b"\n\n"]


LAST = b"data: 4\n\ndata: [DONE]\n\n"


@pytest.mark.parametrize(("text", "last"), [(LAST + b"\n", LAST), (LAST[:-2], b"\n\n")])
async def test_events_go_past_a_reader_until_it_is_wanted(serve: Serve, byoc: Byoc, text: bytes, last: bytes):
    """The last ones go to it, and so does what the client does not take at once."""
    said = asyncio.Semaphore(0)
    past: list[bytes] = []

    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(EVENTS + b"data: 0\n\n")
        for event in (b"data: 1\n\n\n\n", b"data: ", b"2\n\n", b"data: 3\n\n"):
            await said.acquire()
            await conversation.say(event)
        await said.acquire()
        await conversation.say(text)

    def sink(piece: bytes) -> bool:
        if piece == b"2\n\n":
            return False
        past.append(piece)
        said.release()
        return True

    reply = await byoc.send((await serve(script)).target("byoc"), call())
    seen = []
    async for chunk in reply.chunks():
        seen.append(chunk)
        said.release()
        reply.divert(sink)
    assert past[:3] == [b"data: 1\n\n", b"data: ", b"data: 3\n\n"]
    assert seen == [b"data: 0\n\n", b"2\n\n", last]
    assert b"".join(past[3:]) + last == LAST


async def test_closing_a_stream_early_ends_it(serve: Serve, byoc: Byoc):
    gone = asyncio.Event()

    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(EVENTS + b"data: 1\n\n")
        await conversation.gone()
        gone.set()

    reply = await byoc.send((await serve(script)).target("byoc"), call())
    await reply.aclose()
    await asyncio.wait_for(gone.wait(), 5)


# -- looking -------------------------------------------------------------------------------------


async def test_it_looks_at_a_token(serve: Serve, byoc: Byoc):
    """G18"""
    token = {"price": {"pricePerUnit": 10, "pixelsPerUnit": 1}, "available_capacity": 3, "LastNonce": 0}
    peer = await serve(answering(b"200 OK", json.dumps(token).encode()))
    sighting = await byoc.look(peer.target("byoc", wire_name="text-reversal"), 5)
    assert (sighting.status, sighting.capacity, sighting.price) == (200, 3, "10 wei/second")
    assert (sighting.readiness, sighting.fingerprint, sighting.detail) == ("reachable", "", "")
    received = peer.received[0]
    assert received.line == b"GET /process/token HTTP/1.1"
    assert received.headers[b"livepeer-capability"] == b"text-reversal"
    assert json.loads(base64.b64decode(received.headers[b"livepeer-eth-address"])) == {
        "addr": SENDER,
        "sig": "",
    }


async def test_a_bad_quote_is_no_price(serve: Serve, byoc: Byoc):
    peer = await serve(answering(b"200 OK", b'{"available_capacity": 1}'))
    sighting = await byoc.look(peer.target("byoc"), 5)
    assert (sighting.capacity, sighting.price) == (1, None)


async def test_a_refused_look_says_why(serve: Serve, byoc: Byoc):
    peer = await serve(answering(b"503 Service Unavailable", b"Could not get price err=" + b"x" * 1000))
    sighting = await byoc.look(peer.target("byoc"), 5)
    assert (sighting.status, sighting.capacity, len(sighting.detail)) == (503, None, 500)
    assert sighting.detail.startswith("Could not get price")


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b"[" * 100_000, b'{"available_capacity": "many"}', b"\xff\xfe\xfd"]
)
async def test_what_is_no_token_claims_nothing(serve: Serve, byoc: Byoc, body: bytes):
    sighting = await byoc.look((await serve(answering(b"200 OK", body))).target("byoc"), 5)
    assert (sighting.status, sighting.capacity, sighting.price, sighting.readiness) == (200, 0, None, "faulty")
    assert sighting.detail.startswith("bad token")


async def test_a_look_at_nobody_is_an_error(byoc: Byoc, serve: Serve, free_port: int):
    peer = await serve(answering(b"200 OK", OK))
    peer.uri = f"http://127.0.0.1:{free_port}"
    with pytest.raises(NotConnected):
        await byoc.look(peer.target("byoc"), 1)
