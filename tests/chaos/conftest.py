"""A gateway under gunicorn with two workers, and five simulated orchestrators: real processes, to be hurt."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrators.simulator import SimulatorProcess
from tests.support.served import Served

ENDPOINTS = 5
SEATS = 256  # of each, half of them for each worker: three have more than the load has calls under way
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.long)
            item.add_marker(pytest.mark.xdist_group("chaos"))  # one after the other: they share the machine


@pytest.fixture(scope="session")
def lasting() -> bool:
    """Whether faults last as long as `make chaos` wants them to, or only as long as it takes to see."""
    return os.environ.get("CHAOS") == "long"


DEPTH = {
    "slug": "depth",
    "profile": "per-frame",
    "price_ceiling": "none",
    "max_in_flight": SEATS,
    "cold_grace": 0,  # its model is always loaded, however slow a busy machine makes it look
    "response": {"content_types": ["application/json"], "schema": {"type": "object", "required": ["depth"]}},
}
STREAM = {"slug": "text-reversal", "profile": "warm", "price_ceiling": "none", "max_in_flight": SEATS}


def fleet_arguments() -> list[str]:
    arguments = ["--name", "alder", "--no-leaks", "--keep-jobs", "1", "--endpoints", str(ENDPOINTS)]
    for slug in (DEPTH["slug"], STREAM["slug"]):
        arguments += ["--capability", f"{slug}:price=10,capacity={SEATS},latency=0.02"]
    return arguments


def document(fleet: SimulatorProcess) -> dict[str, Any]:
    offers = [{"capability": each["slug"]} for each in (DEPTH, STREAM)]
    return {
        "capabilities": [DEPTH, STREAM],
        "orchestrators": [
            {"name": name, "service_uri": uri, "offers": offers}
            for name, uri in zip(fleet.names, fleet.uris, strict=True)
        ],
        "clients": [{"name": "acme"}],
    }


@pytest.fixture(scope="session")
def fleet_process() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(*fleet_arguments()) as fleet:
        yield fleet


@pytest.fixture
def fleet(fleet_process: SimulatorProcess) -> Iterator[SimulatorProcess]:
    """All well at the start."""
    yield fleet_process
    for endpoint in range(ENDPOINTS):
        fleet_process.fault("depth", "none", endpoint=endpoint)
        fleet_process.fault("text-reversal", "none", endpoint=endpoint)


@pytest.fixture(scope="session")
def prepared(fleet_process: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Migrated, configured, probed, with a key: never started, only copied."""
    served = Served(tmp_path_factory.mktemp("prepared"), document(fleet_process), WEB_CONCURRENCY="2")
    served.prepare()
    return served


@pytest.fixture
def gateway(prepared: Served, fleet: SimulatorProcess, tmp_path: Path) -> Iterator[Served]:
    with prepared.copy(tmp_path) as served:
        yield served
