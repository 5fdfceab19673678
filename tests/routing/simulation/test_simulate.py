"""manage.py simulate, as a person or a program uses it."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from django.core.management import CommandError, call_command

from tests.routing.simulation.worlds import text


def simulate(*args: str) -> str:
    out = StringIO()
    call_command("simulate", *args, stdout=out, stderr=StringIO())
    return out.getvalue()


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(text("[{who: [alpha], kind: oom, from: 30, for: 40}]"))
    return str(path)


def test_it_lists_what_is_shipped() -> None:
    listed = simulate("--list").splitlines()
    assert any(line.startswith("mixed-day: ") for line in listed) and len(listed) >= 10


def test_it_reports_every_policy_and_the_bars(small: str) -> None:
    said = simulate(small, "--seeds", "2")
    for policy in ("byocgw", "stock-byoc", "round-robin", "litellm", "envoy", "oracle"):
        assert f"  {policy}" in said
    assert "met     success at least 99.9%" in said and "±" in said


def test_the_json_is_the_same_for_the_same_seeds(small: str) -> None:
    one, again = (simulate(small, "--seeds", "2", "--json") for _ in range(2))
    assert one == again
    (scenario,) = json.loads(one)["scenarios"]
    ours: dict[str, Any] = scenario["policies"]["byocgw"]
    assert ours["success"]["mean"] == 1.0 and ours["seeds"] == 2
    assert set(ours["shares"]) == {"alpha", "bravo", "charlie"}
    assert ours["times_the_oracle"]["p99"] > 0
    assert {"p50", "p95", "p99", "cost", "attempts", "wasted", "time_to_eject", "time_to_recover"} <= set(ours)


def test_it_draws_a_chart(small: str, tmp_path: Path) -> None:
    target = tmp_path / "chart.svg"
    simulate(small, "--seeds", "2", "--against", "oracle", "--svg", str(target))
    root = ElementTree.parse(target).getroot()
    words = " ".join(root.itertext())
    assert root.tag.endswith("svg") and "p99, ms" in words and "byocgw" in words and "small" in words


def test_a_draft_configuration_changes_the_outcome(small: str, tmp_path: Path) -> None:
    draft = tmp_path / "draft.yaml"
    draft.write_text(
        """
profiles:
- {slug: warm, retry_timeout: 8, attempt_timeout: 5, cold_grace: 10, latency_target_ms: 1000,
   max_in_flight: 2, seat_wait: 1, fresh_for: 120, value_of_second: 0}
"""
    )
    plain, cheap = (
        json.loads(simulate(small, "--seeds", "1", "--against", "none", "--json", *more))
        for more in ([], ["--config", str(draft)])
    )
    alpha = [each["scenarios"][0]["policies"]["byocgw"]["cost"]["mean"] for each in (plain, cheap)]
    assert alpha[0] != alpha[1]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["nope"], 'There is no scenario "nope"'),
        (["--against", "nginx"], 'There is no policy "nginx". Known: stock-byoc'),
        (["--seeds", "0"], "--seeds is from 1 to"),
        (["--config", "/nope.yaml"], "/nope.yaml: No such file"),
    ],
)
def test_what_it_does_not_know_is_a_named_error(args: list[str], sentence: str) -> None:
    with pytest.raises(CommandError) as caught:
        simulate(*args)
    assert sentence in str(caught.value)


def test_a_chart_that_cannot_be_written_is_a_named_error(small: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        simulate(small, "--seeds", "1", "--against", "none", "--svg", str(tmp_path / "no" / "a.svg"))
