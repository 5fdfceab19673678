"""`/metrics`: what it tells, to whom, and that it needs nothing but memory."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings as django_settings
from django.db import OperationalError
from prometheus_client.parser import text_string_to_metric_families

from orchestrators.simulator import Container, Simulator
from routing.api.status import may_read_metrics
from routing.metrics.families import FAMILIES
from tests.routing.inference.scenes import DEPTH, ask, depth_by, only_cheapest_first, orchestrator
from tests.support.gateway import Gateway

DOCS = Path(django_settings.BASE_DIR) / "docs/observability.md"


def read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Sample name and labels -> value."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Metrics:
    """One reading. `metrics("name", label=...)` is the sum of the samples that carry these labels."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples = read(text)

    def __call__(self, name: str, **labels: str) -> float:
        wanted = set(labels.items())
        return sum(value for (each, has), value in self.samples.items() if each == name and wanted <= has)

    def names(self) -> set[str]:
        return {name for name, _ in self.samples}


async def metrics(gateway: Gateway) -> Metrics:
    answer = await gateway.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Metrics(answer.text)


async def test_three_failures_and_seven_successes_are_30_percent(gateway: Gateway) -> None:
    """R11: and the figures of others are unchanged."""
    async with Simulator(
        "alder", capabilities=[Container("depth", price=10), Container("pose", kind="depth", price=10)]
    ) as alder:
        await gateway.apply(
            {
                "capabilities": [DEPTH | {"max_attempts": 1}, DEPTH | {"slug": "pose"}],
                "orchestrators": [orchestrator(alder, "depth", "pose")],
            }
        )
        await gateway.probe()
        assert (await ask(gateway, "pose")).status_code == 200
        before = await metrics(gateway)
        for number in range(10):
            if number % 3 == 2:
                alder.fault("depth", "server_error", times=1)
            await ask(gateway)
        after = await metrics(gateway)

    asked = after("byocgw_requests_total", capability="depth")
    went_well = after("byocgw_requests_total", capability="depth", code="ok")
    assert (asked, asked - went_well) == (10, 3)
    assert after("byocgw_request_seconds_count", capability="depth") == 7
    assert after("livepeer_ai_models_requested", pipeline="depth") == 7
    errors = after("livepeer_ai_request_errors", pipeline="depth", orchestrator_uri=alder.service_uri)
    assert errors == after("byocgw_attempts_total", capability="depth") - 7 == 3
    for name in ("byocgw_requests_total", "byocgw_attempts_total", "byocgw_overhead_seconds_count"):
        assert before(name, capability="pose") == after(name, capability="pose") == 1


async def test_attempts_failovers_and_overhead_are_counted(gateway: Gateway) -> None:
    async with (
        Simulator("cedar", capabilities=[Container("depth", price=1)]) as cedar,
        Simulator("alder", capabilities=[Container("depth", price=100)]) as alder,
    ):
        await depth_by(gateway, alder, cedar)
        only_cheapest_first(gateway)
        cedar.fault("depth", "gpu_oom", times=1)
        assert (await ask(gateway)).status_code == 200
        seen = await metrics(gateway)
    assert seen("byocgw_attempts_total", capability="depth", outcome="gpu_oom") == 1
    assert seen("byocgw_attempts_total", capability="depth", outcome="ok") == 1
    assert seen("byocgw_failovers_total", capability="depth") == 1
    assert seen("byocgw_request_seconds_sum", capability="depth") > seen(
        "byocgw_overhead_seconds_sum", capability="depth"
    )
    assert seen("livepeer_ai_request_price", model_name="depth") == 100
    assert seen("byocgw_offers", capability="depth") == 2
    assert seen("byocgw_offer_up", capability="depth") == 2


async def test_who_was_too_dear_is_told_as_n_of_m(gateway: Gateway) -> None:
    async with (
        Simulator("alder", capabilities=[Container("depth", price=10)]) as alder,
        Simulator("birch", capabilities=[Container("depth", price=2000)]) as birch,
    ):
        await depth_by(gateway, alder, birch)
        seen = await metrics(gateway)
    assert seen("byocgw_ceiling_excluded_offers", capability="depth") == 1
    assert seen("byocgw_ceiling_offers", capability="depth") == 2


async def test_refusals_before_routing_count_without_what_strangers_wrote(gateway: Gateway) -> None:
    assert (await gateway.http.post("/v1/capabilities/depth")).status_code == 401
    for number in range(5):
        assert (await gateway.post(f"/v1/capabilities/made-up-{number}")).status_code == 404
    seen = await metrics(gateway)
    assert seen("byocgw_requests_total", capability="", code="unauthenticated") == 1
    assert seen("byocgw_requests_total", capability="", code="no_such_capability") == 5
    assert "made-up" not in seen.text


async def test_nobody_to_ask_is_an_error_that_stock_dashboards_know(gateway: Gateway) -> None:
    await gateway.apply({"capabilities": [DEPTH]})
    assert (await ask(gateway)).status_code == 503
    seen = await metrics(gateway)
    assert seen("livepeer_ai_request_errors", error_code="no orchestrators available", pipeline="depth") == 1


async def test_it_tells_while_the_database_is_away(gateway: Gateway) -> None:
    def gone() -> None:
        raise OperationalError("the server closed the connection")

    for task in gateway.runtime._tasks:
        task.cancel()
    assert (await metrics(gateway))("byocgw_database_up") == 1
    await gateway.runtime._refresher.run(gone)
    seen = await metrics(gateway)
    assert seen("byocgw_database_up") == 0
    assert seen("byocgw_check", check="database") == 0.5


async def test_only_so_many_offers_have_gauges_of_their_own(gateway: Gateway, settings: Any) -> None:
    settings.BYOCGW_METRICS_OFFERS = 1
    async with (
        Simulator("alder", capabilities=[Container("depth", price=10)]) as alder,
        Simulator("birch", capabilities=[Container("depth", price=20)]) as birch,
    ):
        await depth_by(gateway, alder, birch)
        seen = await metrics(gateway)
    assert seen("byocgw_offers", capability="depth") == 2
    assert seen("byocgw_offer_up", capability="depth") == 1
    assert seen("byocgw_offers_left_out") == 1


async def test_every_metric_is_in_the_list_and_every_one_in_the_list_is_told(gateway: Gateway) -> None:
    """The table of docs/observability.md, the list in the code and the page agree, labels included."""
    told = Metrics((await everything(gateway)).text)
    bare = {re.sub(r"_(bucket|sum|count)$", "", name) for name in told.names()}
    assert bare == set(FAMILIES)
    documented = dict(re.findall(r"^\| `(\w+_\w+)` \| \w+ \| ([^|]*) \|", DOCS.read_text(), re.MULTILINE))
    labels = {name: ", ".join(f"`{label}`" for label in family.labels) for name, family in FAMILIES.items()}
    assert {name: cell.strip() for name, cell in documented.items()} == labels
    for (name, has), _ in told.samples.items():
        family = FAMILIES[re.sub(r"_(bucket|sum|count)$", "", name)]
        assert {label for label, _ in has} - {"le"} == set(family.labels)


async def everything(gateway: Gateway) -> httpx.Response:
    """A page with a sample of every family: a failure, a usual latency, somebody who waits."""
    async with Simulator("alder", capabilities=[Container("depth", price=100)]) as alder:
        await depth_by(gateway, alder, max_in_flight=1)
        (offer,) = gateway.runtime.table.offers_of("depth")
        async with asyncio.timeout(20):  # a cold start, or a busy machine, says nothing of the usual latency
            while gateway.runtime.board.live(offer.id).latency.mean is None:
                assert (await ask(gateway)).status_code == 200
        alder.fault("depth", "gpu_oom", times=1)
        assert (await ask(gateway)).status_code == 502
        alder.fault("depth", "slow", seconds=0.5)
        calls = [asyncio.create_task(ask(gateway)) for _ in range(2)]
        async with asyncio.timeout(20):
            while not gateway.runtime.service.waiting:
                await asyncio.sleep(0.01)
        answer = await gateway.http.get("/metrics")
        await asyncio.gather(*calls)
    return answer


@pytest.mark.parametrize(
    ("client", "header", "allowed"),
    [
        ("127.0.0.1", b"", True),
        ("::1", b"", True),
        ("::ffff:127.0.0.1", b"", True),
        ("10.1.2.3", b"", False),
        ("10.1.2.3", b"Bearer open sesame", True),
        ("10.1.2.3", b"Bearer open", False),
        ("", b"", False),
        ("", b"Bearer open sesame", True),
    ],
)
def test_it_is_for_some_networks_or_a_token(client: str, header: bytes, allowed: bool) -> None:
    scope = {"client": (client, 1) if client else None, "headers": [(b"authorization", header)]}
    networks = django_settings.BYOCGW_METRICS_ALLOW
    assert may_read_metrics(scope, networks, "open sesame") is allowed


def test_an_empty_token_opens_nothing() -> None:
    scope = {"client": ("10.1.2.3", 1), "headers": [(b"authorization", b"Bearer ")]}
    assert not may_read_metrics(scope, django_settings.BYOCGW_METRICS_ALLOW, "")


async def test_who_may_not_read_is_told_what_to_do(gateway: Gateway, settings: Any) -> None:
    settings.BYOCGW_METRICS_ALLOW = ()
    answer = await gateway.http.get("/metrics")
    assert answer.status_code == 403
    assert "BYOCGW_METRICS_ALLOW" in answer.text
