"""The simulated orchestrator speaks the BYOC protocol: its routes, order of checks, and texts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from orchestrators.simulator import Container, Simulator
from tests.support.livepeer import ADDRESS, Caller, encoded, livepeer

CREDENTIALS = "Could not verify job creds\n"
NO_CAPACITY = "No capacity available for capability\n"


@pytest.fixture
async def alder() -> AsyncIterator[Simulator]:
    capabilities = [Container("echo", price=10, capacity=2), Container("text-reversal"), Container("depth")]
    async with Simulator(name="alder", capabilities=capabilities) as alder:
        yield alder


@pytest.fixture
async def caller(alder: Simulator) -> AsyncIterator[Caller]:
    async with Caller(alder.service_uri) as caller:
        yield caller


def is_go_error(answer: httpx.Response, status: int, text: str) -> bool:
    headers = answer.headers
    assert (answer.status_code, answer.text) == (status, text)
    return (headers["content-type"], headers["x-content-type-options"]) == (
        "text/plain; charset=utf-8",
        "nosniff",
    )


# Tokens.


async def test_it_quotes_price_and_free_slots_as_go_writes_them(alder: Simulator, caller: Caller) -> None:
    answer = await caller.token("echo")
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == (
        '{"sender_address":{"addr":"0xabc","sig":""},"price":{"pricePerUnit":10,"pixelsPerUnit":1},'
        f'"service_addr":"{alder.service_uri}","available_capacity":2,"LastNonce":0}}'
    )
    assert alder.looks["echo"] == 1


async def test_it_leaves_zero_values_out(alder: Simulator, caller: Caller) -> None:
    alder["depth"].capacity = 0
    document = (await caller.token("depth")).json()
    assert document["price"] == {"pixelsPerUnit": 1}
    assert "available_capacity" not in document and "balance" not in document


async def test_it_answers_200_without_capacity_for_an_unknown_capability(caller: Caller) -> None:
    answer = await caller.token("nothing-here")
    assert answer.status_code == 200
    assert answer.json()["price"] == {"pixelsPerUnit": 1} and "available_capacity" not in answer.json()


async def test_it_reports_balance_and_model() -> None:
    capabilities = [Container("echo", balance=1000, model="sdxl")]
    async with Simulator(capabilities=capabilities) as alder, Caller(alder.service_uri) as caller:
        document = (await caller.token("echo")).json()
    assert document["balance"] == 1000
    assert document["model_id"] == "sdxl"


TOKEN_REFUSALS = {
    "no address": ({}, "Must have eth address and signature on address in Livepeer-Eth-Address header\n"),
    "bad base64": ({"Livepeer-Eth-Address": "%%%"}, "Invalid eth address header \n"),
    "unpadded": (
        {"Livepeer-Eth-Address": encoded({"a": 1}).rstrip("=") + "A"},
        "Invalid eth address header \n",
    ),
    "not JSON": ({"Livepeer-Eth-Address": "eHg="}, "Invalid eth address header \n"),
    "short 0x": (
        {"Livepeer-Eth-Address": encoded({"addr": "0xabc", "sig": "0x"})},
        "Invalid eth address header \n",
    ),
    "no capability": (
        ADDRESS,
        "Job capabilities not provided, must provide comma separated capabilities"
        " in Livepeer-Capability header\n",
    ),
}


@pytest.mark.parametrize("case", TOKEN_REFUSALS)
async def test_it_refuses_a_token_in_the_orchestrators_words(caller: Caller, case: str) -> None:
    headers, text = TOKEN_REFUSALS[case]
    assert is_go_error(await caller.http.get("/process/token", headers=headers), 400, text)


@pytest.mark.parametrize("prefix", ["", "0x"])
async def test_it_takes_a_signature_of_65_bytes_with_and_without_0x(caller: Caller, prefix: str) -> None:
    address = {"Livepeer-Eth-Address": encoded({"addr": "0xabc", "sig": prefix + "ab" * 65})}
    answer = await caller.http.get("/process/token", headers=address | {"Livepeer-Capability": "echo"})
    assert answer.status_code == 200


@pytest.mark.parametrize(("method", "path"), [("POST", "token"), ("GET", "request/x"), ("PUT", "request/x")])
async def test_it_allows_one_method_a_route(caller: Caller, method: str, path: str) -> None:
    answer = await caller.http.request(method, f"/process/{path}")
    assert is_go_error(answer, 405, "Method not allowed\n")


async def test_it_has_no_other_routes(caller: Caller) -> None:
    assert is_go_error(await caller.http.get("/process/payment"), 404, "404 page not found\n")


# Jobs.


async def test_it_relays_a_job_byte_for_byte(alder: Simulator, caller: Caller) -> None:
    """R3, R5: path, body and content type arrive and return as they were sent."""
    body = bytes(range(256)) * 400
    answer = await caller.job(
        "echo", body, path="a%2Fb/c%20d?q=1", content_type="multipart/form-data; boundary=x"
    )
    assert (answer.status_code, answer.content) == (200, body)
    assert answer.headers["content-type"] == "multipart/form-data; boundary=x"
    assert answer.headers["livepeer-balance"] == "-10"
    job = alder.jobs[-1]
    assert (job.path, job.query, job.body) == (b"a%2Fb/c%20d", b"q=1", body)
    assert job.livepeer["request"] == '{"run": "it"}'
    assert job.headers["content-type"] == "multipart/form-data; boundary=x"


async def test_it_takes_a_chunked_body(caller: Caller) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"12345" * 10_000

    answer = await caller.http.post("/process/request/x", content=chunks(), headers=livepeer("echo"))
    assert answer.content == b"12345" * 50_000


async def test_it_keeps_the_connection_and_answers_pipelined_requests_in_order(alder: Simulator) -> None:
    reader, writer = await asyncio.open_connection(alder.host, alder.port)
    header = f"Livepeer: {livepeer('echo')['Livepeer']}\r\n".encode()
    for word in (b"one", b"two", b"end"):
        writer.write(b"POST /process/request/x HTTP/1.1\r\n" + header + b"Content-Length: 3\r\n\r\n" + word)
    for word in (b"one", b"two", b"end"):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert await reader.readexactly(3) == word
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 1_300_000, b"431"),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"x%d: y\r\n" % n for n in range(300)) + b"\r\n", b"431"),
    ],
    ids=["not HTTP", "long head", "many fields"],
)
async def test_it_bounds_what_it_reads(alder: Simulator, sent: bytes, status: bytes) -> None:
    reader, writer = await asyncio.open_connection(alder.host, alder.port)
    writer.write(sent)
    assert (await reader.readline()).split()[1] == status
    writer.close()


JOB_REFUSALS = {
    "no header": ({}, 400, CREDENTIALS),
    "bad base64": ({"Livepeer": "%"}, 400, CREDENTIALS),
    "not an object": ({"Livepeer": encoded([])}, 400, CREDENTIALS),
    "number for a string": (livepeer("echo", request=1), 400, CREDENTIALS),
    "text for a number": (livepeer("echo", timeout_seconds="30"), 400, CREDENTIALS),
    "short 0x": (livepeer("echo", sig="0x"), 400, CREDENTIALS),
    "no timeout, before the signature": (
        livepeer("echo", timeout_seconds=0, sig="0x"),
        400,
        "no timeout_seconds set with request, timeout_seconds is required\n",
    ),
    "unknown, before the request": (livepeer("nothing-here", request=""), 503, NO_CAPACITY),
    "empty request": (
        livepeer("echo", request=""),
        400,
        "Unable to unmarshal job request details err=unexpected end of JSON input\n",
    ),
    "request of another type": (
        livepeer("echo", request="[]"),
        400,
        "Unable to unmarshal job request details err=json: cannot unmarshal array into Go value of type"
        " byoc.JobRequestDetails\n",
    ),
}


@pytest.mark.parametrize("case", JOB_REFUSALS)
async def test_it_refuses_a_job_in_the_orchestrators_words(caller: Caller, case: str) -> None:
    headers, status, text = JOB_REFUSALS[case]
    assert is_go_error(await caller.http.post("/process/request/x", headers=headers), status, text)


async def test_it_reads_keys_whatever_their_case(caller: Caller) -> None:
    header = {"Livepeer": encoded({"Request": "{}", "CAPABILITY": "echo", "Timeout_Seconds": 3})}
    assert (await caller.http.post("/process/request/x", headers=header)).status_code == 200


async def test_it_drops_the_connection_for_a_bad_payment_when_there_is_a_price(caller: Caller) -> None:
    payment = {"Livepeer-Payment": "%"}
    with pytest.raises(httpx.TransportError):
        await caller.http.post("/process/request/x", headers=livepeer("echo") | payment)
    free = await caller.http.post("/process/request/x", headers=livepeer("depth") | payment)
    assert free.status_code == 422  # it reached the container


async def test_it_turns_a_workers_error_into_text(caller: Caller) -> None:
    answer = await caller.job("text-reversal", {"text": "x"}, path="nowhere")
    assert is_go_error(answer, 404, '{"detail": "Not Found"}\n')
    assert "livepeer-balance" in answer.headers


async def test_it_streams_words_and_ends_with_the_balance(caller: Caller) -> None:
    answer = await caller.job("text-reversal", {"text": "one two"}, path="reverse-stream")
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["livepeer-payment-balance"] == "0" and "livepeer-balance" not in answer.headers
    assert answer.text == (
        'data: {"word": "eno"}\n\ndata: {"word": "owt"}\n\ndata: {"balance": 0.000}\n\ndata: [DONE]\n\n'
    )


# Slots.


async def test_it_does_not_refuse_a_full_capability_but_says_so(alder: Simulator, caller: Caller) -> None:
    alder.fault("echo", "hang", times=3)
    calls = [asyncio.create_task(caller.job("echo")) for _ in range(3)]
    while alder["echo"].in_flight < 3:
        await asyncio.sleep(0.005)
    assert alder["echo"].load == 3
    assert "available_capacity" not in (await caller.token("echo")).json()
    assert (await caller.job("echo")).status_code == 200
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize(("leaks", "load"), [(True, 1), (False, 0)])
async def test_it_notices_a_caller_that_hangs_up(leaks: bool, load: int) -> None:
    """The slot leaks, as it does in the Go orchestrator, unless that is switched off."""
    echo = Container("echo", fault="hang:times=1")
    async with (
        Simulator(capabilities=[echo], leaks=leaks) as alder,
        Caller(alder.service_uri, read_timeout=0.2) as caller,
    ):
        with pytest.raises(httpx.ReadTimeout):
            await caller.job("echo")
        assert alder.calls["echo"] == 1
        while alder["echo"].in_flight:
            await asyncio.sleep(0.005)
        assert alder["echo"].load == load


async def test_it_gives_a_worker_no_longer_than_the_jobs_time(alder: Simulator, caller: Caller) -> None:
    alder.fault("echo", "slow", seconds=30)
    answer = await caller.job("echo", path="x", timeout_seconds=-1)
    text = 'removing capability err=Post "http://127.0.0.1:5000/x": context deadline exceeded\n'
    assert is_go_error(answer, 500, f"job not able to be processed, {text}")
    assert alder["echo"].registered and alder["echo"].load == 1


# Registration.

SECRET = {"Authorization": "secret"}


async def test_it_registers_prices_and_frees_leaked_slots(alder: Simulator, caller: Caller) -> None:
    alder["echo"].load = 7
    body = {
        "name": "echo",
        "url": "http://w:5000",
        "capacity": 5,
        "price_per_unit": 2500,
        "price_scaling": 1000,
    }
    answer = await caller.http.post("/capability/register", json=body, headers=SECRET)
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["content-type"] == "application/json"
    token = (await caller.token("echo")).json()
    assert token["available_capacity"] == 5 and token["price"]["pricePerUnit"] == 2  # 2.5 wei, floored


async def test_it_serves_a_capability_that_registers_and_none_that_left(caller: Caller) -> None:
    new = {"name": "subtitle-burn", "capacity": 1, "price_per_unit": 1, "currency": "eth"}
    await caller.http.post("/capability/register", json=new, headers=SECRET)
    assert (await caller.token("subtitle-burn")).json()["price"]["pricePerUnit"] == 10**18
    assert (await caller.job("subtitle-burn", b"abc")).content == b"abc"
    left = await caller.http.post("/capability/unregister", content=b"subtitle-burn", headers=SECRET)
    assert left.text == "ok"
    assert is_go_error(await caller.job("subtitle-burn"), 503, NO_CAPACITY)
    assert (await caller.http.post("/capability/unregister", content=b"never", headers=SECRET)).text == "ok"


async def test_it_guards_registration(caller: Caller) -> None:
    for path in ("/capability/register", "/capability/unregister"):
        assert is_go_error(await caller.http.get(path), 405, "Method not allowed\n")
        refused = await caller.http.post(path, headers={"Authorization": "Bearer secret"})
        assert is_go_error(refused, 400, "invalid authorization\n")
    for body in (b"{", b"[]", b'{"name": "x", "capacity": "3"}', b'{"name": 3}'):
        refused = await caller.http.post("/capability/register", content=body, headers=SECRET)
        assert refused.status_code == 400
        assert refused.text.startswith("Error registering capability: ")
    with pytest.raises(httpx.TransportError):
        await caller.http.post("/capability/register", json={"name": "x", "currency": "USD"}, headers=SECRET)


# The simulator's own routes and life.


async def test_it_tells_what_it_has_seen(caller: Caller) -> None:
    await caller.job("echo", b"abc", path="p")
    state = (await caller.http.get("/simulator/state")).json()
    echo = state["capabilities"]["echo"]
    assert (echo["calls"], echo["in_flight"], echo["load"], echo["registered"]) == (1, 0, 0, True)
    assert echo["last"]["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert echo["last"]["livepeer"]["capability"] == "echo"
    assert echo["last"]["headers"]["content-type"] == "text/x" and echo["last"]["path"] == "p"


async def test_it_takes_faults_over_http(alder: Simulator, caller: Caller) -> None:
    busy = {"capability": "echo", "fault": "busy", "seconds": 7, "times": 1}
    answer = await caller.http.post("/simulator/faults", json=busy)
    assert answer.json() == {"capability": "echo", "fault": "busy:times=1,seconds=7.0"}
    refused = await caller.job("echo")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "7")
    assert (await caller.job("echo")).status_code == 200
    for wrong in ({"capability": "echo", "fault": "gremlins"}, {"capability": "x", "fault": "busy"}, []):
        answer = await caller.http.post("/simulator/faults", content=json.dumps(wrong).encode())
        assert answer.status_code == 400 and answer.json()["error"]
    assert (await caller.http.get("/simulator/elsewhere")).status_code == 404


async def test_it_comes_back_on_the_same_port(alder: Simulator, caller: Caller) -> None:
    assert "listening" in repr(alder)
    await alder.stop()
    with pytest.raises(httpx.ConnectError):
        await caller.job("echo")
    await alder.start()
    assert (await caller.job("echo")).status_code == 200
