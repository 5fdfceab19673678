"""Several workers, one page: each leaves its samples in a file once a second, and whoever is asked adds up.

    <pid>-<random>.json   of one worker; its gauges count while it is fresh, its counters for ever
    gone.json             the counters of those that the master has seen die, and whom it buried lately

The folder is the master's: it makes it before the first worker and removes it at its own end; workers
know it because they are its forks. Without a master there is none, and a worker tells of itself alone.

Readers need no lock: the master first writes what it buried, then removes the file. A reader takes the
workers' files first and `gone.json` last, and drops a file that is in there: nothing is missed or counted
twice, so that no counter ever goes back. Workers that end together are buried while one reader reads.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from routing.core.histogram import Sample, Value
from routing.metrics.families import FAMILIES, Across

STALE = 5.0  # seconds: older files are of workers that died or hang
GONE = "gone.json"
LATELY = 100  # workers: more than end while somebody reads

_folder: Path | None = None
_own = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`at`: wall seconds. `buried`: names of files that are in these samples."""

    at: float
    samples: list[Sample]
    buried: list[str] = field(default_factory=list)


def open_folder() -> None:
    """In the master, before the first worker."""
    global _folder
    _folder = Path(tempfile.mkdtemp(prefix="byocgw-metrics-"))


def remove_folder() -> None:
    """In the master, at its end."""
    if _folder is not None:
        shutil.rmtree(_folder, ignore_errors=True)


def bury(pid: int) -> None:
    """In the master: a worker is gone. Its counts stay, its file goes."""
    for path in _folder.glob(f"{pid}-*.json") if _folder is not None else ():
        last, gone = _read(path), _read(path.with_name(GONE)) or Snapshot(0.0, [])
        counted = [each for one in (last, gone) if one is not None for each in _lasting(one.samples)]
        buried = [*gone.buried, path.name][-LATELY:]
        _write(path.with_name(GONE), Snapshot(0.0, merged([counted]), buried))
        path.unlink(missing_ok=True)


def share(samples: Iterable[Sample], wall: float) -> None:
    """In a worker: leave these where the others find them."""
    global _own
    if _folder is None:
        return
    if not _own.startswith(f"{os.getpid()}-"):
        _own = f"{os.getpid()}-{secrets.token_hex(4)}.json"
    _write(_folder / _own, Snapshot(wall, list(samples)))


def of_others(wall: float) -> list[list[Sample]]:
    """In a worker: what the others left; of those that are gone or hang, what they counted."""
    if _folder is None:
        return []
    paths = [path for path in _folder.glob("*-*.json") if path.name != _own]
    found = {path.name: snapshot for path in paths if (snapshot := _read(path)) is not None}
    gone = _read(_folder / GONE) or Snapshot(0.0, [])
    fresh = [(name, each) for name, each in found.items() if name not in gone.buried]
    return [
        gone.samples,
        *(each.samples if wall - each.at < STALE else _lasting(each.samples) for _, each in fresh),
    ]


def workers(wall: float) -> dict[str, Snapshot]:
    """By file name `<pid>-<random>`, what each worker of this machine left last; the asked one's too."""
    paths = _folder.glob("*-*.json") if _folder is not None else ()
    found = {path.stem: snapshot for path in paths if (snapshot := _read(path)) is not None}
    gone = (_read(_folder / GONE) if _folder is not None else None) or Snapshot(0.0, [])
    return {name: each for name, each in found.items() if f"{name}.json" not in gone.buried}


def total(family: str, own: Iterable[Sample], wall: float) -> Counter[tuple[str, ...]]:
    """A gauge of this machine, by labels: of this worker, whose samples are given, and what the others left."""
    found = Counter[tuple[str, ...]]()
    for samples in (own, *of_others(wall)):
        for name, labels, value in samples:
            if name == family and not isinstance(value, list):
                found[labels] += int(value)
    return found


def merged(workers: Iterable[Iterable[Sample]]) -> list[Sample]:
    """One value for each family and labels."""
    found: dict[tuple[str, tuple[str, ...]], Value] = {}
    for samples in workers:
        for name, labels, value in samples:
            key = (name, labels)
            before = found.get(key)
            found[key] = value if before is None else _together(FAMILIES[name].across, before, value)
    return [(name, labels, value) for (name, labels), value in found.items()]


def _together(across: Across, one: Value, other: Value) -> Value:
    if isinstance(one, list) and isinstance(other, list):
        return [a + b for a, b in zip(one, other, strict=True)]
    if isinstance(one, list) or isinstance(other, list):
        raise TypeError("A histogram and a number have no sum.")
    if across is Across.SUM:
        return one + other
    return min(one, other) if across is Across.MIN else max(one, other)


def _lasting(samples: Iterable[Sample]) -> list[Sample]:
    return [sample for sample in samples if FAMILIES[sample[0]].outlives]


def _write(path: Path, snapshot: Snapshot) -> None:
    document = {"at": snapshot.at, "samples": snapshot.samples, "buried": snapshot.buried}
    made = path.with_suffix(".tmp")
    try:
        made.write_text(json.dumps(document))
        made.replace(path)
    except OSError:  # a full disk costs a second's metrics of this worker on the others' pages, no more
        made.unlink(missing_ok=True)


def _read(path: Path) -> Snapshot | None:
    """None if it is gone or damaged. While workers change to another version, its metrics are passed over."""
    try:
        document = json.loads(path.read_text())
        samples = [
            (name, tuple(labels), value) for name, labels, value in document["samples"] if name in FAMILIES
        ]
        return Snapshot(document["at"], samples, document["buried"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
