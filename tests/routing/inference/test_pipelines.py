"""POST /text-to-image and its like: the stock AI gateway's routes, as aliases onto capabilities."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from orchestrators.simulator import Container, Simulator
from routing.api.pipelines import model_id_of
from routing.configuration import apply, export
from routing.models import Job
from routing.models.pipeline import PipelinePath
from tests.routing.inference.scenes import orchestrator
from tests.support.gateway import Gateway, in_thread

PAINT = {"slug": "paint", "profile": "warm", "price_ceiling": "none"}
PROMPT = {"prompt": "a fox", "model_id": "org/sd-turbo"}
FILES = {"image": ("fox.png", b"\x89PNG\r\n\r\n--not a boundary\r\n" * 5000, "image/png")}


def alias(path: str = "text-to-image", **fields: Any) -> dict[str, Any]:
    return {"path": path, "capability": "paint", **fields}


async def painted_by(gateway: Gateway, *offers: tuple[Simulator, str], **fields: Any) -> None:
    """`paint`, offered by each under a wire name, at the path of every pipeline."""
    await gateway.apply(
        {
            "capabilities": [PAINT],
            "orchestrators": [
                orchestrator(each, {"capability": "paint", "wire_name": name}) for each, name in offers
            ],
            "pipelines": [alias(path, **fields) for path in PipelinePath.values],
        }
    )
    await gateway.probe()


def painter(name: str, *wire_names: str, kind: str = "ai-worker", price: int = 1) -> Simulator:
    return Simulator(name, capabilities=[Container(each, kind=kind, price=price) for each in wire_names])


async def told(answer: httpx.Response) -> Job:
    return await Job.objects.aget(pk=answer.headers["x-request-id"])


# --- what passes ---------------------------------------------------------------------------------


async def test_each_path_leads_to_the_container_at_the_same_path(gateway: Gateway) -> None:
    """JSON byte for byte, there and back; the model is written down (R30)."""
    body = {"model_id": "org/any", "prompt": "é", "image": 1, "audio": 1, "text": "x", "messages": 1}
    sent = json.dumps(body, ensure_ascii=False).encode()
    headers = {"content-type": "application/json; charset=utf-8"}
    async with painter("alder", "paint") as alder:
        await painted_by(gateway, (alder, "paint"))
        for path in PipelinePath.values:
            answer = await gateway.post(f"/{path}?ignored=1", content=sent, headers=headers)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), path
        received = [(job.path.decode(), job.work.body) for job in alder.jobs]
        await gateway.drained()
        rows = [
            row async for row in Job.objects.order_by("at").values_list("capability", "worker_path", "model_id")
        ]

    assert received == [(path, sent) for path in PipelinePath.values]
    assert rows == [("paint", path, "org/any") for path in PipelinePath.values]


async def test_forms_pass_byte_for_byte(gateway: Gateway) -> None:
    """Longer than what is read ahead of it, and also where no memory is left for other attempts."""
    request = httpx.Request("POST", "http://x", data=PROMPT, files=FILES)
    body, kind = request.read(), request.headers["content-type"]
    async with painter("alder", "paint", kind="echo") as alder:
        await painted_by(gateway, (alder, "paint"))
        for memory in (gateway.runtime.replay_memory.limit, 0):
            gateway.runtime.replay_memory.limit = memory
            answer = await gateway.post("/image-to-image", content=body, headers={"content-type": kind})
            assert (answer.content, answer.headers["content-type"]) == (body, kind)
        await gateway.drained()
        job = await told(answer)

    assert len(body) > 100_000
    assert job.model_id == "org/sd-turbo"


# --- the model -----------------------------------------------------------------------------------


async def test_no_model_is_routed_on(gateway: Gateway) -> None:
    """R30: whatever a client calls it, the capability's offers compete."""
    async with painter("alder", "dear", price=100) as alder, painter("cedar", "cheap") as cedar:
        await painted_by(gateway, (alder, "dear"), (cedar, "cheap"))
        gateway.runtime.service._draw = lambda: 0.0
        for model in ("dear", "org/dear", ""):
            assert (await gateway.post("/text-to-image", json=PROMPT | {"model_id": model})).status_code == 200

    assert (len(alder.jobs), len(cedar.jobs)) == (0, 3)


async def test_of_a_models_name_no_more_is_written_down_than_there_is_room_for(gateway: Gateway) -> None:
    """The latest calls are remembered by their lines."""
    async with painter("alder", "a") as alder:
        await painted_by(gateway, (alder, "a"))
        answer = await gateway.post("/text-to-image", json=PROMPT | {"model_id": "x" * 50_000})

    record = gateway.runtime.journal.recall(answer.headers["x-request-id"])
    assert record is not None and record.model_id == "x" * 200


async def test_the_operator_may_say_which_offers_a_model_means(gateway: Gateway) -> None:
    """A model id that is mapped goes to offers of that wire name alone, and to nobody else if they fail."""
    async with painter("alder", "dear", price=100) as alder, painter("cedar", "cheap") as cedar:
        await painted_by(gateway, (alder, "dear"), (cedar, "cheap"), wire_names={"org/sd-turbo": "dear"})
        gateway.runtime.service._draw = lambda: 0.0
        other = await gateway.post("/text-to-image", json=PROMPT | {"model_id": "org/other"})
        meant = await gateway.post("/text-to-image", json=PROMPT)
        form = await gateway.post("/image-to-image", data=PROMPT, files=FILES)
        alder.fault("dear", "server_error")
        failed = await gateway.post("/text-to-image", json=PROMPT)

    assert [each.status_code for each in (meant, form, other, failed)] == [200, 200, 200, 502]
    assert len(cedar.jobs) == 1


BOUNDARY = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("content_type", "head", "model"),
    [
        ("application/json", b'{"prompt": 1, "model_id": "a/b"}', "a/b"),
        ("", b'{"model": "a/b"}', "a/b"),
        ("application/json", b'{"model_id": 7}', ""),
        ("application/json", b'{"model_id": null}', ""),
        ("application/json", b'["model_id"]', ""),
        ("application/json", b'{"model_id": "a/b"', ""),
        ("application/json", b'{"model_id": "\xff"}', ""),
        (BOUNDARY, b'--x\r\nContent-Disposition: form-data; name="model_id"\r\n\r\na/b\r\n--x--\r\n', "a/b"),
        (BOUNDARY, b"--x\r\ncontent-disposition: form-data; name=model_id\r\n\r\na/b\r\n--x--\r\n", "a/b"),
        (BOUNDARY, b'--x\r\nContent-Disposition: form-data; name="my_model_id"\r\n\r\na/b\r\n--x--\r\n', ""),
        (BOUNDARY, b'--x\r\nContent-Disposition: form-data; name="model_id"\r\n\r\na/', ""),
        ("multipart/form-data", b'--\r\nContent-Disposition: form-data; name="model_id"\r\n\r\na\r\n--', ""),
        (BOUNDARY, b'--x\r\nA: Content-Disposition: form-data; name="model_id"\r\n\r\na/b\r\n--x--\r\n', ""),
        ("application/json", b'{"a": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", ""),
        ("text/plain", b"model_id", ""),
    ],
)
def test_the_model_is_read_and_never_guessed(content_type: str, head: bytes, model: str) -> None:
    assert model_id_of(content_type, head) == model


@pytest.mark.parametrize(
    ("content_type", "head"),
    [
        (BOUNDARY, b"--x\r\n" + b"content-disposition:" * 3_000 + b"\r\n--x--\r\n"),
        (BOUNDARY, b"--x\r\ncontent-disposition:" + b";name=mode" * 6_000 + b"\r\n--x--\r\n"),
        (BOUNDARY, b"--x" * 20_000),
        (BOUNDARY + ";" * 1_000_000, b"--x--"),
    ],
)
def test_nothing_makes_reading_it_long(content_type: str, head: bytes) -> None:
    """Every other call would wait for that: seconds, where a search took the square of its length."""
    began = time.process_time()
    model_id_of(content_type, head)
    assert time.process_time() - began < 0.5


# --- how errors are told -------------------------------------------------------------------------


async def test_the_containers_own_errors_are_json_again(gateway: Gateway) -> None:
    """A BYOC orchestrator calls every error text; `livepeer-ai` reads JSON of its own shape alone (8.2)."""
    async with painter("alder", "paint") as alder:
        await painted_by(gateway, (alder, "paint"))
        empty = await gateway.post("/text-to-image", json={"prompt": ""})
        missing = await gateway.post("/text-to-image", json={})
        plain = await gateway.post("/v1/capabilities/paint/text-to-image", json={})

    assert (empty.status_code, empty.json()) == (400, {"detail": {"msg": "prompt must not be empty."}})
    wanted = [{"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}]
    assert (missing.status_code, missing.json()) == (422, {"detail": wanted})
    assert {each.headers["content-type"] for each in (empty, missing)} == {"application/json"}
    assert plain.headers["content-type"].startswith("text/plain"), "elsewhere nothing is touched"


async def test_errors_of_another_shape_are_put_into_it(gateway: Gateway) -> None:
    async with painter("alder", "paint") as alder:
        await painted_by(gateway, (alder, "paint"))
        answers = []
        for status in (400, 422):
            alder.fault("paint", "bad_input", status=status)
            answers.append(await gateway.post("/text-to-image", json=PROMPT))

    assert [each.status_code for each in answers] == [400, 422]
    assert isinstance(answers[0].json()["detail"]["msg"], str)
    assert {"loc", "msg", "type"} <= answers[1].json()["detail"][0].keys()


async def test_the_gateways_own_errors_have_the_shape_too(gateway: Gateway) -> None:
    """With the members that every refusal has beside it; on these routes only."""
    async with painter("alder", "paint") as alder:
        await painted_by(gateway, (alder, "paint"))
        alder.fault("paint", "server_error")
        failed = await gateway.post("/text-to-image", json=PROMPT)
        await gateway.apply({"pipelines": [alias("llm")]})
        await in_thread(lambda: apply({"pipelines": [alias("llm")]}, who="test", prune=True))
        await gateway.runtime.refresh()
        nowhere = await gateway.post("/text-to-image", json=PROMPT)
        wrong = await gateway.get("/llm")
        stranger = await gateway.http.post("/llm", json=PROMPT)
        elsewhere = await gateway.http.post("/v1/capabilities/paint", json=PROMPT)

    expected = [(failed, 502, "exhausted"), (nowhere, 404, "no_such_capability")]
    expected += [(wrong, 405, "method_not_allowed"), (stranger, 401, "unauthenticated")]
    for answer, status, code in expected:
        document = answer.json()
        assert (answer.status_code, document["code"]) == (status, code)
        assert document["detail"]["msg"]
        assert answer.headers["content-type"] == "application/json"
        assert document["request_id"] == answer.headers["x-request-id"]
    assert isinstance(elsewhere.json()["detail"], str)


# --- configuration -------------------------------------------------------------------------------


@pytest.mark.django_db
def test_pipelines_are_configuration() -> None:
    """Applied, exported, pruned; a capability that one leads to stays."""
    said = [alias("llm"), alias(wire_names={"org/sd-turbo": "dear"})]
    assert apply({"capabilities": [PAINT], "pipelines": said}, who="ada").errors == []
    assert export()["pipelines"] == said
    assert apply(export(), who="ada", prune=True).changes == []
    kept = apply({"capabilities": [], "pipelines": said}, who="ada", prune=True).kept
    assert "capability paint stays: a pipeline leads to it." in kept
    assert "- pipeline llm" in apply({"pipelines": said[1:]}, who="ada", prune=True).changes


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"path": "text-to-song"}, "pipelines[0].path: Value 'text-to-song' is not a valid choice."),
        ({"capability": "nobody"}, "pipelines[0].capability: there is no capability nobody."),
        ({"wire_names": ["a"]}, "pipelines[0].wire_names: Must be an object"),
        ({"wire_names": {"a": ""}}, "pipelines[0].wire_names: Must be an object"),
    ],
)
def test_what_is_wrong_with_one_is_said(fields: dict[str, Any], error: str) -> None:
    (found,) = apply({"capabilities": [PAINT], "pipelines": [alias() | fields]}, who="ada").errors
    assert found.startswith(error)
