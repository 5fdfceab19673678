"""The client API under calls made from its own contract (schemathesis): nothing undocumented, and no 500.

`make fuzz` makes 2,000; the long tests make fewer, the same ones each time.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.conftest import SERVED
from tests.clients.environments import bare, environment
from tests.routing.inference.scenes import job_header
from tests.support.served import Served

pytestmark = pytest.mark.long

CHECKS = (
    *("status_code_conformance", "content_type_conformance", "response_schema_conformance"),
    *("response_headers_conformance", "unsupported_method"),
)
CASES = int(os.environ.get("FUZZ", "0"))


@pytest.fixture(scope="module")
def python() -> Path:
    return environment("contract")


def test_the_contract_is_valid(python: Path, served: Served, tmp_path: Path) -> None:
    """OpenAPI 3.1, as it is served."""
    file = tmp_path / "openapi.json"
    file.write_bytes(httpx.get(f"{served.url}/v1/openapi.json", trust_env=False).content)
    said = run(tmp_path, python, "-m", "openapi_spec_validator", str(file))
    assert said.returncode == 0, said.stdout


def test_calls_made_from_it_are_answered_as_it_says(python: Path, served: Served, tmp_path: Path) -> None:
    """Bar: 2,000 cases, no 500, no undocumented status; headers, media types and schemas of answers as well."""
    file = tmp_path / "openapi.json"
    file.write_text(
        json.dumps(within_reach(httpx.get(f"{served.url}/v1/openapi.json", trust_env=False).json()))
    )
    made_up = max(3, CASES // 22)  # of each of more than 22 operations, beside those it always makes
    said = run(
        tmp_path,
        *(python.with_name("st"), "run", str(file), "--url", served.url),
        *("--header", f"Authorization: Bearer {served.key}", "--checks", ",".join(CHECKS)),
        *("--phases", "coverage,fuzzing", "--max-examples", str(made_up), "--max-failures", "5", "--seed", "7"),
        *("--request-timeout", "30", "--suppress-health-check", "all", "--no-color"),
    )
    assert said.returncode == 0, said.stdout[-6000:]
    cases = re.search(r"([\d,]+) generated", said.stdout)
    assert cases and int(cases[1].replace(",", "")) >= max(CASES, 200), said.stdout[-2000:]
    assert "unhandled" not in served.log()


def within_reach(api: dict[str, Any]) -> dict[str, Any]:
    """The contract with names and job headers that lead somewhere, or made-up calls would all end at a 404."""
    parameters = api["components"]["parameters"]
    jobs = [job_header(slug)["livepeer"] for slug in (*SERVED, "nobodys")]
    parameters["Slug"]["schema"] = {"enum": [*SERVED, "nobodys"]}
    parameters["Livepeer"]["schema"] = {"enum": [*jobs, "e30=", "e30", "?"]}
    return api


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """In this folder, since schemathesis leaves its notes where it is called."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=bare(), timeout=900)
