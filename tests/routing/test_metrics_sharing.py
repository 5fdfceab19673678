"""Several workers, one page: what is added up, what a dead worker leaves behind, and that nothing goes back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from routing.core.histogram import Sample, Value
from routing.metrics import sharing
from routing.metrics.families import FAMILIES, Across, Kind

REQUESTS = ("byocgw_requests_total", ("depth", "ok"))
SECONDS = ("byocgw_request_seconds", ("depth",))
LAG = ("byocgw_loop_lag_seconds", ())
UP = ("byocgw_database_up", ())


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sharing, "_folder", None)
    monkeypatch.setattr(sharing, "_own", "")
    sharing.open_folder()
    assert sharing._folder is not None
    yield sharing._folder
    sharing.remove_folder()
    assert not sharing._folder.exists()


def leave(folder: Path, pid: int, at: float, *samples: Sample) -> None:
    """What a worker of this process id shared."""
    sharing._write(folder / f"{pid}-abcd.json", sharing.Snapshot(at, list(samples)))


def of_others(wall: float) -> dict[tuple[str, tuple[str, ...]], Value]:
    return {(name, labels): value for name, labels, value in sharing.merged(sharing.of_others(wall))}


def test_sums_are_added_and_the_worst_is_told(folder: Path) -> None:
    leave(folder, 1, 100.0, (*REQUESTS, 3), (*SECONDS, [1, 2, 0.5]), (*LAG, 0.1), (*UP, 1.0))
    leave(folder, 2, 100.0, (*REQUESTS, 4), (*SECONDS, [0, 1, 0.25]), (*LAG, 0.3), (*UP, 0.0))
    assert of_others(101.0) == {REQUESTS: 7, SECONDS: [1, 3, 0.75], LAG: 0.3, UP: 0.0}


def test_one_gauge_is_added_up_by_its_labels(folder: Path) -> None:
    name = "byocgw_client_calls_in_flight"
    leave(folder, 1, 100.0, (name, ("7",), 2), (name, ("8",), 1), (*LAG, 0.1))
    leave(folder, 2, 90.0, (name, ("7",), 9))
    assert sharing.total(name, [(name, ("7",), 3), (*LAG, 0.2)], 101.0) == {("7",): 5, ("8",): 1}


def test_a_worker_does_not_read_its_own(folder: Path) -> None:
    sharing.share([(*REQUESTS, 3)], 100.0)
    assert [path.name.startswith(f"{os.getpid()}-") for path in folder.glob("*.json")] == [True]
    assert of_others(100.0) == {}


def test_what_a_silent_worker_measured_is_forgotten_but_not_what_it_counted(folder: Path) -> None:
    leave(folder, 1, 100.0, (*REQUESTS, 3), (*LAG, 9.0))
    assert of_others(100.0 + sharing.STALE) == {REQUESTS: 3}


def test_a_buried_worker_counts_on_and_leaves_no_file(folder: Path) -> None:
    leave(folder, 1, 100.0, (*REQUESTS, 3), (*LAG, 9.0))
    leave(folder, 12, 100.0, (*REQUESTS, 4))
    sharing.bury(1)
    assert sorted(path.name for path in folder.iterdir()) == ["12-abcd.json", "gone.json"]
    assert of_others(100.0) == {REQUESTS: 7}
    sharing.bury(12)
    sharing.bury(13)
    assert [path.name for path in folder.iterdir()] == ["gone.json"]
    assert of_others(100.0) == {REQUESTS: 7}


def test_a_file_just_being_buried_is_counted_once(folder: Path) -> None:
    """A reader may meet both: the master writes what it buried before it removes the file."""
    leave(folder, 1, 100.0, (*REQUESTS, 3))
    kept = (folder / "1-abcd.json").read_bytes()
    sharing.bury(1)
    (folder / "1-abcd.json").write_bytes(kept)
    assert of_others(100.0) == {REQUESTS: 3}


def test_files_being_buried_together_are_counted_once(folder: Path) -> None:
    """As by a restart: who has read both files finds them in the counts of the dead, too."""
    for pid in (1, 2):
        leave(folder, pid, 100.0, (*REQUESTS, 3))
    files = {path: path.read_bytes() for path in folder.iterdir()}
    for pid in (1, 2):
        sharing.bury(pid)
    for path, kept in files.items():
        path.write_bytes(kept)
    assert of_others(100.0) == {REQUESTS: 6}
    assert sharing.workers(100.0) == {}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"at": 1, "samples": [1], "buried": []}'])
def test_a_damaged_file_is_passed_over(folder: Path, text: str) -> None:
    (folder / "1-abcd.json").write_text(text)
    assert of_others(100.0) == {}
    sharing.bury(1)


def test_a_metric_of_another_version_is_passed_over(folder: Path) -> None:
    leave(folder, 1, 100.0, (*REQUESTS, 3), ("byocgw_of_tomorrow_total", ("depth",), 1))
    assert of_others(100.0) == {REQUESTS: 3}


def test_without_a_master_there_is_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_folder", None)
    sharing.share([(*REQUESTS, 3)], 100.0)
    assert of_others(100.0) == {}


def test_counts_add_up() -> None:
    assert all(family.across is Across.SUM for family in FAMILIES.values() if family.kind is not Kind.GAUGE)
