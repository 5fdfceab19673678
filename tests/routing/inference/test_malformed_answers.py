"""Answers that two readers could read differently: the client gets a refusal, or a cut, never the answer.

The transport's own tests say which error each is; here it is what becomes of it in front of the client.
"""

from __future__ import annotations

import asyncio

import httpx

from tests.routing.inference.scenes import orchestrator
from tests.routing.inference.scripted import Conversation, Scripted
from tests.support.gateway import Gateway

LINE = b"HTTP/1.1 200 OK\r\n"
JSON = LINE + b"content-type: application/json\r\n"
HI = b"content-length: 8\r\n\r\n" + b'{"a": 1}'
CHUNKED = JSON + b"transfer-encoding: chunked\r\n\r\n"
BODY = b'8\r\n{"a": 1}\r\n0\r\n\r\n'
NEXT = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nsmuggle"

MALFORMED: dict[str, bytes] = {
    # where does the body end?
    "length and coding": JSON + b"content-length: 8\r\ntransfer-encoding: chunked\r\n\r\n" + BODY,
    "coding and length": JSON + b"transfer-encoding: chunked\r\ncontent-length: 8\r\n\r\n" + BODY,
    "two lengths": JSON + b"content-length: 2\r\n" + HI,
    "the same length twice": JSON + b"content-length: 8\r\n" + HI,
    "a list of lengths": JSON + b"content-length: 8, 8\r\n\r\n" + b'{"a": 1}',
    "a length with a sign": JSON + b"content-length: +8\r\n\r\n" + b'{"a": 1}',
    "a negative length": JSON + b"content-length: -8\r\n\r\n" + b'{"a": 1}',
    "a hexadecimal length": JSON + b"content-length: 0x8\r\n\r\n" + b'{"a": 1}',
    "a length of 23 digits": JSON + b"content-length: 99999999999999999999999\r\n\r\n",
    "a length above the cap": JSON + b"content-length: 99999999999\r\n\r\n",
    "a space before the colon": JSON + b"content-length : 8\r\n\r\n" + b'{"a": 1}',
    "gzip, chunked": JSON + b"transfer-encoding: gzip, chunked\r\n\r\n" + BODY,
    "xchunked": JSON + b"transfer-encoding: xchunked\r\n\r\n" + BODY,
    "identity": JSON + b"transfer-encoding: identity\r\n\r\n" + b'{"a": 1}',
    "two codings": JSON + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n" + BODY,
    # chunks
    "a chunk of size zz": CHUNKED + b"zz\r\n" + BODY,
    "a chunk of size 0x8": CHUNKED + b"0x" + BODY,
    "a chunk size of 17 digits": CHUNKED + b"1000000000000000" + BODY,
    "chunks with bare line feeds": CHUNKED + BODY.replace(b"\r\n", b"\n"),
    "a chunk longer than its size": CHUNKED + b'7\r\n{"a": 1}\r\n0\r\n\r\n',
    "NUL in an extension": CHUNKED + b"8;\x00" + BODY[1:],
    "chunks without end": CHUNKED + BODY[:-5],
    "trailers without end": CHUNKED + BODY[:-2] + b"x: " + b"a" * 100_000,
    # lines
    "a folded field": JSON + b"x: a\r\n b\r\n" + HI,
    "bare line feeds": (JSON + HI).replace(b"\r\n", b"\n"),
    "a bare carriage return": JSON + b"x: a\rb: c\r\n" + HI,
    "NUL in a value": JSON + b"x: a\x00b\r\n" + HI,
    "a control character in a value": JSON + b"x: a\x07b\r\n" + HI,
    "a space in a name": JSON + b"x y: a\r\n" + HI,
    "a line without a colon": JSON + b"nonsense\r\n" + HI,
    "a field of 100 kB": JSON + b"x: " + b"a" * 100_000 + b"\r\n" + HI,
    "a head without end": JSON + b"x: a\r\n" * 100_000,
    # the status line, and what comes before it
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2.0": (JSON + HI).replace(b"1.1", b"2.0"),
    "HTTP/0.9": b'{"a": 1}',
    "status 999": (JSON + HI).replace(b"200", b"999"),
    "NUL in the status line": (JSON + HI).replace(b"OK", b"O\x00K"),
    "a status line of 100 kB": (JSON + HI).replace(b"OK", b"O" * 100_000),
    "status 20": (JSON + HI).replace(b"200", b"20"),
    "status 0200": (JSON + HI).replace(b"200", b"0200"),
    "a switch of protocols": b"HTTP/1.1 101 Go\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
    "a flood of interim answers": b"HTTP/1.1 102 Processing\r\n\r\n" * 10_000,
    "nothing": b"",
}


async def asked(gateway: Gateway, birch: Scripted) -> httpx.Response | None:
    """None when the connection was cut. The orchestrator is as good as new before."""
    gateway.runtime.board.forget(())
    try:
        return await asyncio.wait_for(gateway.post("/v1/capabilities/echo", json={}), 10)
    except httpx.TransportError:
        return None


async def test_malformed_answers_are_never_passed_on(gateway: Gateway) -> None:
    assert len(MALFORMED) >= 30
    saying = b""

    async def script(conversation: Conversation) -> None:
        await conversation.whole()
        await conversation.say(saying)

    wrong = {}
    async with Scripted("birch", script) as birch:
        contract = {"content_types": ["application/json"], "schema": {"type": "object"}}
        policy = {"profile": "warm", "price_ceiling": "none", "response": contract}
        await gateway.apply(
            {
                "capabilities": [{"slug": "echo"} | policy],
                "orchestrators": [orchestrator(birch, birch.offer("echo"))],  # type: ignore[arg-type]
            }
        )
        await gateway.probe()
        for name, answer in MALFORMED.items():
            saying, before = answer, birch.calls
            got = await asked(gateway, birch)
            if got is None or got.status_code != 502 or birch.calls != before + 1:
                wrong[name] = got and (got.status_code, got.text[:200])
        saying = JSON + HI + NEXT
        twice = [await asked(gateway, birch) for _ in range(2)]

    assert wrong == {}
    assert [got and got.content for got in twice] == [b'{"a": 1}'] * 2
    assert gateway.runtime.board.in_flight == 0
