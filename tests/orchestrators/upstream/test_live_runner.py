"""The Live Runner protocol, against the simulator and against a peer scripted byte by byte."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from orchestrators.simulator import Container, Simulator
from orchestrators.upstream.base import Target
from orchestrators.upstream.live_runner import Challenge, LiveRunner
from orchestrators.upstream.transport.request import Field
from tests.orchestrators.upstream.conftest import OK, Conversation, MakePool, Serve, call, read, saying

APPS = (Container("echo", capacity=1), Container("text-reversal", capacity=4), Container("depth", price=7))


@pytest_asyncio.fixture
async def alder() -> AsyncIterator[Simulator]:
    async with Simulator("alder", capabilities=APPS, protocol="live-runner") as running:
        yield running


def target(of: Simulator, name: str, **changes: str) -> Target:
    facts = {"wire_name": f"simulator/{name}", "path": f"apps/{name}/app"} | changes
    return Target(of.service_uri, "live-runner", **facts)


class Purse:
    """Pays whatever it is asked, or nothing."""

    address = "0x" + "11" * 20

    def __init__(self, *fields: Field) -> None:
        self.fields = fields
        self.asked: list[Challenge] = []

    async def pay(self, challenge: Challenge) -> Sequence[Field]:
        self.asked.append(challenge)
        return self.fields


# --- calls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE"])
async def test_method_path_query_and_body_are_preserved(
    alder: Simulator, make_pool: MakePool, method: bytes
) -> None:
    """What BYOC loses."""
    runner = LiveRunner(make_pool())
    asked = call(b"bytes", method=method, worker_path=b"v1/item%2F7", query=b"page=2&x=%20", content_type="a/b")
    reply = await runner.send(target(alder, "echo"), asked)
    assert (reply.status, reply.headers["content-type"], await read(reply)) == (200, "a/b", b"bytes")
    job = alder.jobs[-1]
    assert (job.method, job.path, job.query, job.body) == (
        *(method.decode(), b"v1/item%2F7", b"page=2&x=%20", b"bytes"),
    )


async def test_only_the_fields_meant_for_it_reach_the_app(alder: Simulator, make_pool: MakePool) -> None:
    headers = {"accept": "image/png", "authorization": "Bearer secret", "traceparent": "00-1"}
    await LiveRunner(make_pool()).send(target(alder, "echo"), call(headers=headers))
    sent = alder.jobs[-1].headers
    assert (sent["accept"], sent["traceparent"]) == ("image/png", "00-1")
    assert not {"authorization", "livepeer", "livepeer-payer-address"} & set(sent)


async def test_events_are_passed_on_to_their_end(alder: Simulator, make_pool: MakePool) -> None:
    """No [DONE] is looked for: the app's stream is the app's."""
    asked = call(b'{"text": "ab [DONE] cd"}', worker_path=b"reverse-stream")
    reply = await LiveRunner(make_pool()).send(target(alder, "text-reversal"), asked)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert (await read(reply)).count(b"data:") == 3


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ("no_capacity", 503, b"no capacity available for runner\n"),
        ("refused_worker", 502, b"dial tcp 127.0.0.1:5000: connect: connection refused\n"),
        ("crash", 502, b"EOF\n"),
        ("bad_input", 422, b'{"detail":{"msg":"the input is not what it should be"}}'),
    ],
)
async def test_statuses_are_preserved(
    alder: Simulator, make_pool: MakePool, fault: str, status: int, text: bytes
) -> None:
    alder.fault("echo", fault)
    reply = await LiveRunner(make_pool()).send(target(alder, "echo"), call())
    assert (reply.status, await read(reply)) == (status, text)


async def test_capacity_is_enforced(alder: Simulator, make_pool: MakePool) -> None:
    alder.fault("echo", "hang")
    alder["echo"].in_flight = 1
    reply = await LiveRunner(make_pool()).send(target(alder, "echo"), call())
    assert reply.status == 503


async def test_a_path_that_climbs_out_of_the_app_is_refused(alder: Simulator, make_pool: MakePool) -> None:
    with pytest.raises(ValueError, match="climbs out"):
        await LiveRunner(make_pool()).send(target(alder, "echo"), call(worker_path=b"../../other/app"))
    with pytest.raises(ValueError, match="target of a request"):
        await LiveRunner(make_pool()).send(target(alder, "echo"), call(query=b"a b\r\nx: y"))


# --- payment -------------------------------------------------------------------------------------


async def test_a_priced_runner_stays_a_402_without_a_payer(alder: Simulator, make_pool: MakePool) -> None:
    reply = await LiveRunner(make_pool()).send(target(alder, "depth"), call())
    assert reply.status == 402
    assert alder.calls["depth"] == 0


async def test_a_challenge_is_answered_by_the_payer_and_the_call_made_again(
    alder: Simulator, make_pool: MakePool
) -> None:
    purse = Purse((b"livepeer-payment", b"ticket"), (b"livepeer-segment", b"creds"))
    reply = await LiveRunner(make_pool(), purse).send(target(alder, "depth"), call(b'{"image": "x"}'))
    assert reply.status == 200
    assert purse.asked == [
        Challenge("ZGVwdGg=", alder.service_uri, "manifest-depth", "simulator/depth"),
    ]
    sent = alder.jobs[-1].headers
    assert (sent["livepeer-payment"], sent["livepeer-segment"]) == ("ticket", "creds")
    assert sent["livepeer-payer-address"] == purse.address
    assert alder.jobs[-1].body == b'{"image": "x"}'


async def test_who_will_not_pay_passes_the_challenge_on(alder: Simulator, make_pool: MakePool) -> None:
    reply = await LiveRunner(make_pool(), Purse()).send(target(alder, "depth"), call())
    body = await read(reply)
    assert (reply.status, reply.length) == (402, len(body))
    assert json.loads(body)["manifest_id"] == "manifest-depth"
    await reply.aclose()


@pytest.mark.parametrize(
    "body", [b"could not parse payment", b"[]", b'{"payment_params": 5}', b"[" * 10_000, b"x" * 100_000]
)
async def test_what_is_no_challenge_is_not_paid(serve: Serve, make_pool: MakePool, body: bytes) -> None:
    peer = await serve(
        saying(b"HTTP/1.1 402 Payment Required\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    )
    purse = Purse((b"livepeer-payment", b"ticket"))
    reply = await LiveRunner(make_pool(), purse).send(peer.target("live-runner", path="apps/a/app"), call())
    assert (reply.status, purse.asked) == (402, [])
    assert (await read(reply)) == body[: 64 * 1024]


# --- looks ---------------------------------------------------------------------------------------


async def test_a_look_reads_the_orchestrators_list(alder: Simulator, make_pool: MakePool) -> None:
    runner = LiveRunner(make_pool())
    free = await runner.look(target(alder, "text-reversal"), 2.0)
    assert (free.status, free.capacity, free.price, free.readiness) == (200, 4, "0 wei/second", "reachable")
    priced = await runner.look(target(alder, "depth"), 2.0)
    assert (priced.capacity, priced.price) == (4, "7 wei/second")


@pytest.mark.parametrize("changes", [{"wire_name": "simulator/pose"}, {"path": "apps/pose/app"}])
async def test_an_app_that_is_not_listed_has_no_slot(
    alder: Simulator, make_pool: MakePool, changes: dict[str, str]
) -> None:
    sighting = await LiveRunner(make_pool()).look(target(alder, "depth", **changes), 2.0)
    assert (sighting.status, sighting.capacity) == (200, 0)
    assert "is listed" in sighting.detail


async def test_an_unhealthy_one_is_hidden(alder: Simulator, make_pool: MakePool) -> None:
    alder.fault("echo", "crash")
    runner = LiveRunner(make_pool())
    await runner.send(target(alder, "echo"), call())
    assert (await runner.look(target(alder, "echo"), 2.0)).capacity == 0


async def persistent(conversation: Conversation) -> None:
    uri = conversation.peer.uri
    runner = {"url": f"{uri}/apps/a/session", "app": "acme/a", "mode": "persistent", "capacity_available": 3}
    body = json.dumps([{"address": uri, "runners": [runner]}]).encode()
    await conversation.head()
    await conversation.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


async def test_one_that_wants_a_session_is_none_to_call(serve: Serve, make_pool: MakePool) -> None:
    peer = await serve(persistent)
    asked = peer.target("live-runner", wire_name="acme/a", path="apps/a/session")
    assert (await LiveRunner(make_pool()).look(asked, 2.0)).capacity == 0


@pytest.mark.parametrize(
    ("answer", "status", "readiness", "detail"),
    [
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone", 404, "reachable", "none"),
        (b"HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops", 500, "faulty", "oops"),
        (OK, 200, "faulty", "not JSON"),
    ],
)
async def test_a_list_that_is_none(
    serve: Serve, make_pool: MakePool, answer: bytes, status: int, readiness: str, detail: str
) -> None:
    async def script(conversation: Conversation) -> None:
        await conversation.head()
        await conversation.say(answer)

    peer = await serve(script)
    sighting = await LiveRunner(make_pool()).look(peer.target("live-runner"), 2.0)
    assert (sighting.status, sighting.capacity, sighting.readiness) == (status, 0, readiness)
    assert detail in sighting.detail
