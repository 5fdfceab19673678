"""The examples of docs/clients.md, run as printed against a gateway that runs as in production."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.environments import bare, environment
from tests.routing.inference.test_drop_in_route import DOCUMENTED
from tests.support.served import ROOT, Served

pytestmark = pytest.mark.long

GUIDE = (ROOT / "docs/clients.md").read_text()
EXAMPLES = re.findall(r"^```(sh|python|js)\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
EXPECTED = re.compile(r"(?:#|//) -> (.*)")
NEEDS = {"livepeer-ai": (3, 11), "livepeer-gateway": (3, 12)}


def command(language: str, example: str) -> list[str]:
    """Skips the test where what the example needs is not here."""
    if language == "sh":
        return ["bash", "-euo", "pipefail", "-c", example]
    if language == "js":
        node = shutil.which("node")
        if node is None:
            pytest.skip("node is not installed")
        return [node, "--input-type=module", "-e", example]
    needed = re.match(r"# needs: (\S+)", example)
    python = environment(needed[1], at_least=NEEDS[needed[1]]) if needed else Path(sys.executable)
    return [str(python), "-c", example]


@pytest.mark.parametrize(("language", "example"), EXAMPLES, ids=[f"{language}" for language, _ in EXAMPLES])
def test_the_guides_examples_do_what_they_say(language: str, example: str, served: Served) -> None:
    """Each ends well, and prints what stands behind its arrows, in this order."""
    environ = bare() | {"BYOCGW": served.url, "KEY": served.key}
    done = subprocess.run(command(language, example), env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    for expected in EXPECTED.findall(example):
        assert expected in said, done.stdout
        said = said.partition(expected)[2]


def test_every_kind_of_client_has_an_example() -> None:
    kinds = {language for language, _ in EXAMPLES}
    assert kinds == {"sh", "python", "js"}
    assert {each for each in NEEDS if f"# needs: {each}" in GUIDE} == set(NEEDS)


# go-livepeer's doc/byoc.md, as printed but for the address: the header has no `parameters`.
STOCK = """
curl -X POST {url}/process/request/reverse-text \\
  -H "Content-Type: application/json" \\
  -H "Livepeer: {job}" \\
  -d '{{"text":"Hello, World!"}}'
"""


def test_the_stock_documentations_call_works_as_printed(served: Served) -> None:
    """G16: without a key too, where the network is known; the stock gateway refuses it with 400."""
    done = subprocess.run(
        ["bash", "-c", STOCK.format(url=served.url, job=DOCUMENTED)], env=bare(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert '"reversed": "!dlroW ,olleH"' in done.stdout
