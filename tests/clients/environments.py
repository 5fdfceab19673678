"""Environments of the official clients: a Python each, with the package as it is published, pinned with hashes.

Kept in `.local/clients` for the next run, under a name made of the pins, so that other pins are another one.
The pins are renewed with `uv pip compile --universal --generate-hashes tests/clients/<name>.in`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

HERE = Path(__file__).parent
# What may point elsewhere than to the gateway under test, or change what is installed.
LEFT_OUT = ("proxy", "python", "virtual_env")


def environment(name: str, *, at_least: tuple[int, int] = (3, 11)) -> Path:
    """The Python of it; made if it is not there. Skips the test, with the reason, where it cannot be had."""
    pins = HERE / f"{name}.txt"
    python = next(_pythons(at_least), None)
    if python is None:
        pytest.skip(f"{name} needs Python {at_least[0]}.{at_least[1]} or newer, and none is found here")
    digest = hashlib.sha256(pins.read_bytes() + str(python).encode()).hexdigest()[:12]
    home = Path(settings.LOCAL_DIR) / "clients" / f"{name}-{digest}"
    if not (home / "ready").exists():
        _make(home, python, pins)
    return home / "bin/python"


def bare() -> dict[str, str]:
    """The environment of a client's process."""
    return {
        key: value for key, value in os.environ.items() if not any(each in key.lower() for each in LEFT_OUT)
    }


def _pythons(at_least: tuple[int, int]) -> Iterator[Path]:
    """This one, those on the path, and those that pyenv and uv have installed."""
    named = [shutil.which(f"python3.{minor}") for minor in range(at_least[1], at_least[1] + 6)]
    kept = [*Path.home().glob(".pyenv/versions/*/bin/python3"), *_of_uv()]
    for found in [sys.executable, *filter(None, named), *map(str, sorted(kept))]:
        code = "import ensurepip, venv, sys; print(*sys.version_info[:2])"
        said = subprocess.run([found, "-c", code], capture_output=True, text=True, env=bare())
        if said.returncode == 0 and tuple(map(int, said.stdout.split())) >= at_least:
            yield Path(found)


def _of_uv() -> Iterator[Path]:
    return Path.home().glob(".local/share/uv/python/*/bin/python3")


def _make(home: Path, python: Path, pins: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run([python, "-m", "venv", home], check=True, env=bare())
    command = [home / "bin/python", "-m", "pip", "install", "--quiet", "--require-hashes"]
    said = subprocess.run(
        [*command, "--only-binary", ":all:", "-r", pins], capture_output=True, text=True, env=os.environ
    )
    if said.returncode and "DO NOT MATCH THE HASHES" not in said.stderr:
        pytest.skip(f"{pins.stem} cannot be installed from the package registry: {said.stderr.strip()[-300:]}")
    assert said.returncode == 0, said.stderr
    (home / "ready").touch()
