"""What the simulator's containers do, behind an orchestrator and bare."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from orchestrators.simulator import Container, Simulator
from tests.support.livepeer import Caller

PHOTO = (Path(__file__).parents[2] / "orchestrators" / "simulator" / "photo.jpg").read_bytes()
IMAGES = {"segmentation": ("image/png", "PNG"), "style-transfer": ("image/jpeg", "JPEG")}
EVERYTHING = ("text-reversal", "text-stream", "segmentation", "style-transfer", "depth", "echo")


@pytest.fixture
async def birch() -> AsyncIterator[Simulator]:
    capabilities = [Container(name) for name in EVERYTHING]
    async with Simulator(name="birch", capabilities=capabilities, protocol="direct") as birch:
        yield birch


@pytest.fixture
async def http(birch: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=birch.service_uri, trust_env=False, timeout=30) as http:
        yield http


async def test_it_reverses_text(http: httpx.AsyncClient) -> None:
    answer = await http.post("/text-reversal/reverse-text", json={"text": "abc é"})
    assert answer.json() == {"original": "abc é", "reversed": "é cba"}
    assert answer.headers["x-metadata"] == '{"characters": 5}'


async def test_it_streams_reversed_words_one_by_one() -> None:
    text = {"text": "one two three"}
    stream = Container("text-stream", pace=0.05)
    async with Simulator(capabilities=[stream]) as alder, Caller(alder.service_uri) as caller:
        started = asyncio.get_running_loop().time()
        answer = await caller.job("text-stream", text, path="reverse-stream")
        assert asyncio.get_running_loop().time() - started >= 0.095
    assert [json.loads(line[6:]) for line in answer.text.splitlines() if "word" in line] == [
        {"word": "eno"},
        {"word": "owt"},
        {"word": "eerht"},
    ]


async def test_it_streams_nothing_for_no_words(http: httpx.AsyncClient) -> None:
    answer = await http.post("/text-reversal/reverse-stream", json={"text": ""})
    assert answer.text == "data: [DONE]\n\n" and answer.headers["content-type"] == "text/event-stream"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"text": 3}', b"\xff"])
async def test_it_refuses_other_input(http: httpx.AsyncClient, body: bytes) -> None:
    answer = await http.post("/text-reversal/reverse-text", content=body)
    assert answer.status_code == 422 and answer.json()["detail"][0]["loc"][0] == "body"


@pytest.mark.parametrize("path", ["", "text-reversal", "reverse-text/", "reverse-text/more"])
async def test_it_has_no_other_worker_paths(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.post(f"/text-reversal/{path}", json={"text": "x"})
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


async def test_it_estimates_depth_from_any_string(http: httpx.AsyncClient) -> None:
    answers = [(await http.post("/depth", json={"image": image})).json() for image in ("a", "a", "b")]
    assert answers[0] == answers[1] != answers[2]
    assert len(answers[0]["depth"]) == answers[0]["width"] * answers[0]["height"] == 64
    assert all(0 <= value <= 1 for value in answers[0]["depth"])


async def test_it_echoes_bytes_and_content_type(http: httpx.AsyncClient) -> None:
    body = bytes(range(256)) * 8000
    answer = await http.post("/echo/anything/at%20all", content=body, headers={"Content-Type": "a/b; c=d"})
    assert answer.content == body and answer.headers["content-type"] == "a/b; c=d"


@pytest.mark.parametrize("name", IMAGES)
async def test_it_works_on_a_photograph(http: httpx.AsyncClient, name: str) -> None:
    pillow = pytest.importorskip("PIL.Image")
    answer = await http.post(f"/{name}", content=PHOTO)
    content_type, kind = IMAGES[name]
    assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)
    made, photo = pillow.open(io.BytesIO(answer.content)), pillow.open(io.BytesIO(PHOTO))
    assert (made.format, made.size) == (kind, photo.size)
    assert made.convert("RGB").tobytes() != photo.convert("RGB").tobytes()


async def test_it_takes_any_image_of_a_bounded_size(http: httpx.AsyncClient) -> None:
    pillow = pytest.importorskip("PIL.Image")
    for size in ((1, 1), (2000, 10)):
        sent = io.BytesIO()
        pillow.new("RGBA", size, (200, 30, 30, 128)).save(sent, "PNG")
        answer = await http.post("/segmentation", content=sent.getvalue())
        assert answer.status_code == 200
        assert max(pillow.open(io.BytesIO(answer.content)).size) <= 1024
    vast = io.BytesIO()
    pillow.new("1", (8000, 8000)).save(vast, "PNG")
    answer = await http.post("/segmentation", content=vast.getvalue())
    assert (answer.status_code, answer.json()["detail"]["msg"]) == (400, "The image has too many pixels.")


@pytest.mark.parametrize("body", [b"", b"not an image", PHOTO[:2000]])
async def test_it_refuses_what_is_no_image(http: httpx.AsyncClient, body: bytes) -> None:
    pytest.importorskip("PIL.Image")
    answer = await http.post("/style-transfer", content=body)
    assert answer.status_code == 400
    assert answer.json() == {"detail": {"msg": "The body is not a PNG, JPEG or WebP image."}}


async def test_it_says_what_to_install_for_images(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    answer = await http.post("/segmentation", content=PHOTO)
    assert answer.status_code == 500 and "requirements-demo.txt" in answer.text


async def test_it_runs_echo_under_any_other_name_and_another_kind_on_demand() -> None:
    capabilities = [Container("subtitle-burn"), Container("face-depth", kind="depth", latency=0.05)]
    async with Simulator(capabilities=capabilities) as alder, Caller(alder.service_uri) as caller:
        assert (await caller.job("subtitle-burn", b"abc")).content == b"abc"
        started = asyncio.get_running_loop().time()
        assert "depth" in (await caller.job("face-depth", {"image": "x"})).json()
        assert asyncio.get_running_loop().time() - started >= 0.045
    with pytest.raises(ValueError, match="There is no container 'teapot'. Known: text-reversal"):
        Simulator(capabilities=[Container("x", kind="teapot")])


# Without an orchestrator in front.


async def test_it_serves_a_lone_container_at_the_root() -> None:
    echo = [Container("text-reversal")]
    async with Simulator(capabilities=echo, protocol="direct") as birch, Caller(birch.service_uri) as caller:
        answer = await caller.http.post("/reverse-text", json={"text": "ab"})
        assert answer.json()["reversed"] == "ba"
        assert birch.jobs[-1].path == b"reverse-text" and birch.calls["text-reversal"] == 1
        assert (await caller.http.get("/health")).json() == {"status": "IDLE"}


async def test_it_tells_its_health(birch: Simulator, http: httpx.AsyncClient) -> None:
    async def health(name: str) -> object:
        return (await http.get(f"/{name}/health")).json()["status"]

    assert await health("echo") == "IDLE"
    birch.fault("echo", "hang")
    call = asyncio.create_task(http.post("/echo"))
    while not birch["echo"].in_flight:
        await asyncio.sleep(0.005)
    assert await health("echo") == "OK"
    call.cancel()
    birch.fault("echo", "server_error")
    assert await health("echo") == "ERROR"
    birch.fault("echo", "cold_start", loading=True)
    assert await health("echo") == "LOADING"
    birch.fault("echo", "rate_limited", look=True)
    assert (await http.get("/echo/health")).status_code == 429
    assert birch.looks["echo"] == 5


async def test_it_gives_no_sign_of_life_after_a_crash(birch: Simulator, http: httpx.AsyncClient) -> None:
    """R65: a direct container resets."""
    birch.fault("echo", "crash")
    for method, path in (("POST", "/echo"), ("GET", "/echo/health"), ("POST", "/echo")):
        with pytest.raises(httpx.ReadError):
            await http.request(method, path)
    birch.fault("echo", "none")
    assert (await http.post("/echo", content=b"back")).content == b"back"


async def test_it_answers_errors_as_the_container_says_them(birch: Simulator, http: httpx.AsyncClient) -> None:
    birch.fault("echo", "busy", seconds=3)
    answer = await http.post("/echo")
    assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (503, "busy", "3")
    assert (await http.post("/nowhere")).json() == {"detail": "Not Found"}
    assert (await http.put("/echo")).status_code == 405
