"""The benchmark itself runs: every kind of figure once, without peers that need installing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.bench import report
from tests.benchmarks.bench.targets import TARGETS, Seen, Target, judged
from tests.support.served import ROOT

MOST = Target("cpu", "CPU", 260, 120, "us")
LEAST = Target("to_nginx", "rps", 0.16, 0.33, "x", most=False)


@pytest.mark.parametrize(
    ("target", "seen", "verdict"),
    [
        (MOST, 100, "stretch"),
        (MOST, 260, "must"),
        (MOST, 261, "missed"),
        (LEAST, 0.4, "stretch"),
        (LEAST, 0.16, "must"),
        (LEAST, 0.1, "missed"),
        (LEAST, None, "not measured"),
    ],
)
def test_a_figure_is_judged(target: Target, seen: float | None, verdict: str) -> None:
    assert target.verdict(seen) == verdict


def test_the_bar_reaches_one_at_must_and_two_at_stretch() -> None:
    assert [report.progress(MOST, seen) for seen in (520, 260, 120)] == [0.5, 1, 2]
    assert [report.progress(LEAST, seen) for seen in (0.08, 0.16, 0.33)] == [0.5, 1, 2]


def test_every_target_is_shown_even_if_nothing_was_measured() -> None:
    figures = {"cpu": Seen(200.0, 190.0, 210.0)}
    words = report.text(figures, {}, {"portkey": "node is not installed"})
    assert "Skipped: portkey: node is not installed." in words
    assert all(target.what in words for target in TARGETS)
    assert len(judged(figures)) == len(TARGETS)
    assert report.chart(figures).count("<rect") == len(TARGETS) + 1


@pytest.mark.long
def test_the_whole_benchmark_runs(tmp_path: Path) -> None:
    """40 seconds. Whatever is measured of byocgw itself is there; how good it is, an idle machine says, and how
    late one whose host is busy does not."""
    command = [sys.executable, "-m", "tests.benchmarks.bench", "--quick", "--peers", "", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((tmp_path / "bench.json").read_text())
    unseen = {each["key"] for each in document["targets"] if each["seen"]["median"] is None}
    against = {"to_nginx", "to_litellm", "to_portkey", "waiting_to_nginx", "upload_to_nginx"}
    assert unseen - {"added_p50", "added_p99", "first_event", "cpu_event"} == against
