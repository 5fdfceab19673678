"""Requests that two readers could read differently: none reaches an orchestrator whole, each gets its refusal.

From a client's socket through the server protocol and the door; llhttp refuses most of them, our protocol what
it lets pass, the door what is HTTP and still no request for us.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.byocgw.edge import Client
from tests.routing.inference.scenes import orchestrator
from tests.routing.inference.scripted import OK, Conversation, Scripted
from tests.support.gateway import Gateway

LINE = b"POST /v1/capabilities/echo HTTP/1.1\r\n"
POST = LINE + b"host: a\r\nauthorization: Bearer KEY\r\n"
HI = b"content-length: 2\r\n\r\nhi"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
ZERO = b"\r\n\r\n0\r\n\r\n"
NEXT = b"POST /smuggled HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"

# what it is -> (the bytes, the statuses allowed)
MALFORMED: dict[str, tuple[bytes, str]] = {
    # where does the body end?
    "length and coding": (POST + b"content-length: 5\r\ntransfer-encoding: chunked" + ZERO, "400"),
    "coding and length": (POST + b"transfer-encoding: chunked\r\ncontent-length: 5" + ZERO, "400"),
    "two lengths": (POST + b"content-length: 0\r\ncontent-length: 2\r\n\r\nhi", "400"),
    "the same length twice": (POST + b"content-length: 2\r\n" + HI, "400"),
    "a list of lengths": (POST + b"content-length: 2, 2\r\n\r\nhi", "400"),
    "a length with a sign": (POST + b"content-length: +2\r\n\r\nhi", "400"),
    "a negative length": (POST + b"content-length: -2\r\n\r\nhi", "400"),
    "a hexadecimal length": (POST + b"content-length: 0x2\r\n\r\nhi", "400"),
    "a length of 23 digits": (POST + b"content-length: %b\r\n\r\nhi" % (b"9" * 23), "400"),
    "a length in two words": (POST + b"content-length: 0 2\r\n\r\nhi", "400"),
    "an empty length": (POST + b"content-length:\r\n\r\nhi", "400"),
    "a folded length": (POST + b"content-length:\r\n 2\r\n\r\nhi", "400"),
    "a space before the colon": (POST + b"content-length : 2\r\n\r\nhi", "400"),
    "a coding before the colon": (POST + b"transfer-encoding : chunked" + ZERO, "400"),
    "a length above the cap": (POST + b"content-length: 999999999\r\n\r\nhi", "413"),
    "identity": (POST + b"transfer-encoding: identity\r\n\r\n" + NEXT, "400"),
    "gzip": (POST + b"transfer-encoding: gzip\r\n\r\n" + NEXT, "400"),
    "gzip, chunked": (POST + b"transfer-encoding: gzip, chunked" + ZERO, "400"),
    "chunked, gzip": (POST + b"transfer-encoding: chunked, gzip" + ZERO, "400"),
    "xchunked": (POST + b"transfer-encoding: xchunked" + ZERO, "400"),
    "chunked in quotes": (POST + b'transfer-encoding: "chunked"' + ZERO, "400"),
    "chunked behind a tabulator": (POST + b"transfer-encoding: \x0bchunked" + ZERO, "400"),
    "two codings": (POST + b"transfer-encoding: chunked\r\ntransfer-encoding: identity" + ZERO, "400"),
    "chunked in HTTP/1.0": (POST.replace(b"1.1", b"1.0") + b"transfer-encoding: chunked" + ZERO, "400"),
    "chunked in HTTP/1.0, kept": (
        POST.replace(b"1.1", b"1.0") + b"connection: keep-alive\r\ntransfer-encoding: chunked" + ZERO,
        "400",
    ),
    "chunked in HTTP/1.0, kept by the old name": (
        POST.replace(b"1.1", b"1.0") + b"proxy-connection: keep-alive\r\ntransfer-encoding: chunked" + ZERO,
        "400",
    ),
    # chunks
    "a chunk of size zz": (CHUNKED + b"zz\r\nhi\r\n0\r\n\r\n", "400"),
    "a chunk of size -2": (CHUNKED + b"-2\r\nhi\r\n0\r\n\r\n", "400"),
    "a chunk of size 0x2": (CHUNKED + b"0x2\r\nhi\r\n0\r\n\r\n", "400"),
    "a chunk size of 17 digits": (CHUNKED + b"10000000000000002\r\nhi\r\n0\r\n\r\n", "400"),
    "a chunk without a size": (CHUNKED + b"\r\nhi\r\n0\r\n\r\n", "400"),
    "a chunk size with a space": (CHUNKED + b"2 \r\nhi\r\n0\r\n\r\n", "400"),
    "chunks with bare line feeds": (CHUNKED + b"2\nhi\n0\n\n", "400"),
    "a chunk longer than its size": (CHUNKED + b"2\r\nhiXX0\r\n\r\n", "400"),
    "a line feed in an extension": (CHUNKED + b"2;a\nb\r\nhi\r\n0\r\n\r\n", "400"),
    "NUL in an extension": (CHUNKED + b"2;a\x00b\r\nhi\r\n0\r\n\r\n", "400"),
    "a length in the trailers": (CHUNKED + b"2\r\nhi\r\n0\r\ncontent-length: 5\r\n\r\n", "400"),
    "trailers without end": (CHUNKED + b"0\r\n" + b"x: %b\r\n" % (b"a" * 2**21), "400 431"),
    # lines
    "a folded field": (POST + b"x: a\r\n b\r\n" + HI, "400"),
    "bare line feeds": ((POST + HI).replace(b"\r\n", b"\n"), "400"),
    "one bare line feed": (POST + b"x: a\n" + HI, "400"),
    "a bare carriage return": (POST + b"x: a\rcontent-length: 0\r\n" + HI, "400"),
    "NUL in a value": (POST + b"x: a\x00b\r\n" + HI, "400"),
    "NUL in a name": (POST + b"x\x00: a\r\n" + HI, "400"),
    "a control character in a value": (POST + b"x: a\x07b\r\n" + HI, "400"),
    "a space in a name": (POST + b"x y: a\r\n" + HI, "400"),
    "a field without a name": (POST + b": a\r\n" + HI, "400"),
    "a field before the first": (LINE + b" x: a\r\nhost: a\r\n" + HI, "400"),
    "a line without a colon": (POST + b"nonsense\r\n" + HI, "400"),
    "201 fields": (POST + b"x: a\r\n" * 199 + HI, "431"),
    "a field of 2 MiB": (POST + b"x: %b\r\n" % (b"a" * 2**21) + HI, "431"),
    # the request line
    "a target of 2 MiB": (b"POST /%b HTTP/1.1\r\n" % (b"a" * 2**21) + HI, "431"),
    "a target without a slash": (POST.replace(b" /", b" ") + HI, "400"),
    "an authority": (POST.replace(b"/v1/capabilities/echo", b"b:80") + HI, "400"),
    "a star": (POST.replace(b"/v1/capabilities/echo", b"*") + HI, "400 404"),
    "a space in the target": (POST.replace(b"/echo", b"/e cho") + HI, "400"),
    "NUL in the target": (POST.replace(b"/echo", b"/echo\x00") + HI, "400"),
    "a byte above 127 in the target": (POST.replace(b"/echo", b"/echo\xff") + HI, "400"),
    "a dot segment": (POST.replace(b"/echo", b"/echo/../x") + HI, "400 404"),
    "an encoded dot segment": (POST.replace(b"/echo", b"/echo/%2e%2e/x") + HI, "400"),
    "a method in small letters": (POST.replace(b"POST", b"post") + HI, "400"),
    "a method with a sign": (POST.replace(b"POST", b"P@ST") + HI, "400"),
    "an unknown method": (POST.replace(b"POST", b"SMUGGLE") + HI, "400"),
    "CONNECT": (b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n", "400"),
    "HTTP/2.0": (POST.replace(b"1.1", b"2.0") + HI, "505"),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400 505"),
    "HTTP/1.2": (POST.replace(b"1.1", b"1.2") + HI, "400"),
    "HTTP/1.10": (POST.replace(b"1.1", b"1.10") + HI, "400"),
    "HTTP/0.9": (b"POST /v1/capabilities/echo\r\n\r\n", "400 505"),
    "another protocol": (POST.replace(b"HTTP", b"ICAP") + HI, "400"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n", "400"),
    # who asks, and whom
    "two hosts": (POST + b"host: b\r\n" + HI, "400"),
    "two keys": (POST + b"authorization: Bearer other\r\n" + HI, "400 401"),
    "an upgrade with a body": (POST + b"connection: upgrade\r\nupgrade: h2c\r\n" + HI, "400"),
}


async def whole(conversation: Conversation) -> None:
    """Only what this has read to its end was forwarded."""
    await conversation.whole()
    FORWARDED.append(conversation.body)
    await conversation.say(OK + b"content-length: 2\r\n\r\nok")


FORWARDED: list[bytes] = []


async def connect_to(gateway: Gateway) -> Client:
    host, port = gateway.url.removeprefix("http://").split(":")
    return Client(*await asyncio.open_connection(host, int(port)))


async def said_to(gateway: Gateway, request: bytes) -> bytes:
    """All that the client is told before the connection ends, or b"a hang"."""
    client = await connect_to(gateway)
    client.writer.write(request.replace(b"KEY", gateway.key.encode()))
    try:
        async with asyncio.timeout(5):
            head = await client.reader.readuntil(b"\r\n\r\n")
            return head + await client.reader.read(65_536)
    except asyncio.IncompleteReadError as error:
        return error.partial
    except ConnectionError:
        return b"a reset"
    except TimeoutError:
        return b"a hang"
    finally:
        client.writer.transport.abort()


async def test_malformed_requests_are_refused_and_never_forwarded(gateway: Gateway) -> None:
    assert len(MALFORMED) >= 30
    FORWARDED.clear()
    wrong = {}
    async with Scripted("birch", whole) as birch:
        await gateway.apply(
            {
                "capabilities": [{"slug": "echo", "profile": "warm", "price_ceiling": "none"}],
                "orchestrators": [orchestrator(birch, birch.offer("echo"))],  # type: ignore[arg-type]
            }
        )
        await gateway.probe()
        assert (await said_to(gateway, POST + HI)).startswith(b"HTTP/1.1 200 ")
        for name, (request, statuses) in MALFORMED.items():
            said = await said_to(gateway, request)
            reset_is_right = len(request) > 2**20  # who is still sending may not hear the refusal
            if said[9:12].decode() not in statuses.split() and not (reset_is_right and said == b"a reset"):
                wrong[name] = said[:60]
            if said.count(b"HTTP/1.1 ") > 1:
                wrong[name] = b"answered twice: " + said[:60]
        served = await said_to(gateway, POST + HI)

    assert wrong == {}
    assert served.startswith(b"HTTP/1.1 200 ")
    assert FORWARDED == [b"hi", b"hi"]
    assert gateway.runtime.board.in_flight == 0


@pytest.mark.parametrize("target", [b"http://other/v1/capabilities/echo", b"/v1/capabilities/echo#x"])
async def test_an_absolute_target_is_taken_by_its_path(gateway: Gateway, target: bytes) -> None:
    """RFC 9112 3.2.2: it must be accepted; what it says of a host goes nowhere."""
    seen: list[str] = []

    async def script(conversation: Conversation) -> None:
        seen.append(conversation.line)
        await whole(conversation)

    async with Scripted("birch", script) as birch:
        await gateway.apply(
            {
                "capabilities": [{"slug": "echo", "profile": "warm", "price_ceiling": "none"}],
                "orchestrators": [orchestrator(birch, birch.offer("echo"))],  # type: ignore[arg-type]
            }
        )
        await gateway.probe()
        said = await said_to(gateway, POST.replace(b"/v1/capabilities/echo", target) + HI)

    assert said.startswith(b"HTTP/1.1 200 ")
    assert seen == ["POST / HTTP/1.1"]
