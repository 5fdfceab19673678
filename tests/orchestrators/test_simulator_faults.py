"""Every scripted fault of the simulator, as a caller meets it on the wire."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from fractions import Fraction

import httpx
import pytest

from orchestrators.simulator import Container, Fault, FaultError, FaultKind, Simulator
from orchestrators.simulator.faults import MEANING, ORCHESTRATORS_OWN
from tests.support.livepeer import Caller, livepeer

TEXT = {"text": "one two three"}
FAILED = 'job not able to be processed, removing capability err=Post "http://127.0.0.1:5000/": '


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def alder(clock: Clock) -> AsyncIterator[Simulator]:
    capabilities = [Container("echo", price=10), Container("text-reversal", price=10)]
    async with Simulator(name="alder", capabilities=capabilities, clock=clock) as alder:
        yield alder


@pytest.fixture
async def caller(alder: Simulator) -> AsyncIterator[Caller]:
    async with Caller(alder.service_uri) as caller:
        yield caller


# What a fault answers: status and body.
ANSWERS = {
    "gpu_oom": (500, "CUDA out of memory. Tried to allocate 2.00 GiB\n"),
    "busy": (503, "busy\n"),
    "rate_limited": (429, "too many requests\n"),
    "server_error": (500, '{"detail":{"msg":"pipeline error."}}\n'),
    "bad_input": (422, '{"detail":{"msg":"the input is not what it should be"}}\n'),
    "bad_input:status=400": (400, '{"detail":{"msg":"the input is not what it should be"}}\n'),
    "refused_worker": (500, FAILED + "dial tcp 127.0.0.1:5000: connect: connection refused\n"),
    "timeout_text": (500, FAILED + "context deadline exceeded\n"),
    "credentials": (400, "Could not verify job creds\n"),
    "balance": (400, "Insufficient balance for request\n"),
    "no_capacity": (503, "No capacity available for capability\n"),
    "cold_start:loading=true": (503, "model is not ready, loading\n"),
    "wrong_schema": (200, '{"unexpected":true}'),
    "wrong_content_type": (200, "x"),
    "empty": (200, ""),
}


@pytest.mark.parametrize("fault", ANSWERS)
async def test_it_answers_as_the_fault_has_it(alder: Simulator, caller: Caller, fault: str) -> None:
    """R63 to R66: each failure mode has its own face."""
    alder.registry.fault("echo", Fault.parse(fault))
    answer = await caller.job("echo")
    assert (answer.status_code, answer.text) == ANSWERS[fault]
    assert alder.calls["echo"] == 1 and alder["echo"].in_flight == 0
    spared = await caller.job("text-reversal", TEXT, path="reverse-text")
    assert spared.status_code == 200


CONTENT_TYPES = {
    "wrong_schema": "application/json",
    "wrong_content_type": "text/html; charset=utf-8",
    "empty": "text/x",
}


@pytest.mark.parametrize("fault", CONTENT_TYPES)
async def test_it_labels_a_wrong_success(alder: Simulator, caller: Caller, fault: str) -> None:
    alder.fault("echo", fault)
    assert (await caller.job("echo")).headers["content-type"] == CONTENT_TYPES[fault]


@pytest.mark.parametrize("fault", ["busy", "rate_limited"])
async def test_it_says_when_to_come_back(alder: Simulator, caller: Caller, fault: str) -> None:
    alder.fault("echo", fault)
    assert (await caller.job("echo")).headers["retry-after"] == "1"
    alder.fault("echo", fault, seconds=0)
    assert "retry-after" not in (await caller.job("echo")).headers


async def test_it_crashes_and_stays_gone_until_restored(alder: Simulator, caller: Caller) -> None:
    """R65."""
    alder.fault("echo", "crash", times=1)
    with pytest.raises(httpx.ReadError):
        await caller.job("echo", b"read by the container")
    assert alder.jobs[-1].body == b"read by the container"
    assert "available_capacity" not in (await caller.token("echo")).json()
    assert (await caller.job("echo")).status_code == 503
    alder.fault("echo", "none")
    assert (await caller.token("echo")).json()["available_capacity"] == 4
    assert (await caller.job("echo")).status_code == 200


async def test_it_unregisters_after_a_refused_worker_and_not_after_a_timeout(
    alder: Simulator, caller: Caller
) -> None:
    alder.fault("echo", "timeout_text")
    assert "livepeer-balance" in (await caller.job("echo")).headers
    assert (await caller.token("echo")).json()["available_capacity"] == 3  # the slot leaked
    alder.fault("echo", "refused_worker")
    await caller.job("echo")
    assert "available_capacity" not in (await caller.token("echo")).json()
    assert (await caller.job("echo")).text == "No capacity available for capability\n"


async def test_it_is_slow_for_as_long_as_it_was_told(alder: Simulator, caller: Caller) -> None:
    alder.fault("echo", "slow", seconds=0.1, times=2)
    loop = asyncio.get_running_loop()
    for _ in range(2):
        started = loop.time()
        assert (await caller.job("echo")).content == b"x"
        assert loop.time() - started >= 0.095
    assert alder["echo"].script.fault.kind is FaultKind.NONE


async def test_it_starts_cold_once(alder: Simulator, caller: Caller) -> None:
    """R63: slow, then well."""
    alder.fault("echo", "cold_start", seconds=0.1)
    started = asyncio.get_running_loop().time()
    assert (await caller.job("echo")).status_code == 200
    assert asyncio.get_running_loop().time() - started >= 0.095
    assert alder["echo"].script.fault.kind is FaultKind.NONE


async def test_it_loads_a_model_from_the_first_call_on(alder: Simulator, caller: Caller, clock: Clock) -> None:
    """R63: not ready, then well."""
    alder.fault("echo", "cold_start", loading=True, seconds=20)
    clock.now += 100
    assert (await caller.job("echo")).status_code == 503
    clock.now += 19.9
    assert (await caller.job("echo")).status_code == 503
    clock.now += 0.1
    assert (await caller.job("echo")).status_code == 200


async def test_it_never_answers_under_hang(alder: Simulator, caller: Caller) -> None:
    alder.fault("echo", "hang")
    async with Caller(alder.service_uri, read_timeout=0.2) as hasty:
        with pytest.raises(httpx.ReadTimeout):
            await hasty.job("echo", timeout_seconds=-1)


async def test_it_breaks_a_stream_after_the_first_event(alder: Simulator, caller: Caller) -> None:
    alder.fault("text-reversal", "mid_stream_break")
    received = b""
    headers = livepeer("text-reversal")
    url = "/process/request/reverse-stream"
    with pytest.raises(httpx.RemoteProtocolError):
        async with caller.http.stream(
            "POST", url, content=json.dumps(TEXT).encode(), headers=headers
        ) as answer:
            async for chunk in answer.aiter_bytes():
                received += chunk
    assert received == b'data: {"word": "eno"}\n\n'


@pytest.mark.parametrize("body", [b"", b"0123456789", b"x" * 1_000_000])
async def test_it_breaks_off_in_the_middle_of_a_body(alder: Simulator, caller: Caller, body: bytes) -> None:
    alder.fault("echo", "mid_stream_break")
    received = b""
    with pytest.raises(httpx.RemoteProtocolError):
        async with caller.http.stream(
            "POST", "/process/request/x", content=body, headers=livepeer("echo")
        ) as answer:
            async for chunk in answer.aiter_bytes():
                received += chunk
    assert received == body[: len(body) // 2]


async def test_it_raises_its_price(alder: Simulator, caller: Caller) -> None:
    alder.fault("echo", "price_rise", factor=1.5, times=1)
    assert (await caller.token("echo")).json()["price"]["pricePerUnit"] == 15
    assert (await caller.token("echo")).json()["price"]["pricePerUnit"] == 10
    alder.fault("echo", "price_rise")
    assert (await caller.job("echo")).status_code == 200
    assert (await caller.token("echo")).json()["price"]["pricePerUnit"] == 20


async def test_it_offers_no_capacity(alder: Simulator, caller: Caller) -> None:
    alder.fault("echo", "no_capacity", times=1)
    for _ in range(3):
        assert "available_capacity" not in (await caller.token("echo")).json()
    assert (await caller.job("echo")).status_code == 503
    assert (await caller.token("echo")).json()["available_capacity"] == 4


async def test_it_drowns_the_end_of_a_stream_in_newlines(alder: Simulator, caller: Caller) -> None:
    alder.fault("text-reversal", "sse_flood")
    answer = await caller.job("text-reversal", TEXT, path="reverse-stream", timeout_seconds=1)
    stream, done, flood = answer.text.partition("data: [DONE]\n\n")
    assert done and stream.count("data: ") == 4
    assert len(flood) > 100 and not flood.strip()


async def test_it_stops_a_flood_when_the_caller_leaves(alder: Simulator, caller: Caller) -> None:
    alder.fault("text-reversal", "sse_flood")
    url, headers = "/process/request/reverse-stream", livepeer("text-reversal", timeout_seconds=600)
    async with caller.http.stream("POST", url, content=json.dumps(TEXT).encode(), headers=headers) as answer:
        async for line in answer.aiter_lines():
            if "[DONE]" in line:
                break
    while alder["text-reversal"].in_flight:
        await asyncio.sleep(0.005)
    assert alder["text-reversal"].load == 0


LOOKS = {"server_error": 500, "busy": 503, "rate_limited": 429, "empty": 200, "wrong_schema": 200}


@pytest.mark.parametrize("fault", LOOKS)
async def test_it_can_strike_the_token_instead_of_jobs(alder: Simulator, caller: Caller, fault: str) -> None:
    alder.fault("echo", fault, look=True, times=1)
    assert (await caller.job("echo")).status_code == 200
    struck = await caller.token("echo")
    assert struck.status_code == LOOKS[fault] and "available_capacity" not in struck.text
    assert (await caller.token("echo")).json()["available_capacity"] == 4


async def test_it_can_hang_or_break_on_the_token(alder: Simulator, caller: Caller) -> None:
    alder.fault("echo", "hang", look=True, times=1)
    with pytest.raises(httpx.ReadTimeout):
        async with Caller(alder.service_uri, read_timeout=0.2) as hasty:
            await hasty.token("echo")
    alder.fault("echo", "crash", look=True, times=1)
    with pytest.raises(httpx.ReadError):
        await caller.token("echo")
    assert (await caller.token("echo")).json()["available_capacity"] == 4
    alder.fault("echo", "timeout_text", look=True)
    assert (await caller.token("echo")).text == "context deadline exceeded\n"


async def test_it_strikes_with_seeded_dice() -> None:
    async def struck() -> list[bool]:
        echo = Container("echo", fault="gpu_oom:probability=0.5,times=3")
        async with Simulator(capabilities=[echo], seed=7) as alder, Caller(alder.service_uri) as caller:
            return [(await caller.job("echo")).status_code == 500 for _ in range(20)]

    first = await struck()
    assert first == await struck()
    assert sum(first) == 3 and first[:3] != [True] * 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("gremlins", "There is no fault 'gremlins'. Known: none, cold_start"),
        ("slow:hours=3", "A fault has no option 'hours'. Known: times"),
        ("slow:seconds=soon", "seconds=soon is not a number of seconds."),
        ("slow:seconds=-1", "seconds=-1 is not a number of seconds."),
        ("slow:seconds=nan", "seconds=nan is not a number of seconds."),
        ("slow:seconds", "'seconds' is not an option: write name=value."),
        ("slow:times=0", "times=0 is not a whole number above 0."),
        ("slow:probability=2", "probability=2 is not a number from 0 to 1."),
        ("slow:loading=maybe", "loading=maybe is not true or false."),
        ("price_rise:factor=1/0", "factor=1/0 is not a number from 0."),
        ("price_rise:factor=-1", "factor=-1 is not a number from 0."),
        ("bad_input:status=200", "status=200 is not 400 or 422."),
    ],
)
def test_it_names_what_is_wrong_with_a_fault(text: str, sentence: str) -> None:
    with pytest.raises(FaultError) as caught:
        Fault.parse(text)
    assert str(caught.value).startswith(sentence)


def faults() -> Iterator[Fault]:
    dice = random.Random(3)
    for kind in FaultKind:
        options: dict[str, object] = {"times": dice.randint(1, 9), "seconds": 2.5, "factor": Fraction(3, 2)}
        yield from (Fault(kind), Fault.of(kind, options), Fault(kind, look=True))


@pytest.mark.parametrize("fault", list(faults()), ids=str)
def test_it_reads_what_it_writes(fault: Fault) -> None:
    assert Fault.parse(str(fault)) == fault


def test_it_explains_every_fault() -> None:
    assert set(MEANING) == set(FaultKind)


@pytest.mark.parametrize("kind", sorted(ORCHESTRATORS_OWN))
def test_it_refuses_an_orchestrators_fault_to_a_direct_container(kind: str) -> None:
    with pytest.raises(FaultError, match="a direct container has none"):
        Simulator(capabilities=[Container("echo", fault=kind)], protocol="direct")
