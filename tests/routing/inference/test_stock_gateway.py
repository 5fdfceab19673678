"""What an operator of the stock gateway's BYOC path suffers from, and does not here (docs/stock-gateway.md)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrators.simulator import Container, Simulator
from tests.routing.inference.scenes import DEPTH, PICTURE, depth_by, job_header
from tests.support.gateway import Gateway
from tests.support.served import ROOT

TABLE = (ROOT / "docs/stock-gateway.md").read_text()
ROWS = re.findall(r"^\| (G\d+) \|.*\|.*\| (.*) \|$", TABLE, re.MULTILINE)


async def test_serving_asks_for_no_token(gateway: Gateway) -> None:
    """G1, G14: tokens are the prober's; a call is one request to one orchestrator, however many there are."""
    async with (
        Simulator("alder", capabilities=[Container("depth", price=1)]) as alder,
        Simulator("birch", capabilities=[Container("depth", price=1)]) as birch,
        Simulator("cedar", capabilities=[Container("depth", price=1)]) as cedar,
    ):
        everybody = (alder, birch, cedar)
        await depth_by(gateway, *everybody)
        looks = [dict(each.looks) for each in everybody]
        answers = [
            await gateway.post("/process/request/", headers=job_header(), json=PICTURE) for _ in range(5)
        ]
        asked = sum(len(each.jobs) for each in everybody)
        looked = [dict(each.looks) for each in everybody]

    assert {answer.status_code for answer in answers} == {200}
    assert (asked, looked) == (5, looks)


async def test_an_empty_registry_says_so(gateway: Gateway) -> None:
    """G9, G26: nobody to ask is 503 and when to come again, not 400, and no crash."""
    await gateway.apply({"capabilities": [DEPTH]})
    answer = await gateway.post("/process/request/", headers=job_header(), json=PICTURE)
    assert (answer.status_code, answer.json()["code"]) == (503, "none_available")
    assert "none is configured" in answer.json()["detail"]
    assert answer.headers["retry-after"]


def test_the_table_has_every_row() -> None:
    assert [row for row, _ in ROWS] == [f"G{number}" for number in range(1, 28)]


@pytest.mark.parametrize(("row", "proof"), ROWS, ids=[row for row, _ in ROWS])
def test_each_row_is_proved_or_said_not_to_apply(row: str, proof: str) -> None:
    """A test that names the row in its docstring; or a sentence."""
    named = re.findall(r"`([\w/]+)::(\w+)`", proof)
    if not named:
        assert proof.startswith("does not apply: ")
    for module, function in named:
        (file,) = (ROOT / "tests").rglob(f"{module}.py")
        assert row in docstring(file, function), (file, function)


def docstring(file: Path, function: str) -> list[str]:
    """The rows that it names."""
    found = re.search(
        rf'^(?:async )?def {function}\(.*?:\n +"""(.*?)"""', file.read_text(), re.DOTALL | re.MULTILINE
    )
    return re.findall(r"\bG\d+\b", found[1]) if found else []
