"""`livepeer-ai` 0.10.0, unmodified, against the pipeline routes: its results and the exceptions it raises.

Without the shape that `routing/api/pipelines.py` gives errors, it raises pydantic's ValidationError for a 400,
401, 422 or 500, which no caller takes for an answer of the API.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from orchestrators.simulator import Container, Simulator
from routing.models.pipeline import PipelinePath
from tests.clients.driven import Driven
from tests.clients.environments import environment
from tests.routing.inference.scenes import only_cheapest_first, orchestrator
from tests.support.gateway import Gateway

pytestmark = pytest.mark.long

FILE = {"bytes": "\x89PNG" * 30_000}
PROMPT = {"prompt": "a fox", "model_id": "org/sd-turbo"}
CALLS: dict[str, dict[str, Any]] = {
    "text_to_image": PROMPT,
    "image_to_image": {**PROMPT, "image": FILE},
    "image_to_video": {"image": FILE, "model_id": ""},
    "upscale": {**PROMPT, "image": FILE},
    "audio_to_text": {"audio": FILE},
    "segment_anything2": {"image": FILE},
    "llm": {"model": "org/any", "messages": [{"role": "user", "content": "yes?"}]},
    "image_to_text": {"image": FILE},
    "text_to_speech": {"text": "one two", "model_id": "org/voice", "description": ""},
}
RESULTS = {
    "text_to_image": ("image_response", "images"),
    "image_to_image": ("image_response", "images"),
    "image_to_video": ("video_response", "images"),
    "upscale": ("image_response", "images"),
    "audio_to_text": ("text_response", "chunks"),
    "segment_anything2": ("masks_response", "masks"),
    "llm": ("llm_response", "choices"),
    "image_to_text": ("image_to_text_response", "text"),
    "text_to_speech": ("audio_response", "audio"),
}


@pytest.fixture(scope="module")
def python() -> Path:
    return environment("livepeer-ai")


@pytest_asyncio.fixture
async def client(python: Path) -> AsyncIterator[Driven]:
    async with Driven(python, Path(__file__).with_name("drive_livepeer_ai.py")) as running:
        yield running


async def painted_by(gateway: Gateway, *simulators: Simulator, **client: Any) -> None:
    await gateway.apply(
        {
            "capabilities": [{"slug": "paint", "profile": "warm", "price_ceiling": "none"}],
            "orchestrators": [orchestrator(each, "paint") for each in simulators],
            "pipelines": [{"path": path, "capability": "paint"} for path in PipelinePath.values],
            "tiers": [{"slug": "slow", "requests_per_minute": 1}],
            "clients": [{"name": "acme"}, {"name": "slow", "tier": "slow"}],
        }
    )
    await gateway.probe()


def painter(name: str, price: int) -> Simulator:
    return Simulator(name, capabilities=[Container("paint", kind="ai-worker", price=price)])


async def test_every_operation_gets_its_result(gateway: Gateway, client: Driven) -> None:
    """Also its asynchronous twin; and the answer comes from another orchestrator when the first fails."""
    async with painter("alder", 100) as alder, painter("cedar", 1) as cedar:
        await painted_by(gateway, alder, cedar)
        only_cheapest_first(gateway)
        cedar.fault("paint", "gpu_oom", times=1)
        told = {
            name: await client.ask(url=gateway.url, key=gateway.key, operation=name, request=request)
            for name, request in CALLS.items()
        }
        later = await client.ask(
            url=gateway.url, key=gateway.key, operation="text_to_image_async", request=PROMPT, later=True
        )
        attempts = sum(map(len, (alder.jobs, cedar.jobs)))

    for name, answer in told.items():
        assert answer.get("status") == 200, (name, answer)
        member, part = RESULTS[name]
        assert answer["result"][member][part], (name, answer)
    assert later["result"] == told["text_to_image"]["result"]
    assert attempts == len(CALLS) + 2, "the one that failed over was asked twice"


async def test_what_goes_wrong_is_raised_as_the_package_means_it(gateway: Gateway, client: Driven) -> None:
    """HTTPError and HTTPValidationError where it has words for it, SDKError with the status elsewhere."""

    async def ask(key: str = "", **request: Any) -> dict[str, Any]:
        return await client.ask(
            url=gateway.url, key=key or gateway.key, operation="text_to_image", request=PROMPT | request
        )

    async with painter("alder", 1) as alder:
        await painted_by(gateway, alder)
        slow = await gateway.issue_key("slow")
        empty = await ask(prompt="")
        alder.fault("paint", "bad_input", status=422)
        invalid = await ask()
        alder.fault("paint", "none")
        stranger = await ask(key="byoc_nobody")
        await ask(key=slow)
        limited = await ask(key=slow)
        alder.fault("paint", "server_error")
        failed = await ask()
        nobody = await ask()

    assert empty["raised"] == "livepeer_ai.HTTPError"
    assert empty["data"] == {"detail": {"msg": "prompt must not be empty."}}
    assert invalid["raised"] == "livepeer_ai.HTTPValidationError"
    assert invalid["data"]["detail"][0]["msg"]
    assert stranger["raised"] == "livepeer_ai.HTTPError"
    assert "unknown" in stranger["data"]["detail"]["msg"]
    for told, status, code in ((limited, 429, "rate_limited"), (failed, 502, "exhausted")):
        assert (told["raised"], told["status"]) == ("livepeer_ai.SDKError", status)
        assert code in told["body"]
    assert nobody["raised"] == "livepeer_ai.SDKError" and nobody["status"] in (502, 503)
