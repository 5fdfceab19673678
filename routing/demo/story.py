"""The demo's story: every step says what it does, does it, and checks what came."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings

from routing.demo.stage import HOME, Failed, Stage, indented

PHOTO = settings.BASE_DIR / "orchestrators" / "simulator" / "photo.jpg"


def reverses_a_text(stage: Stage) -> None:
    stage.say(
        "\n1. A text is reversed. Of three healthy orchestrators two are drawn, and the cheaper is asked."
    )
    answer = stage.post(
        "/v1/capabilities/text-reversal/reverse-text", json={"text": "bring your own container"}
    )
    expect(answer.status_code == 200, f"status {answer.status_code}: {answer.text}")
    expect(answer.json()["reversed"] == "reniatnoc nwo ruoy gnirb", answer.text)
    stage.say(f"   -> {answer.json()['reversed']!r}{timings(answer)}")


def segments_the_photo(stage: Stage) -> None:
    stage.say("\n2. The photograph is segmented. Birch is cheap but cold: it may take its time, once.")
    answer = stage.post("/v1/capabilities/segmentation/", content=PHOTO.read_bytes(), headers=JPEG)
    keep_picture(answer, HOME / "segmented.png", b"\x89PNG")
    stage.say(f"   -> {len(answer.content):,} bytes of {answer.headers['content-type']}{timings(answer)}")


def styles_the_photo(stage: Stage) -> None:
    stage.say("\n3. The photograph is painted, over the stock gateway's own route and job header.")
    header = {"livepeer": job_header("style-transfer")}
    answer = stage.post("/process/request/paint", content=PHOTO.read_bytes(), headers=JPEG | header)
    keep_picture(answer, HOME / "styled.jpg", b"\xff\xd8")
    expect("livepeer-balance" in answer.headers, "no Livepeer-Balance")
    stage.say(f"   -> {len(answer.content):,} bytes of {answer.headers['content-type']}{timings(answer)}")


def streams_events(stage: Stage) -> None:
    stage.say("\n4. A stream of events passes through as it comes.")
    url = f"{stage.url}/v1/capabilities/text-reversal/reverse-stream"
    headers = {"authorization": f"Bearer {stage.key}"}
    began, seen = time.monotonic(), []
    with httpx.stream("POST", url, headers=headers, json={"text": "one two three four"}, timeout=60) as answer:
        expect(answer.status_code == 200, f"status {answer.status_code}")
        for line in answer.iter_lines():
            if line.startswith("data:"):
                seen.append((time.monotonic() - began, line))
    for at, line in seen:
        stage.say(f"   {at * 1000:6.0f} ms  {line}")
    expect(
        [line for _, line in seen[:4]] == [f'data: {{"word": "{w}"}}' for w in ("eno", "owt", "eerht", "ruof")],
        f"the events were {seen}",
    )
    expect(seen[3][0] - seen[0][0] > 0.2, "the events came all at once")
    expect(seen[-1][1] == "data: [DONE]", "no [DONE]")


def fails_over(stage: Stage) -> None:
    stage.say("\n5. Cedar is the cheapest for depth, and its GPU has just run out of memory.")
    stage.simulators["cedar"].fault("depth", "gpu_oom")
    answer = stage.post("/v1/capabilities/depth", json={"image": "a picture"})
    expect(
        answer.status_code == 200 and "depth" in answer.json(), f"status {answer.status_code}: {answer.text}"
    )
    expect(answer.headers["x-byocgw-attempts"] == "2", f"attempts {answer.headers['x-byocgw-attempts']}")
    expect(answer.headers["x-orchestrator-url"] == stage.simulators["alder"].service_uri, "Alder did not serve")
    stage.say(f"   -> 200 all the same: Alder served it{timings(answer)}")


def obeys_the_ceiling(stage: Stage) -> None:
    stage.say("\n6. For pose the ceiling is 1 wei a second, and everybody asks for more.")
    answer = stage.post("/v1/capabilities/pose", json={"image": "a picture"})
    problem = expect_problem(answer, 503, "none_available")
    expect(problem["reasons"] == {"price_ceiling": 3}, answer.text)
    stage.say(f"   -> 503, Retry-After {answer.headers['retry-after']}: {problem['detail']}")


def tells_when_everybody_is_down(stage: Stage) -> None:
    stage.say(
        "\n7. Everybody fails: a crash here, a wrong answer there. A typed error each time, never an empty 200."
    )
    for name, fault in (("alder", "wrong_schema"), ("cedar", "crash")):
        stage.simulators[name].fault("depth", fault)
    for attempt in range(1, 4):
        answer = stage.post("/v1/capabilities/depth", json={"image": "a picture"})
        problem = answer.json()
        expect(answer.status_code in (502, 503), f"status {answer.status_code}: {answer.text}")
        expect(problem["request_id"] == answer.headers["x-request-id"], "no request id")
        stage.say(f"   {attempt}. {answer.status_code} {problem['code']}: {problem['detail']}")


def explains_itself(stage: Stage) -> None:
    stage.say("\n8. And why?\n$ manage.py explain text-reversal; manage.py explain depth")
    for capability in ("text-reversal", "depth"):
        stage.say(indented(stage.manage("explain", capability)))
    found = json.loads(stage.manage("explain", "pose", "--json"))
    expect({each["reason"] for each in found["refused"]} == {"price_ceiling"}, str(found))


STORY: list[Callable[[Stage], None]] = [
    reverses_a_text,
    segments_the_photo,
    styles_the_photo,
    streams_events,
    fails_over,
    obeys_the_ceiling,
    tells_when_everybody_is_down,
    explains_itself,
]
JPEG = {"content-type": "image/jpeg"}


def job_header(capability: str) -> str:
    job = {"request": "{}", "capability": capability, "timeout_seconds": 30}
    return base64.b64encode(json.dumps(job).encode()).decode()


def expect(came_true: bool, otherwise: str) -> None:
    if not came_true:
        raise Failed(otherwise)


def expect_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    expect(answer.status_code == status, f"status {answer.status_code}: {answer.text}")
    problem: dict[str, Any] = answer.json()
    expect(answer.headers["content-type"] == "application/problem+json", answer.headers["content-type"])
    expect(problem["code"] == code, answer.text)
    return problem


def keep_picture(answer: httpx.Response, file: Path, magic: bytes) -> None:
    expect(answer.status_code == 200, f"status {answer.status_code}: {answer.text[:500]}")
    expect(answer.content.startswith(magic), f"not a picture: {answer.content[:20]!r}")
    file.write_bytes(answer.content)


def timings(answer: httpx.Response) -> str:
    return f"\n   {answer.headers['server-timing']}"
