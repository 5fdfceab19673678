"""10,000 offers on 500 simulated endpoints, one of them hanging: probed within 60 s on two cores.

    .venv/bin/python -m tests.benchmarks.probing [ENDPOINTS [SECONDS]]

Starts the simulated endpoints in a process of their own, migrates a database in a temporary folder,
and runs the command as cron would, twice: the first run sends every sample request. Exit status 1 when it
takes longer or anything is missing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from orchestrators.simulator import SimulatorProcess

ROOT = Path(__file__).resolve().parents[2]
ENDPOINTS = int(sys.argv[1]) if len(sys.argv) > 1 else 500
LIMIT = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
OFFERS_EACH = 20

# Run by `manage.py shell`: every endpoint offers every capability, with a sample request each.
REGISTER = """
from orchestrators.models import Capability, Offer, Orchestrator, RoutingProfile
profile = RoutingProfile.objects.get(slug="warm")
sample = {{"content_type": "application/json", "body": {{"hello": "there"}}}}
for number in range(1, {offers} + 1):
    contract = {{"content_types": ["application/json"], "schema": {{"type": "object"}}}}
    Capability.objects.create(
        slug=f"cap-{{number}}", profile=profile, sample_request=sample, response=contract
    )
for number, uri in enumerate({uris}):
    owner = Orchestrator.objects.create(name=f"endpoint-{{number}}", service_uri=uri)
    served = Capability.objects.filter(slug__startswith="cap-")
    Offer.objects.bulk_create(Offer(orchestrator=owner, capability=each) for each in served)
"""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "DATABASE_URL": f"sqlite:///{folder}/benchmark.sqlite3",
            "SECRET_KEY": "for-benchmarks-only-" * 4,
        }
        arguments = ("--endpoints", str(ENDPOINTS), "--bulk", str(OFFERS_EACH), "--keep-jobs", "1")
        with SimulatorProcess(*arguments) as simulator:
            for number in range(1, OFFERS_EACH + 1):
                simulator.fault(f"cap-{number}", "hang", look=True, endpoint=ENDPOINTS - 1)
            _manage(environment, "migrate", "--verbosity", "0")
            _manage(environment, "shell", "-c", REGISTER.format(offers=OFFERS_EACH, uris=list(simulator.uris)))
            for run in ("first", "second"):
                if not _run(environment, run):
                    return 1
    return 0


def _run(environment: dict[str, str], which: str) -> bool:
    began = time.monotonic()
    reports = [json.loads(line) for line in _manage(environment, "probe_orchestrators", "--json").splitlines()]
    seconds = time.monotonic() - began
    states = Counter(report["after"] for report in reports)
    sampled = sum(report["latency_ms"] is not None for report in reports)
    print(f"{which} run: {len(reports)} probed, {sampled} with a sample, in {seconds:.1f} s: {dict(states)}")
    whole = len(reports) == ENDPOINTS * OFFERS_EACH and states["healthy"] == (ENDPOINTS - 1) * OFFERS_EACH
    return whole and seconds <= LIMIT


def _manage(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, text=True, stdout=subprocess.PIPE
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
