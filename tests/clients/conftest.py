"""One gateway, as it is run, for all tests that only call it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrators.simulator import SimulatorProcess
from routing.models.pipeline import PipelinePath
from tests.support.served import Served

SERVED = {
    "text-reversal": "",
    "text-to-image": ":kind=ai-worker,balance=1000",
    "echo": "",
    "depth": "",
}


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """gunicorn; who calls from this machine needs no key."""
    options = [f"{name}{option}" for name, option in SERVED.items()]
    with SimulatorProcess(*(word for each in options for word in ("--capability", each))) as simulator:
        offers = [{"capability": name} for name in SERVED]
        document = {
            "capabilities": [{"slug": each, "profile": "warm", "price_ceiling": "none"} for each in SERVED],
            "orchestrators": [{"name": "o", "service_uri": simulator.service_uri, "offers": offers}],
            "pipelines": [{"path": path, "capability": "text-to-image"} for path in PipelinePath.values],
            "tiers": [{"slug": "local", "max_in_flight": 100}],
            "clients": [
                {"name": "acme"},
                {"name": "neighbours", "tier": "local", "networks": ["127.0.0.0/8"]},
            ],
        }
        with Served(tmp_path_factory.mktemp("served"), document) as gateway:
            yield gateway
