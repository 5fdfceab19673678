"""Two workers, one page; one of them is killed. Real processes."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from orchestrators.simulator import SimulatorProcess
from tests.support.served import Served

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers through /proc"),
]
CALLS = 40


def document(simulator: SimulatorProcess) -> dict[str, object]:
    return {
        "capabilities": [
            {"slug": "depth", "profile": "per-frame", "price_ceiling": "none", "max_in_flight": 32}
        ],
        "orchestrators": [
            {"name": "alder", "service_uri": simulator.service_uri, "offers": [{"capability": "depth"}]}
        ],
        "clients": [{"name": "acme"}],
    }


def value(gateway: Served, name: str) -> float:
    """Of a metric with one sample, as whichever worker tells it."""
    text = httpx.get(f"{gateway.url}/metrics", timeout=10, trust_env=False).text
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def comes_true(condition: Callable[[], bool]) -> bool:
    """Within 15 s."""
    return any(condition() or threading.Event().wait(0.1) for _ in range(150))


def test_they_tell_of_each_other_and_of_the_dead(tmp_path: Path) -> None:
    served = 'byocgw_requests_total{capability="depth",code="ok"}'
    simulator = SimulatorProcess("--name", "alder", "--no-leaks", "--capability", "depth:price=10,capacity=64")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {"WEB_CONCURRENCY": "2", "TMPDIR": str(temporary)}
    with simulator, Served(tmp_path, document(simulator), **environment) as gateway:
        for _ in range(CALLS):
            answer = httpx.post(
                f"{gateway.url}/v1/capabilities/depth",
                json={"image": "a picture"},
                headers=gateway.headers(),
                trust_env=False,
            )
            assert answer.status_code == 200
        # several times: either worker may be the one that is asked
        assert comes_true(lambda: [value(gateway, served) for _ in range(8)] == [CALLS] * 8)
        assert comes_true(lambda: value(gateway, "byocgw_workers") == 2)
        os.kill(gateway.workers()[0], signal.SIGKILL)
        for _ in range(20):
            assert value(gateway, served) == CALLS
            threading.Event().wait(0.1)
        assert comes_true(lambda: value(gateway, "byocgw_workers") == 2)
        assert value(gateway, served) == CALLS
        assert list(temporary.glob("byocgw-metrics-*"))
    assert not list(temporary.glob("byocgw-metrics-*"))
