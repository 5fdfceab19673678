"""`Idempotency-Key`: one execution, one charge; whoever asks again gets what the first one got."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
import weakref
from datetime import datetime
from typing import NoReturn

import httpx
import pytest
from django.db import OperationalError
from django.utils import timezone

from orchestrators.simulator import Container, Simulator
from routing import keeping, kept
from routing.models import Job, KeptCall, UsageHour
from tests.routing.inference.keeping import KEY, LATER, Held, ask, rows, settled, told
from tests.routing.inference.scenes import PICTURE, depth_by, job_header, orchestrator
from tests.routing.inference.scripted import OK, Conversation, Scripted
from tests.support.gateway import Gateway, in_thread


async def test_a_repetition_gets_the_answer_and_costs_nothing(gateway: Gateway) -> None:
    """G25"""
    async with Simulator("alder", capabilities=[Container("depth", price=9)]) as alder:
        await depth_by(gateway, alder)
        before = alder.calls["depth"]
        first, again = [
            await gateway.post("/v1/capabilities/depth", headers=KEY, json=PICTURE) for _ in range(2)
        ]
        plain = await gateway.post("/v1/capabilities/depth", json=PICTURE)
        await gateway.drained()

        assert alder.calls["depth"] == before + 2
    assert first.status_code == again.status_code == 200
    assert first.content == again.content == plain.content
    for name in ("content-type", "x-request-id", "x-byocgw-attempts"):
        assert first.headers[name] == again.headers[name]
    assert "server-timing" in first.headers
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert await in_thread(Job.objects.count) == 2
    assert (await in_thread(UsageHour.objects.get)).requests == 2


async def test_without_the_fields_nothing_is_kept(gateway: Gateway) -> None:
    """R16: bodies are stored for who asked for it, and for nobody else."""
    async with Held() as held:
        await held.offered(gateway)
        held.go.set()
        assert (await ask(gateway)).status_code == 200
        assert (await ask(gateway, headers={"prefer": "handling=lenient, wait=3"})).status_code == 200
    assert await rows() == []


async def test_while_the_first_is_under_way_others_wait(gateway: Gateway) -> None:
    async with Held() as held:
        await held.offered(gateway)
        first = asyncio.create_task(ask(gateway, headers=KEY))
        await held.asked.wait()
        early = await ask(gateway, headers=KEY)
        held.go.set()
        late = await ask(gateway, headers=KEY) if (await first).status_code == 200 else early

    assert told(early) == (409, "under_way")
    assert early.headers["retry-after"] == "1"
    assert (late.status_code, late.content, held.calls) == (200, (await first).content, 1)


async def test_a_key_goes_with_one_request(gateway: Gateway) -> None:
    async with Held() as held:
        await held.offered(gateway)
        held.go.set()
        await ask(gateway, headers=KEY)
        others = [
            await ask(gateway, headers=KEY, content=b"another picture"),
            await ask(gateway, "/v1/capabilities/depth/small", headers=KEY),
            await ask(gateway, "/v1/capabilities/depth?scale=2", headers=KEY),
            await ask(gateway, headers=KEY | {"content-type": "image/png"}),
            await ask(gateway, "/process/request/", headers=KEY | job_header()),
        ]
        stranger = {"authorization": f"Bearer {await gateway.issue_key('globex')}"}
        foreign = await ask(gateway, headers=KEY | stranger)

        assert [told(each) for each in others] == [(422, "key_reused")] * 5
        assert (foreign.status_code, held.calls) == (200, 2)  # each client has its own keys


async def test_a_key_that_cannot_be_read_is_refused(gateway: Gateway) -> None:
    async with Held() as held:
        await held.offered(gateway)
        for key in (b"", b'""', b"a,b", b'"a", "b"', b"x" * 256, b'"no end', b"\xe9"):
            answer = await ask(gateway, headers={"idempotency-key": key})
            assert told(answer) == (400, "bad_request"), key
            assert "Idempotency-Key must be" in answer.json()["detail"]
        assert held.calls == 0


async def test_nothing_of_a_call_stays_in_memory(gateway: Gateway) -> None:
    """Once its row has it, at once: not when the collector comes by."""
    gc.disable()
    try:
        async with Held() as held:
            await held.offered(gateway)
            first = asyncio.create_task(ask(gateway, headers=KEY))
            await held.asked.wait()
            run = weakref.ref(next(iter(gateway.runtime.keeper.runs.values())))
            held.go.set()
            await first
            await settled("done")
            async with asyncio.timeout(10):
                while run() is not None:
                    await asyncio.sleep(0.01)
    finally:
        gc.enable()


async def test_a_client_that_hung_up_finds_its_answer(gateway: Gateway) -> None:
    """The call goes on without it, and counts as one that the worker carries."""
    async with Held() as held:
        await held.offered(gateway)
        first = asyncio.create_task(ask(gateway, headers=KEY))
        await held.asked.wait()
        first.cancel()
        async with asyncio.timeout(10):
            while not next(iter(gateway.runtime.keeper.runs.values())).left:
                await asyncio.sleep(0.01)
        assert gateway.runtime.in_flight == 1
        held.go.set()
        (row,) = await settled("done")
        again = await ask(gateway, headers=KEY)

        assert (again.status_code, again.json(), held.calls) == (200, {"depth": 3.5}, 1)
        assert again.headers["x-request-id"] == row.request_id
        assert gateway.runtime.in_flight == 0


async def test_an_answer_too_large_that_nobody_waits_for_is_given_up(gateway: Gateway) -> None:
    gateway.runtime.keeper._largest = 100_000
    head = OK + b"content-type: image/png\r\ncontent-length: %d\r\n\r\n" % 1_000_000
    async with Held(head + b"x" * 1_000_000) as held:
        await held.offered(gateway)
        first = asyncio.create_task(ask(gateway, headers=KEY))
        await held.asked.wait()
        first.cancel()
        async with asyncio.timeout(10):
            while not next(iter(gateway.runtime.keeper.runs.values())).left:
                await asyncio.sleep(0.01)
        held.go.set()
        (row,) = await settled("failed")
        again = await ask(gateway, headers=KEY)

    assert (row.code, told(again)) == ("too_large", (410, "result_gone"))
    assert gateway.runtime.in_flight == 0


async def test_on_the_stock_route_a_repetition_has_its_fields_too(gateway: Gateway) -> None:
    async with Simulator("alder", capabilities=[Container("depth", price=9, balance=1000)]) as alder:
        await depth_by(gateway, alder)
        answers = [
            await gateway.post("/process/request/", headers=KEY | job_header(), json=PICTURE) for _ in range(2)
        ]
    first, again = (each.headers for each in answers)
    assert first["livepeer-balance"] == again["livepeer-balance"] != ""
    assert first["x-metadata"] == again["x-metadata"]


async def test_a_failure_after_an_attempt_is_an_outcome(gateway: Gateway) -> None:
    async with Simulator("alder", capabilities=[Container("depth", price=9)]) as alder:
        await depth_by(gateway, alder)
        alder.fault("depth", "gpu_oom")
        first = await gateway.post("/v1/capabilities/depth", headers=KEY, json=PICTURE)
        alder.fault("depth", "none")
        again = await gateway.post("/v1/capabilities/depth", headers=KEY, json=PICTURE)

    assert told(first) == told(again) == (502, "exhausted")
    assert first.json()["attempts"] == again.json()["attempts"] != []


async def test_a_refusal_before_any_attempt_leaves_the_key_free(gateway: Gateway) -> None:
    async with Held() as held:
        await held.offered(gateway, price_ceiling="0 wei/second")
        refused = await ask(gateway, headers=KEY)
        freed = await rows()
        await held.offered(gateway)
        held.go.set()
        served = await ask(gateway, headers=KEY)

    assert told(refused) == (503, "none_available")
    assert (freed, served.status_code) == ([], 200)


async def test_a_clients_own_error_is_an_outcome(gateway: Gateway) -> None:
    body = b'{"error": "no picture"}'
    answer = b"HTTP/1.1 422 No\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
    async with Held(answer % (len(body), body)) as held:
        await held.offered(gateway)
        held.go.set()
        first, again = [await ask(gateway, headers=KEY) for _ in range(2)]
        assert (first.status_code, again.status_code, held.calls) == (422, 422, 1)
    assert first.content == again.content == body


async def test_an_answer_too_large_to_keep_is_told_once(gateway: Gateway) -> None:
    """It comes through whole, at the client's pace; the second is told that it is gone."""
    size = 300_000
    gateway.runtime.keeper._largest = 100_000
    head = OK + b"content-type: image/png\r\ncontent-length: %d\r\n\r\n" % size
    async with Held(head + b"x" * size) as held:
        await held.offered(gateway)
        held.go.set()
        first = await ask(gateway, headers=KEY)
        (row,) = await settled("done")
        again = await ask(gateway, headers=KEY)

        assert (first.status_code, first.content) == (200, b"x" * size)
        assert told(again) == (410, "result_gone")
        assert (row.status, row.body, row.size, held.calls) == (200, None, 0, 1)


async def test_one_as_large_as_may_be_is_kept_whole(gateway: Gateway) -> None:
    size = 300_000
    head = OK + b"content-type: image/png\r\ncontent-length: %d\r\n\r\n" % size
    async with Held(head + b"x" * size) as held:
        await held.offered(gateway)
        held.go.set()
        first, again = [await ask(gateway, headers=KEY, content=b"y" * 1_000_000) for _ in range(2)]
        assert first.content == again.content == b"x" * size
        assert (again.headers["content-type"], held.calls) == ("image/png", 1)
    assert gateway.runtime.replay_memory.used == 0


async def test_where_there_is_no_memory_nothing_is_kept(gateway: Gateway) -> None:
    """A large body is refused before anything is run; a large answer comes through, once."""
    size = 300_000
    gateway.runtime.replay_memory.limit = 0
    head = OK + b"content-type: image/png\r\ncontent-length: %d\r\n\r\n" % size
    async with Held(head + b"x" * size) as held:
        await held.offered(gateway)
        held.go.set()
        refused = await ask(gateway, headers=KEY, content=b"y" * 1_000_000)
        first, again = [await ask(gateway, headers=KEY) for _ in range(2)]
        assert told(refused) == (503, "overloaded")
        assert (first.content, told(again), held.calls) == (b"x" * size, (410, "result_gone"), 1)
    assert gateway.runtime.replay_memory.used == 0


STREAM = OK + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


async def streaming(gateway: Gateway, container: Scripted) -> None:
    capability = {"slug": "words", "profile": "warm", "price_ceiling": "none"}
    await gateway.apply(
        {"capabilities": [capability], "orchestrators": [orchestrator(container, container.offer("words"))]}  # type: ignore[arg-type]
    )
    await gateway.probe()
    container.calls = 0


async def test_an_event_stream_comes_as_it_is_written_and_again_as_a_whole(gateway: Gateway) -> None:
    seen = asyncio.Event()

    async def script(conversation: Conversation) -> None:
        await conversation.whole()
        await conversation.say(STREAM)
        await conversation.chunk(b"data: a\n\n")
        await seen.wait()  # the client has the first event before there is a second
        await conversation.chunk(b"data: b\n\n")
        await conversation.chunk(b"")

    async with Scripted("birch", script) as birch:
        await streaming(gateway, birch)
        headers = KEY | {"authorization": f"Bearer {gateway.key}"}
        path = "/v1/capabilities/words"
        async with gateway.http.stream("POST", path, headers=headers, content=b"x") as answer:
            pieces = []
            async for piece in answer.aiter_bytes():
                pieces.append(piece)
                seen.set()
        again = await ask(gateway, path, headers=KEY, content=b"x")

        assert b"".join(pieces) == again.content == b"data: a\n\ndata: b\n\n"
        assert again.headers["content-type"] == "text/event-stream"
        assert birch.calls == 1


async def test_an_answer_that_breaks_is_a_failure_for_good(gateway: Gateway) -> None:
    async def script(conversation: Conversation) -> None:
        await conversation.whole()
        await conversation.say(STREAM)
        await conversation.chunk(b"data: a\n\n")
        await conversation.reset()

    async with Scripted("birch", script) as birch:
        await streaming(gateway, birch)
        first = await ask(gateway, "/v1/capabilities/words", headers=KEY)
        again = await ask(gateway, "/v1/capabilities/words", headers=KEY)

        assert birch.calls == 1
    assert first.status_code == 502 or b"event: error" in first.content
    assert told(again) == (502, "exhausted")


async def test_a_key_is_free_again_once_it_has_expired(gateway: Gateway) -> None:
    async with Held() as held:
        await held.offered(gateway)
        held.go.set()
        first = await ask(gateway, headers=KEY)
        await in_thread(lambda: KeptCall.objects.update(expires=timezone.now()))
        second = await ask(gateway, headers=KEY, content=b"another picture")

        assert (second.status_code, held.calls) == (200, 2)
        assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_what_a_dead_worker_left_is_never_run_again(gateway: Gateway) -> None:
    """Found out by its lock, within two seconds; the claim stays until it expires."""
    async with Held() as held:
        await held.offered(gateway)
        held.go.set()
        await ask(gateway, headers=KEY)
        gateway.runtime.keeper._buried_at = math.inf  # not by itself
        left = {
            "state": "running",
            "body": None,
            "worker": f"{gateway.runtime.keeper._life.name[:-16]}{'0' * 16}",
        }
        await in_thread(lambda: KeptCall.objects.update(**left))
        at_first = await ask(gateway, headers=KEY)
        await in_thread(gateway.runtime.keeper._bury)
        then = await ask(gateway, headers=KEY)

        assert told(at_first) == (409, "under_way")
        assert told(then) == (409, "outcome_unknown")
        assert "is not run again" in then.json()["detail"]
        assert held.calls == 1


def away(*_: object) -> NoReturn:
    raise OperationalError("the database is away")


async def test_without_a_database_such_calls_are_refused_and_others_go_on(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Held() as held:
        await held.offered(gateway)
        held.go.set()
        monkeypatch.setattr(kept, "claim", away)
        refused = [await ask(gateway, headers=headers) for headers in (KEY, LATER)]
        calls = held.calls
        plain = await ask(gateway)

    assert [told(each) for each in refused] == [(503, "books_closed")] * 2
    assert refused[0].headers["retry-after"] == "2"
    assert (calls, plain.status_code) == (0, 200)


async def test_a_claim_that_comes_too_late_is_given_back(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that hangs: the client is told so, nothing is run, and its key is not lost."""
    hanging, claim = threading.Event(), kept.claim

    def late(wanted: KeptCall, now: object) -> KeptCall | None:
        hanging.wait(10)
        return claim(wanted, now)  # type: ignore[arg-type]

    async with Held() as held:
        await held.offered(gateway)
        held.go.set()
        monkeypatch.setattr(keeping, "PATIENCE", 0.05)
        monkeypatch.setattr(kept, "claim", late)
        refused = await ask(gateway, headers=KEY)
        hanging.set()
        monkeypatch.undo()
        async with asyncio.timeout(10):
            while (served := await ask(gateway, headers=KEY)).status_code != 200:
                await asyncio.sleep(0.01)

        assert told(refused) == (503, "books_closed")
        assert held.calls == 1
    assert "idempotent-replayed" not in served.headers


async def test_a_claim_that_was_taken_as_the_database_broke_off_is_given_back(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit was done, its answer lost: nothing is run, and the key is free once the database answers."""
    claim, release = kept.claim, kept.release

    def broken_off(wanted: KeptCall, now: datetime) -> KeptCall | None:
        claim(wanted, now)
        away()

    async with Held() as held:
        await held.offered(gateway)
        held.go.set()
        with monkeypatch.context() as patch:
            patch.setattr(kept, "claim", broken_off)
            patch.setattr(kept, "release", away)
            refused = await ask(gateway, headers=KEY)
            await gateway.runtime.keeper.beat()
            patch.setattr(kept, "claim", claim)
            early = await ask(gateway, headers=KEY)
            patch.setattr(kept, "release", release)
            await gateway.runtime.keeper.beat()
            served = await ask(gateway, headers=KEY)
        assert held.calls == 1
    assert [told(refused), told(early)] == [(503, "books_closed"), (409, "under_way")]
    assert (served.status_code, "idempotent-replayed" in served.headers) == (200, False)


async def test_the_outcome_is_stored_once_the_database_is_back(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has its answer meanwhile, and who repeats is told to wait."""

    async with Held() as held:
        await held.offered(gateway)
        held.go.set()
        with monkeypatch.context() as patch:
            patch.setattr(kept, "end", away)
            patch.setattr(keeping, "STORED_WITHIN", 0.01)
            patch.setattr(keeping, "STORE_AGAIN", 0.01)
            first = await ask(gateway, headers=KEY)
            early = await ask(gateway, headers=KEY)
        await settled("done")
        late = await ask(gateway, headers=KEY)

    assert (first.status_code, told(early)) == (200, (409, "under_way"))
    assert (late.status_code, late.content) == (200, first.content)


async def test_many_at_once_are_one(gateway: Gateway) -> None:
    async with Held() as held:
        await held.offered(gateway)
        tasks = [asyncio.create_task(ask(gateway, headers=KEY)) for _ in range(8)]
        await held.asked.wait()
        held.go.set()
        answers: list[httpx.Response] = await asyncio.gather(*tasks)
        assert held.calls == 1
    assert {each.status_code for each in answers} <= {200, 409}
    assert sum("idempotent-replayed" not in each.headers and each.status_code == 200 for each in answers) == 1
