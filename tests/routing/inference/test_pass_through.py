"""What a client sends arrives as it is, and what the container says comes back as it is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from orchestrators.simulator import Container, Simulator
from tests.byocgw.edge import Client
from tests.routing.inference.scenes import orchestrator
from tests.routing.inference.scripted import Conversation, Scripted, answering
from tests.support.gateway import Gateway

ECHO = {"slug": "echo", "profile": "warm", "price_ceiling": "none"}
EVERY_BYTE = bytes(range(256)) * 500  # 125 KiB: more than is read before the first byte is passed on
MULTIPART = (
    b'--sep\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
    b"Content-Type: image/png\r\n\r\n\x89PNG\r\n\x1a\n\x00\xff\r\n--sep--\r\n"
)
BODIES = {
    "application/json; charset=utf-8": b'{"a":  1.0, "a": [\xe2\x82\xac]}\n',
    'multipart/form-data; boundary="sep"': MULTIPART,
    "application/octet-stream": EVERY_BYTE,
    "text/event-stream": b": ping\n\nevent: frame\ndata: 1\n\ndata: [DONE]\n\n",
    "image/webp": b"\x00",
    "text/html": b"<script>steal()</script>",
}


async def echoed_by(gateway: Gateway, *others: Simulator | Scripted, **policy: object) -> None:
    """`echo`, offered by all of these, probed once. A scripted one is the cheapest."""
    offers = [
        orchestrator(each, each.offer("echo") if isinstance(each, Scripted) else "echo")  # type: ignore[arg-type]
        for each in others
    ]
    await gateway.apply({"capabilities": [ECHO | policy], "orchestrators": offers})
    await gateway.probe()


def alder(price: int = 100, **options: object) -> Simulator:
    return Simulator("alder", capabilities=[Container("echo", price=price)], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", ["byoc", "direct"])
async def test_every_kind_of_body_passes_both_ways(gateway: Gateway, protocol: str) -> None:
    """R3, R5, R19: body, content type and sub-path arrive identical, as does the answer; no browser runs it."""
    async with alder(protocol=protocol) as simulator:
        offer = {"capability": "echo"} | ({"price": "1 wei/second"} if protocol == "direct" else {})
        await gateway.apply({"capabilities": [ECHO], "orchestrators": [orchestrator(simulator, offer)]})
        await gateway.probe()
        for content_type, body in BODIES.items():
            answer = await gateway.post(
                "/v1/capabilities/echo/a/b", content=body, headers={"content-type": content_type}
            )
            job = simulator.jobs[-1]

            assert answer.status_code == 200, answer.text
            assert (answer.content, answer.headers["content-type"]) == (body, content_type)
            assert answer.headers["content-security-policy"].startswith("sandbox")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert (job.body, job.headers["content-type"], job.path) == (body, content_type, b"a/b")


async def test_an_empty_body_is_a_body(gateway: Gateway) -> None:
    """R3: it is all here with the head, and nobody waits for more of it."""
    async with alder() as simulator:
        await echoed_by(gateway, simulator)
        await gateway.post("/v1/capabilities/echo", content=b"")

    assert simulator.jobs[-1].body == b""


@pytest.mark.parametrize("route", ["/v1/capabilities/echo", "/v1/capabilities/echo/"])
async def test_an_empty_worker_path_keeps_the_orchestrators_slash(gateway: Gateway, route: str) -> None:
    async with alder() as simulator:
        await echoed_by(gateway, simulator)
        answer = await gateway.post(route, content=b"x")

    assert answer.status_code == 200
    assert simulator.jobs[-1].path == b""


async def test_paths_are_joined_undecoded_and_the_query_is_dropped(gateway: Gateway) -> None:
    """R3: the offer's path and the client's, by single slashes; %2F stays %2F."""
    async with alder() as simulator:
        offer = {"capability": "echo", "path": "/v1/echo/"}
        await gateway.apply({"capabilities": [ECHO], "orchestrators": [orchestrator(simulator, offer)]})
        await gateway.probe()
        http = await connect_to(gateway)
        for path in (b"//a%2Fb%20c//d.e/", b"%C3%A4;v=1,@2"):
            await http.send(
                b"POST /v1/capabilities/echo/%b?secret=1&x=%%2e HTTP/1.1\r\nhost: a\r\n"
                b"authorization: Bearer %b\r\ncontent-length: 1\r\n\r\nx" % (path, gateway.key.encode())
            )
            status, _, _ = await http.answer()
            assert status == 200
        http.writer.close()

    assert [job.path for job in simulator.jobs] == [b"v1/echo/a%2Fb%20c//d.e/", b"v1/echo/%C3%A4;v=1,@2"]
    assert [job.query for job in simulator.jobs] == [b"", b""]


async def connect_to(gateway: Gateway) -> Client:
    host, port = gateway.url.removeprefix("http://").split(":")
    return Client(*await asyncio.open_connection(host, int(port)))


@pytest.mark.parametrize("status", ["201 Created", "422 Unprocessable Entity"])
async def test_status_type_and_body_of_the_container_are_the_answer(gateway: Gateway, status: str) -> None:
    """G7: A container's 4xx about the input is the client's own, word for word."""
    said = b'{"detail":  "in its own words"}'
    async with Scripted("birch", answering(said, "application/vnd.own+json", status=status)) as birch:
        await echoed_by(gateway, birch)
        answer = await gateway.post("/v1/capabilities/echo", content=b"x")

    assert f"{answer.status_code} {answer.reason_phrase}" == status
    assert (answer.content, answer.headers["content-type"]) == (said, "application/vnd.own+json")


async def test_every_answer_says_what_it_took(gateway: Gateway) -> None:
    """G25: X-Request-Id made here, the number of attempts, and each attempt's time by class."""
    async with alder() as good, Simulator("cedar", capabilities=[Container("echo", price=1)]) as cedar:
        await echoed_by(gateway, good, cedar)
        cedar.fault("echo", "gpu_oom", times=1)
        answer = await gateway.post("/v1/capabilities/echo", content=b"x", headers={"x-request-id": "mine"})
        again = await gateway.post("/v1/capabilities/echo", content=b"x")

    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])
    assert answer.headers["x-request-id"] != again.headers["x-request-id"]
    assert good.jobs[0].livepeer["id"] == answer.headers["x-request-id"]
    assert (answer.headers["x-byocgw-attempts"], again.headers["x-byocgw-attempts"]) == ("2", "1")
    milliseconds = r"dur=\d+\.\d+"
    assert re.fullmatch(
        rf'attempt1;desc="gpu_oom";{milliseconds}, attempt2;desc="ok";{milliseconds}, gateway;{milliseconds}',
        answer.headers["server-timing"],
    )


async def test_each_request_reaches_only_who_offers_its_capability(gateway: Gateway) -> None:
    """R8: two orchestrators, two capabilities."""
    async with (
        alder() as simulator,
        Simulator("birch", capabilities=[Container("depth", price=1)]) as birch,
    ):
        await gateway.apply(
            {
                "capabilities": [ECHO, {"slug": "depth", "profile": "per-frame", "price_ceiling": "none"}],
                "orchestrators": [orchestrator(simulator, "echo"), orchestrator(birch, "depth")],
            }
        )
        await gateway.probe()
        for _ in range(3):
            assert (await gateway.post("/v1/capabilities/echo", content=b"x")).content == b"x"
            assert "depth" in (await gateway.post("/v1/capabilities/depth", json={"image": "a"})).json()

    assert (simulator.calls, birch.calls) == ({"echo": 3}, {"depth": 3})


async def in_pieces(pieces: int) -> AsyncIterator[bytes]:
    """64 KiB each, no two alike."""
    for number in range(pieces):
        yield number.to_bytes(8, "big") * 8192
        await asyncio.sleep(0)


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "declared"])
async def test_a_retry_sends_identical_bytes(gateway: Gateway, chunked: bool) -> None:
    """R48: 4 MiB, streamed to the one that breaks and again to the one that serves."""
    whole = b"".join([piece async for piece in in_pieces(64)])
    async with alder() as good, Simulator("cedar", capabilities=[Container("echo", price=1)]) as cedar:
        await echoed_by(gateway, good, cedar)
        cedar.fault("echo", "crash")
        content = in_pieces(64) if chunked else whole
        answer = await gateway.post("/v1/capabilities/echo/up", content=content)

    assert (answer.status_code, answer.headers["x-byocgw-attempts"]) == (200, "2")
    assert cedar.jobs[-1].body == good.jobs[-1].body == whole
    assert answer.content == whole
    assert ("content-length" in cedar.jobs[-1].headers) is not chunked


async def test_a_retry_in_the_middle_of_an_upload_starts_from_the_first_byte(gateway: Gateway) -> None:
    """R48: the first one refuses before it has read everything; the client is still sending."""
    moved_on = asyncio.Event()

    async def refuse_early(conversation: Conversation) -> None:
        await anext(conversation.pieces)
        await conversation.say(b"HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 4\r\n\r\nbusy")
        moved_on.set()
        await conversation.gone()

    async def upload() -> AsyncIterator[bytes]:
        yield b"first "
        await moved_on.wait()
        yield b"second"

    async with Scripted("birch", refuse_early) as birch, alder() as good:
        await echoed_by(gateway, birch, good)
        answer = await gateway.post("/v1/capabilities/echo", content=upload())

    assert (answer.content, answer.headers["x-byocgw-attempts"]) == (b"first second", "2")
    assert birch.calls == 1


async def test_an_upload_is_passed_on_as_it_comes(gateway: Gateway) -> None:
    """The container has the first piece before the client has sent the second."""
    arrived = asyncio.Event()

    async def read_slowly(conversation: Conversation) -> None:
        await anext(conversation.pieces)
        arrived.set()
        await conversation.whole()
        await conversation.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async def upload() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.wait_for(arrived.wait(), 10)
        yield b"second"

    async with Scripted("birch", read_slowly) as birch:
        await echoed_by(gateway, birch)
        answer = await gateway.post("/v1/capabilities/echo", content=upload())

    assert (answer.status_code, answer.content) == (200, b"ok")
    assert "content-type" not in answer.headers
