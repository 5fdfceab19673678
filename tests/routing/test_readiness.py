"""`/healthz` and `/readyz`: what a load balancer and an operator are told, and what it costs."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
from django.db import OperationalError
from django.template import Context, Template

from orchestrators.core import schedule
from orchestrators.simulator import Container, Simulator
from routing.api.door import Door
from routing.lag import EVERY, LoopWatch
from routing.readiness import BACKLOG, LATE, UNCONFIRMED, State, checks, overall
from routing.runtime import Runtime
from tests.routing.inference.scenes import depth_by
from tests.support.gateway import Gateway


def states(runtime: Runtime, *, later: float = 0.0) -> dict[str, str]:
    """Each check's state, so many seconds from now."""
    found = checks(runtime, time.monotonic() + later, time.time() + later)
    return {name: check.state.value for name, check in found.items()}


async def readyz(gateway: Gateway) -> tuple[int, dict[str, Any]]:
    """Asked without a key."""
    answer = await gateway.http.get("/readyz")
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, answer.json()


def gone() -> None:
    raise OperationalError("the server closed the connection")


@pytest.fixture
def gateway(gateway: Gateway) -> Gateway:
    """Whose loop may be late: others work on this machine too. Nobody looks, until a test does."""
    gateway.runtime._loop_watch.stop()
    gateway.runtime._loop_watch = LoopWatch()
    return gateway


@pytest.fixture
def still(gateway: Gateway) -> Gateway:
    """A gateway whose background steps happen only when the test takes them."""
    for task in gateway.runtime._tasks:
        task.cancel()
    return gateway


async def test_a_worker_that_has_not_started_is_not_ready() -> None:
    found = checks(Runtime(), time.monotonic(), time.time())
    assert overall(found) is State.NOT_READY
    assert found["table"].document() == {"status": "not ready", "loaded": False}


async def test_it_is_alive_and_ready(gateway: Gateway) -> None:
    alive = await gateway.http.get("/healthz")
    assert (alive.status_code, alive.text) == (200, "ok\n")
    status, document = await readyz(gateway)
    assert (status, document["status"]) == (200, "ok")
    assert set(document["checks"]) == {"draining", "table", "database", "journal", "event_loop", "prober"}
    assert document["checks"]["table"]["revision"] == gateway.runtime.table.revision
    assert document["checks"]["database"] == {"status": "ok", "reachable": True, "failing": []}


async def test_a_database_that_is_away_degrades_it_and_no_more(still: Gateway) -> None:
    """Every worker would leave the load balancer at once, and calls that all could answer would fail."""
    await still.runtime._refresher.run(gone)
    status, document = await readyz(still)
    assert (status, document["status"]) == (200, "degraded")
    assert document["checks"]["database"] == {
        "status": "degraded",
        "reachable": False,
        "failing": ["table refresh"],
    }
    await still.runtime.refresh()
    assert (await readyz(still))[1]["status"] == "ok"


async def test_a_worker_that_drains_is_not_ready(gateway: Gateway) -> None:
    gateway.runtime.drain_begins()
    status, document = await readyz(gateway)
    assert (status, document["status"]) == (503, "not ready")
    assert (await gateway.http.get("/healthz")).status_code == 200


async def test_the_server_tells_it_when_a_drain_begins() -> None:
    """Through what the lifespan leaves with the server protocol (see byocgw/protocol.py)."""
    door, state = Door(Runtime()), {}  # type: ignore[var-annotated]

    async def never() -> dict[str, Any]:
        return await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        pass

    life = asyncio.create_task(door.lifespan({"type": "lifespan", "state": state}, never, send))
    await asyncio.sleep(0)
    state["drain_begins"]()
    assert door.runtime.draining
    life.cancel()


async def test_a_table_nobody_confirms_and_a_silent_prober_degrade_it(gateway: Gateway) -> None:
    async with Simulator("alder", capabilities=[Container("depth", price=10)]) as alder:
        await depth_by(gateway, alder)
        assert set(states(gateway.runtime).values()) == {"ok"}
        assert states(gateway.runtime, later=UNCONFIRMED + 1)["table"] == "degraded"
        assert states(gateway.runtime, later=schedule.SILENT + 60)["prober"] == "degraded"


async def test_a_journal_that_piles_up_degrades_it(still: Gateway) -> None:
    segment = still.runtime.journal._live
    assert segment is not None
    segment.whole += BACKLOG + 1
    assert states(still.runtime)["journal"] == "degraded"
    segment.whole -= BACKLOG + 1


async def test_a_loop_that_was_held_up_degrades_it(gateway: Gateway) -> None:
    gateway.runtime._loop_watch.start()
    await asyncio.sleep(2 * EVERY)
    until = time.monotonic() + LATE + 0.5
    while time.monotonic() < until:
        pass
    await asyncio.sleep(2 * EVERY)
    assert gateway.runtime.lag > LATE
    assert states(gateway.runtime)["event_loop"] == "degraded"


async def test_the_consoles_first_page_shows_it(still: Gateway) -> None:
    """Closed while all is well, open once something is not; empty where no gateway runs."""
    assert '<details id="gateway-state">' in render()
    assert "The gateway is <strong>ok</strong>" in render()
    await still.runtime._refresher.run(gone)
    page = render()
    assert '<details id="gateway-state" open>' in page
    assert "The gateway is <strong>degraded</strong>" in page
    assert "reachable no, failing table refresh" in page
    await still.runtime._refresher.run(lambda: None)
    Runtime.running = None
    assert "gateway-state" not in render()


def render() -> str:
    return Template("{% load gateway_state %}{% gateway_state %}").render(Context())


async def test_a_change_of_a_check_is_one_line(still: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """Not one a second; the database, the table and the journal say themselves what happened to them."""
    caplog.set_level(logging.INFO, logger="routing.api.status")
    async with Simulator("alder", capabilities=[Container("depth", price=10)]) as alder:
        await depth_by(still, alder)
        status, now = still.door.status, time.monotonic()
        status._before = {}  # it may have told by itself, once a second
        caplog.clear()
        for later in (0, schedule.SILENT + 60, schedule.SILENT + 61, 0, 1):
            status._tell_changes(checks(still.runtime, now, time.time() + later))
    said = [record.getMessage() for record in caplog.records if record.name == "routing.api.status"]
    assert [line.split(":")[1] for line in said] == [" prober is degraded", " prober is ok"]
