"""A thousand mixed requests at once, while one orchestrator fails in every way it can."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
from django.db.models import Sum

from orchestrators.models import OfferHealth, RoutingProfile
from orchestrators.simulator import Container, Simulator
from routing.models import Attempt, Job, UsageHour
from tests.routing.inference.scenes import PICTURE, job_header, orchestrator
from tests.support.gateway import Gateway, in_thread

CONCURRENCY = 32
ROUND = 48
# Cedar's fault of each round, and the class it shows as; None: it works.
ROUNDS: tuple[tuple[str, dict[str, Any], str | None], ...] = (
    ("none", {}, None),
    ("crash", {}, "container_crash"),
    ("gpu_oom", {}, "gpu_oom"),
    ("wrong_schema", {}, "api_mismatch"),
    ("wrong_content_type", {}, "api_mismatch"),
    ("empty", {}, "api_mismatch"),
    ("busy", {}, "busy"),
    ("cold_start", {"loading": True, "seconds": 60}, "cold_start"),
    ("hang", {}, "timeout"),
    ("refused_worker", {}, "container_crash"),
    ("timeout_text", {}, "timeout"),
    ("rate_limited", {}, "busy"),
    ("server_error", {}, "upstream_error"),
    ("credentials", {}, "rejected"),
    ("balance", {}, "rejected"),
    ("no_capacity", {}, "not_claimed"),
    ("slow", {"seconds": 0.2}, None),
    ("gpu_oom", {"probability": 0.3}, "gpu_oom"),
    ("crash", {"times": 1}, "container_crash"),
    ("none", {}, None),
    ("busy", {"probability": 0.5}, "busy"),
)
POLICY = {
    "profile": "warm",
    "price_ceiling": "none",
    "max_in_flight": 32,
    "cold_grace": 0,
    "value_of_second": 0,
}
# Seconds for an attempt: a busy machine must not make a sound orchestrator time out; who hangs takes all of it.
PATIENT, WAITING = 15.0, 1.5
CAPABILITIES: list[dict[str, Any]] = [
    {
        "slug": "depth",
        "response": {
            "content_types": ["application/json"],
            "schema": {"type": "object", "required": ["depth"]},
        },
        "sample_request": {"content_type": "application/json", "path": "", "body": PICTURE},
    },
    {
        "slug": "echo",
        "response": {"content_types": ["application/octet-stream"]},
        "sample_request": {"content_type": "application/octet-stream", "path": "", "body": "AAAA"},
    },
    {
        "slug": "text-stream",
        "response": {"content_types": ["text/event-stream"]},
        "sample_request": {
            "content_type": "application/json",
            "path": "reverse-stream",
            "body": {"text": "abc"},
        },
    },
]
SLUGS = [each["slug"] for each in CAPABILITIES]


def node(name: str, price: int) -> Simulator:
    return Simulator(
        name, capabilities=[Container(slug, price=price, capacity=64) for slug in SLUGS], leaks=False
    )


async def ask_json(gateway: Gateway, number: int) -> tuple[httpx.Response, bool]:
    answer = await send(gateway, "depth", "", number, json={"image": f"picture {number}"})
    return answer, answer.status_code == 200 and len(answer.json()["depth"]) == 64


async def ask_binary(gateway: Gateway, number: int) -> tuple[httpx.Response, bool]:
    body = hashlib.sha256(b"%d" % number).digest() * (1 + 500 * (number % 9))
    answer = await send(gateway, "echo", "", number, content=body, type="application/octet-stream")
    return answer, answer.status_code == 200 and answer.content == body


async def ask_events(gateway: Gateway, number: int) -> tuple[httpx.Response, bool]:
    answer = await send(gateway, "text-stream", "reverse-stream", number, json={"text": f"one two {number}"})
    words = [json.dumps({"word": word[::-1]}) for word in ("one", "two", str(number))]
    whole = all(f"data: {word}\n\n" in answer.text for word in words) and "data: [DONE]" in answer.text
    return answer, answer.status_code == 200 and whole


KINDS: tuple[Callable[[Gateway, int], Awaitable[tuple[httpx.Response, bool]]], ...] = (
    *(ask_json, ask_binary, ask_events),
)


async def send(
    gateway: Gateway, slug: str, path: str, number: int, *, type: str = "application/json", **body: Any
) -> httpx.Response:
    """On either route, turn by turn."""
    headers = {"content-type": type}
    if number // len(KINDS) % 2:
        return await gateway.post(f"/process/request/{path}", headers=headers | job_header(slug), **body)
    return await gateway.post(f"/v1/capabilities/{slug}/{path}".rstrip("/"), headers=headers, **body)


def is_typed(answer: httpx.Response) -> bool:
    if answer.headers.get("content-type") != "application/problem+json":
        return False
    problem = answer.json()
    return (
        answer.status_code == problem["status"] >= 500
        and problem["code"] in ("exhausted", "none_available", "deadline")
        and problem["request_id"] == answer.headers["x-request-id"]
    )


async def nobody_is_busy(gateway: Gateway) -> None:
    """The Retry-After of the round before is over."""
    offers = [offer for slug in SLUGS for offer in gateway.runtime.table.offers_of(slug)]
    while any(gateway.runtime.board.live(offer.id).health.busy_until > time.time() for offer in offers):
        await asyncio.sleep(0.05)


async def offer(gateway: Gateway, attempt_timeout: float, *everyone: Simulator) -> None:
    policy = POLICY | {"attempt_timeout": attempt_timeout}
    await gateway.apply(
        {
            "capabilities": [policy | each for each in CAPABILITIES],
            "orchestrators": [orchestrator(each, *SLUGS) for each in everyone],
        }
    )


async def play(gateway: Gateway, cedar: Simulator, *sound: Simulator) -> list[tuple[httpx.Response, bool]]:
    """All rounds, each begun with a Cedar that a probe has found well again."""
    gate = asyncio.Semaphore(CONCURRENCY)
    numbers: Iterator[int] = iter(range(ROUND * len(ROUNDS)))

    async def one(number: int) -> tuple[httpx.Response, bool]:
        async with gate:
            return await KINDS[number % len(KINDS)](gateway, number)

    answers = []
    for fault, options, _ in ROUNDS:
        for slug in SLUGS:
            cedar.fault(slug, "none")
        await offer(gateway, WAITING if fault == "hang" else PATIENT, cedar, *sound)
        await gateway.drained()
        await gateway.probe()
        await nobody_is_busy(gateway)
        for slug in SLUGS:
            cedar.fault(slug, fault, **options)
        answers += await asyncio.gather(*(one(next(numbers)) for _ in range(ROUND)))
    return answers


async def test_it_loses_nothing(gateway: Gateway) -> None:
    """R63 to R68 under load: good answers or typed problems, seats, rows and sums all accounted for."""
    gateway.http = httpx.AsyncClient(
        base_url=gateway.url, timeout=30, trust_env=False, limits=httpx.Limits(max_connections=CONCURRENCY)
    )
    async with node("cedar", 1) as cedar, node("alder", 500) as alder, node("birch", 600) as birch:
        await in_thread(lambda: RoutingProfile.objects.update(latency_target_ms=30_000))  # nobody is slow
        answers = await play(gateway, cedar, alder, birch)
        await gateway.drained()

    bad = [answer for answer, is_good in answers if not is_good]
    assert len(answers) >= 1000
    assert [answer.text for answer in bad if not is_typed(answer)] == []
    assert len(bad) <= len(answers) // 50  # two sound orchestrators are enough for nearly all

    board = gateway.runtime.board
    assert board.in_flight == 0
    assert not gateway.runtime.allowances.in_flight
    rows = await in_thread(lambda: list(OfferHealth.objects.select_related("offer__orchestrator")))
    for row in rows:
        live = board.live(row.offer_id)
        assert (live.in_flight, live.unpublished) == (0, False)
        assert (row.state, row.cause) == (live.health.state.value, live.health.cause or ""), row.offer
    sound = [row for row in rows if row.offer.orchestrator.name != "cedar"]
    assert {row.state for row in sound} == {"healthy"}

    await assert_booked(gateway, [answer for answer, _ in answers])


async def assert_booked(gateway: Gateway, answers: list[httpx.Response]) -> None:
    ids = [answer.headers["x-request-id"] for answer in answers]
    jobs = await in_thread(lambda: list(Job.objects.values_list("request_id", "status")))
    usage = await in_thread(lambda: UsageHour.objects.aggregate(all=Sum("requests"), bad=Sum("failures")))
    tried = await in_thread(lambda: Counter(Attempt.objects.values_list("orchestrator", "outcome")))

    assert sorted(jobs) == sorted((answer.headers["x-request-id"], answer.status_code) for answer in answers)
    assert len(set(ids)) == len(ids)
    assert usage == {"all": len(answers), "bad": sum(answer.status_code >= 500 for answer in answers)}
    assert gateway.runtime.journal.backlog == 0
    assert gateway.runtime.journal.dropped == 0
    assert {cls for _, _, cls in ROUNDS if cls} <= {cls for name, cls in tried if name == "cedar"}
    assert tried["cedar", "ok"] > 0
