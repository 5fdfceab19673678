"""A container asked directly: its paths, its health, and what of the client's head it may see."""

from __future__ import annotations

import json

import pytest

from orchestrators.core.hardware import Hardware
from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import NotConnected, Target
from orchestrators.upstream.direct import Direct

from .conftest import Conversation, MakePool, Serve, call, read


def answering(status: bytes, body: bytes):
    async def script(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            await conversation.say(b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n" % (status, len(body)) + body)

    return script


@pytest.fixture
def direct(make_pool: MakePool) -> Direct:
    return Direct(make_pool())


@pytest.mark.parametrize(
    ("path", "worker_path", "wire"),
    [
        ("", b"", b"/"),
        ("", b"depth", b"/depth"),
        ("/v1/", b"a%2Fb?x=1", b"/v1/a%2Fb"),
        ("v1?key=1", b"", b"/v1"),
    ],
)
async def test_it_calls_the_worker_path(
    serve: Serve, direct: Direct, path: str, worker_path: bytes, wire: bytes
):
    peer = await serve(answering(b"201 Created", b"\x00\xff"))
    reply = await direct.send(peer.target(path=path), call(b"\xff\x00", worker_path=worker_path))
    assert (reply.status, await read(reply)) == (201, b"\x00\xff")
    assert (peer.received[0].line, peer.received[0].body) == (b"POST %b HTTP/1.1" % wire, b"\xff\x00")


async def test_it_passes_on_what_is_allowed_and_nothing_else(serve: Serve, direct: Direct):
    """R19"""
    peer = await serve(answering(b"200 OK", b""))
    allowed = {"Accept": "image/png", "accept-language": "de", "traceparent": "00-1-2-01"}
    secret = {"Authorization": "Bearer s", "Cookie": "s", "Host": "s", "Content-Length": "7", "X-Other": "s"}
    await direct.send(peer.target(), call(headers=allowed | secret))
    headers = dict(peer.received[0].headers)
    assert headers.pop(b"host").startswith(b"127.0.0.1:")
    assert headers == {
        b"content-type": b"application/json",
        b"content-length": b"2",
        b"accept": b"image/png",
        b"accept-language": b"de",
        b"traceparent": b"00-1-2-01",
    }


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\0b", "☃"])
async def test_it_refuses_an_injection(serve: Serve, direct: Direct, value: str):
    peer = await serve(answering(b"200 OK", b""))
    with pytest.raises(ValueError):
        await direct.send(peer.target(), call(headers={"accept": value}))
    assert peer.received == []


@pytest.mark.parametrize(
    ("status", "body", "readiness"),
    [
        (b"200 OK", {"status": "OK"}, "ready"),
        (b"200 OK", {"status": "IDLE"}, "ready"),
        (b"200 OK", {"status": "LOADING"}, "loading"),
        (b"200 OK", {"status": "ERROR"}, "faulty"),
        (b"200 OK", {"status": "PARTYING"}, "reachable"),
        (b"200 OK", {"status": ["OK"]}, "reachable"),
        (b"200 OK", ["OK"], "reachable"),
        (b"500 Oops", {"detail": {"msg": "Failed to retrieve pipeline status."}}, "faulty"),
        (b"503 Later", {"status": "OK"}, "faulty"),
        (b"404 Not Found", {}, "reachable"),
        (b"405 Not Allowed", {}, "reachable"),
        (b"204 No Content", None, "reachable"),
    ],
)
async def test_it_looks_at_health(serve: Serve, direct: Direct, status: bytes, body: object, readiness: str):
    peer = await serve(answering(status, b"" if body is None else json.dumps(body).encode()))
    sighting = await direct.look(peer.target(path="/v1"), 5)
    assert (sighting.status, sighting.readiness) == (int(status[:3]), readiness)
    assert (sighting.capacity, sighting.price, sighting.fingerprint) == (None, None, "")
    assert bool(sighting.detail) == (readiness != "ready" and body is not None)
    assert peer.received[0].line == b"GET /health HTTP/1.1"


@pytest.mark.parametrize("body", [b"OK", b"[" * 100_000, b"\xff\xfe\xfd", b"x" * 2000])
async def test_health_that_is_no_json_is_reachable(serve: Serve, direct: Direct, body: bytes):
    sighting = await direct.look((await serve(answering(b"200 OK", body))).target(), 5)
    assert sighting.readiness == "reachable"
    assert len(sighting.detail) <= 500


async def test_a_look_at_nobody_is_an_error(direct: Direct, free_port: int):
    with pytest.raises(NotConnected) as caught:
        await direct.look(Target(f"http://127.0.0.1:{free_port}", "direct", "depth"), 1)
    assert caught.value.fault is Fault.REFUSED


async def test_it_asks_a_container_that_is_well_for_its_hardware(serve: Serve, direct: Direct):
    """R54: memory is observed; R18: and nothing is asked of it."""
    gpu = {"name": "RTX 4090", "memory_total": 24 * 1024**3, "memory_free": 1024**3}
    body = {"status": "OK", "model_id": "org/Depth-int8", "gpu_info": {"0": gpu}}
    peer = await serve(answering(b"200 OK", json.dumps(body).encode()))
    sighting = await direct.look(peer.target(), 5)
    assert sighting.hardware == Hardware("RTX 4090", 24 * 1024, 1024, "int8")
    assert [each.line for each in peer.received] == [b"GET /health HTTP/1.1", b"GET /hardware/info HTTP/1.1"]


async def test_a_container_that_does_not_answer_that_is_well_all_the_same(serve: Serve, direct: Direct):
    async def script(conversation: Conversation) -> None:
        await conversation.request()
        body = b'{"status": "OK"}'
        await conversation.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await conversation.request()  # and hangs up

    peer = await serve(script)
    sighting = await direct.look(peer.target(), 5)
    assert (sighting.readiness, sighting.hardware) == ("ready", Hardware())
