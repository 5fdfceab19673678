"""`livepeer-gateway` 1.0.0, unmodified: `submit_byoc_job` with byocgw in the orchestrator's place.

It sends no key, so it is known by its network; it puts the whole payload into the job header; and it goes on to
the next address after 408, 429 and 5xx alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from orchestrators.simulator import Container, Simulator
from tests.clients.driven import Driven
from tests.clients.environments import environment
from tests.routing.inference.scenes import only_cheapest_first, orchestrator
from tests.support.gateway import Gateway
from tests.support.served import Served

pytestmark = pytest.mark.long

JOB = {"capability": "text-to-image", "payload": {"prompt": "a fox"}, "timeout_seconds": 20}
CAPABILITIES = [
    {"slug": "text-to-image", "profile": "warm", "price_ceiling": "none"},
    {"slug": "text-to-speech", "profile": "warm", "price_ceiling": "none"},
]


@pytest.fixture(scope="module")
def python() -> Path:
    return environment("livepeer-gateway", at_least=(3, 12))


@pytest_asyncio.fixture
async def client(python: Path) -> AsyncIterator[Driven]:
    async with Driven(python, Path(__file__).with_name("drive_livepeer_gateway.py")) as running:
        yield running


def local(**tier: Any) -> dict[str, Any]:
    """Whoever calls from this machine is a client, with this tier."""
    return {
        "tiers": [{"slug": "local", **tier}],
        "clients": [{"name": "acme"}, {"name": "sdk", "tier": "local", "networks": ["127.0.0.0/8"]}],
    }


async def painted_by(gateway: Gateway, *simulators: Simulator) -> None:
    slugs = [each["slug"] for each in CAPABILITIES]
    homes = [orchestrator(each, *slugs) for each in simulators]
    await gateway.apply({"capabilities": CAPABILITIES, "orchestrators": homes, **local()})
    await gateway.probe()


def painter(name: str, price: int) -> Simulator:
    names = ("text-to-image", "text-to-speech")
    containers = [Container(each, kind="ai-worker", price=price, balance=1000) for each in names]
    return Simulator(name, capabilities=containers)


async def test_jobs_get_their_results(gateway: Gateway, client: Driven) -> None:
    """JSON with its conveniences, the balance, and a failover that the client does not notice."""
    async with painter("alder", 100) as alder, painter("cedar", 1) as cedar:
        await painted_by(gateway, alder, cedar)
        only_cheapest_first(gateway)
        picture = await client.ask(url=gateway.url, **JOB)
        speech = await client.ask(
            url=gateway.url, **JOB | {"capability": "text-to-speech", "payload": {"text": "one two"}}
        )
        cedar.fault("text-to-image", "crash", times=1)
        again = await client.ask(url=gateway.url, **JOB)
        wish = {"orchestrators": {"include": [alder.service_uri]}}
        chosen = await client.ask(url=gateway.url, **JOB, parameters=wish, job_id="mine")
        served = [each.work.path for each in alder.jobs]

    assert (picture["status"], picture["by"]) == (200, gateway.url)
    assert picture["image"].startswith("data:image/png") and speech["audio"].startswith("data:audio/wav")
    assert picture["balance"] == "999"
    assert again["status"] == chosen["status"] == 200
    assert served == ["text-to-image", "text-to-image"], "once for the failover, once as wished"


async def test_what_goes_wrong_is_raised_as_the_package_means_it(gateway: Gateway, client: Driven) -> None:
    """Final errors are LivepeerGatewayError at once; what may be better elsewhere is tried elsewhere."""
    async with painter("alder", 1) as alder:
        await painted_by(gateway, alder)
        invalid = await client.ask(url=gateway.url, **JOB | {"payload": {"prompt": ""}})
        unknown = await client.ask(url=[gateway.url, gateway.url], **JOB | {"capability": "nobodys"})
        alder.fault("text-to-image", "server_error")
        failed = await client.ask(url=[gateway.url, gateway.url], **JOB)
        alder.fault("text-to-image", "none")
        await gateway.apply(local(requests_per_minute=1))
        await client.ask(url=gateway.url, **JOB)
        limited = await client.ask(url=gateway.url, **JOB)

    assert invalid["raised"] == unknown["raised"] == "LivepeerGatewayError"
    assert "HTTP 400" in invalid["message"] and "prompt must not be empty" in invalid["message"]
    assert "HTTP 404" in unknown["message"] and "no_such_capability" in unknown["message"]
    assert failed["raised"] == limited["raised"] == "NoOrchestratorAvailableError"
    assert [reason[:8] for reason in failed["reasons"]][0] == "HTTP 502" and len(failed["reasons"]) == 2
    assert [reason[:8] for reason in limited["reasons"]] == ["HTTP 429"]


async def test_strangers_are_refused(gateway: Gateway, client: Driven) -> None:
    await gateway.apply({"capabilities": CAPABILITIES})
    told = await client.ask(url=gateway.url, **JOB)
    assert told["raised"] == "LivepeerGatewayError"
    assert "HTTP 401" in told["message"]


async def test_a_payload_that_fills_its_header_passes_gunicorn(served: Served, client: Driven) -> None:
    """The header repeats the payload, in base64: 1 MiB of it, and the body beside it."""
    size = 2**20 // 4 * 3 - 300
    told = await client.ask(url=served.url, capability="echo", payload={"zeros": size}, timeout_seconds=20)
    assert told.get("status") == 200, told
    assert told["bytes"] > size
