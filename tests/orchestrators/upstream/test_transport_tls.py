"""Whose certificate is believed, and that not one byte of a request is sent to anybody else."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import NotAnswered, NotConnected, Target
from orchestrators.upstream.transport import Limits, tls
from orchestrators.upstream.transport.origin import Address, Origin
from tests.support.ports import port_of_ours

from .conftest import OK, Conversation, MakePool, Serve, Upload, read

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates with openssl")


@dataclass(frozen=True)
class Identity:
    pem: Path
    fingerprint: str

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem)
        return context


def make(folder: Path, name: str, alternatives: str) -> Identity:
    pem = folder / f"{name}.pem"
    options = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName={alternatives}"]
    files = ["-keyout", str(folder / "key"), "-out", str(folder / "certificate")]
    subprocess.run(["openssl", *options, *subject, *files], check=True, capture_output=True)
    text = (folder / "certificate").read_text()
    pem.write_text((folder / "key").read_text() + text)
    return Identity(pem, hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest())


@pytest.fixture(scope="module")
def alder(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return make(tmp_path_factory.mktemp("alder"), "alder", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def birch(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """Its certificate is for another host."""
    return make(tmp_path_factory.mktemp("birch"), "birch", "DNS:birch.example")


@pytest.fixture
def alder_is_an_authority(alder: Identity, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SSL_CERT_FILE", str(alder.pem))
    tls.verifying.cache_clear()
    yield
    tls.verifying.cache_clear()


async def answering(conversation: Conversation) -> None:
    while True:
        await conversation.request()
        await conversation.say(OK)


async def ask(pool, target) -> str:
    answer = await pool.origin(target).send(b"POST", b"/", [], b"{}", timeout=5)
    assert await read(answer) == b"hi"
    return answer.fingerprint


async def untrusted(pool, peer, **trust: str) -> str:
    with pytest.raises(NotConnected) as caught:
        await ask(pool, peer.target(**trust))
    assert caught.value.fault is Fault.UNTRUSTED
    assert peer.received == []
    return str(caught.value)


async def test_verify_wants_a_known_chain(serve: Serve, make_pool: MakePool, alder: Identity):
    peer = await serve(answering, tls=alder.context())
    await untrusted(make_pool(), peer, tls="verify")
    await untrusted(make_pool(), peer, tls="verify", fingerprint=alder.fingerprint)


@pytest.mark.usefixtures("alder_is_an_authority")
async def test_verify_takes_a_known_chain(serve: Serve, make_pool: MakePool, alder: Identity):
    peer, pool = await serve(answering, tls=alder.context()), make_pool()
    for _ in range(2):
        assert await ask(pool, peer.target(tls="verify")) == alder.fingerprint
    assert peer.connections == 1


@pytest.mark.usefixtures("alder_is_an_authority")
async def test_verify_wants_the_right_host(serve: Serve, make_pool: MakePool, birch: Identity):
    await untrusted(make_pool(), await serve(answering, tls=birch.context()), tls="verify")


async def test_pin_wants_the_stored_certificate(
    serve: Serve, make_pool: MakePool, alder: Identity, birch: Identity
):
    peer = await serve(answering, tls=alder.context())
    assert "not trusted" in await untrusted(make_pool(), peer, tls="pin")
    reason = await untrusted(make_pool(), peer, tls="pin", fingerprint=birch.fingerprint)
    assert reason == f"certificate changed, now {alder.fingerprint}"
    assert await ask(make_pool(), peer.target(fingerprint=alder.fingerprint)) == alder.fingerprint


async def test_a_pin_does_not_care_for_the_host(serve: Serve, make_pool: MakePool, birch: Identity):
    peer = await serve(answering, tls=birch.context())
    assert await ask(make_pool(), peer.target(fingerprint=birch.fingerprint)) == birch.fingerprint


@pytest.mark.usefixtures("alder_is_an_authority")
@pytest.mark.parametrize("stored", ["", "00" * 32])
async def test_pin_takes_a_known_chain_as_well(serve: Serve, make_pool: MakePool, alder: Identity, stored: str):
    peer = await serve(answering, tls=alder.context())
    assert await ask(make_pool(), peer.target(fingerprint=stored)) == alder.fingerprint


async def test_insecure_takes_anything(serve: Serve, make_pool: MakePool, birch: Identity):
    peer = await serve(answering, tls=birch.context())
    assert await ask(make_pool(), peer.target(tls="insecure")) == birch.fingerprint


async def test_trust_is_not_asked_for_http(serve: Serve, make_pool: MakePool):
    peer = await serve(answering)
    for mode in ("verify", "pin", "insecure"):
        assert await ask(make_pool(), peer.target(tls=mode, fingerprint="00" * 32)) == ""


async def test_an_unknown_trust_connects_to_nobody(serve: Serve, make_pool: MakePool, alder: Identity):
    peer = await serve(answering, tls=alder.context())
    with pytest.raises(NotConnected):
        await ask(make_pool(), peer.target(tls="whatever"))
    assert peer.connections == 0


async def test_a_first_look_sees_any_certificate(serve: Serve, make_pool: MakePool, alder: Identity):
    """And live traffic still trusts nobody."""
    peer, pool = await serve(answering, tls=alder.context()), make_pool()
    async with pool.client(peer.target()) as client:
        response = await client.get("/health")
    assert response.extensions["fingerprint"] == alder.fingerprint
    peer.received.clear()
    await untrusted(pool, peer)


@pytest.mark.parametrize("trust", [{"tls": "verify"}, {"tls": "pin", "fingerprint": "00" * 32}])
async def test_a_later_look_trusts_no_more_than_traffic(
    serve: Serve, make_pool: MakePool, alder: Identity, trust
):
    peer, pool = await serve(answering, tls=alder.context()), make_pool()
    async with pool.client(peer.target(**trust)) as client:
        with pytest.raises(NotConnected) as caught:
            await client.get("/health")
    assert (caught.value.fault, peer.received) == (Fault.UNTRUSTED, [])


async def test_a_server_without_tls_is_unreachable(serve: Serve, make_pool: MakePool):
    async def script(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    peer = await serve(script)
    peer.uri = peer.uri.replace("http", "https")
    with pytest.raises(NotConnected) as caught:
        await ask(make_pool(), peer.target(tls="insecure"))
    assert caught.value.fault is Fault.UNREACHABLE


async def test_large_bodies_pass_both_ways(serve: Serve, make_pool: MakePool, alder: Identity):
    async def script(conversation: Conversation) -> None:
        received = await conversation.request()
        await conversation.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(received.body))
        await conversation.say(received.body)

    peer = await serve(script, tls=alder.context())
    body = bytes(range(256)) * 12_288
    origin = make_pool().origin(peer.target(fingerprint=alder.fingerprint))
    assert await read(await origin.send(b"POST", b"/", [], body, timeout=5)) == body


async def ending(conversation: Conversation) -> None:
    await conversation.request()
    await conversation.say(b"HTTP/1.1 200 OK\r\n\r\nhi")


async def test_a_body_may_end_by_closing(serve: Serve, make_pool: MakePool, alder: Identity):
    peer = await serve(ending, tls=alder.context())
    assert await ask(make_pool(), peer.target(tls="insecure")) == alder.fingerprint


def test_contexts_are_built_once():
    assert tls.verifying() is tls.verifying()
    assert tls.unverifying() is tls.unverifying()


class TwoAddresses(Origin):
    async def _addresses(self) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]


async def test_an_address_that_hangs_leaves_time_for_the_next(alder: Identity):
    """Of a name with two addresses the first takes the connection and never shakes hands."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(OK)
        await reader.read()
        writer.close()

    port = port_of_ours()  # of 127.0.0.1
    good = await asyncio.start_server(answer, "127.0.0.1", port, ssl=alder.context())
    hanging = await asyncio.start_server(hang, "127.0.0.2", port)
    async with hanging, good:
        address, way = Address.of(f"https://localhost:{port}"), tls.Way(tls.unverifying())
        origin = TwoAddresses(address, (way,), Limits(connect=1.0), ())
        assert await read(await origin.send(b"POST", b"/", [], b"{}", timeout=5)) == b"hi"
        await origin.aclose()
        await asyncio.sleep(0.05)


class Leaving:
    """Answers one request on each connection; `leave` ends them all as a process that stops does."""

    def __init__(self, identity: Identity) -> None:
        self._context = identity.context()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.open: list[ssl.SSLSocket] = []
        self.connections = 0

    def answer_one(self) -> None:
        """In a thread: the test leaves at a moment of its own choosing, not at one of a loop's."""
        sock, _ = self._listener.accept()
        secure = self._context.wrap_socket(sock, server_side=True)
        self.connections += 1
        secure.recv(65536)
        secure.sendall(OK)
        self.open.append(secure)

    def leave(self) -> None:
        while self.open:
            secure = self.open.pop()
            secure.setblocking(False)
            with contextlib.suppress(ssl.SSLError):
                secure.unwrap()  # the end of its stream is said; ours is not waited for
            secure.close()

    def stop(self) -> None:
        self.leave()
        self._listener.close()


async def parts():
    yield b"{}"


@pytest.mark.parametrize(
    ("body", "proved"), [(b"{}", True), (b"x" * 300_000, True), (Upload(parts, length=2), False)]
)
async def test_under_tls_only_a_request_in_one_piece_is_proved_unread(
    make_pool: MakePool, alder: Identity, body: object, proved: bool
):
    """A kept connection that was closed while the request was on its way; see `_took_nothing`."""
    leaving = Leaving(alder)
    origin = make_pool().origin(Target(leaving.uri, "direct", "depth", tls="insecure"))
    try:
        first = asyncio.create_task(asyncio.to_thread(leaving.answer_one))
        await read(await origin.send(b"POST", b"/", [], b"{}", timeout=5))
        await first
        leaving.leave()
        if proved:
            second = asyncio.create_task(asyncio.to_thread(leaving.answer_one))
            assert await read(await origin.send(b"POST", b"/", [], body, timeout=5)) == b"hi"
            await second
        else:
            with pytest.raises(NotAnswered) as caught:
                await origin.send(b"POST", b"/", [], body, timeout=5)
            assert caught.value.fault is Fault.BROKEN
        assert leaving.connections == 1 + proved
    finally:
        leaving.stop()
