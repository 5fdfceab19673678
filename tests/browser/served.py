"""The product as it is run, on a seeded database of its own, for browsers to look at."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.ports import port_of_ours

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = Path("/usr/bin/chromium")
# Of the seeded past, where every screen is opened: 1 is a million calls.
SCALE = float(os.environ.get("CONSOLE_SCALE", "1"))


@dataclass(frozen=True, slots=True)
class Running:
    """`environment`: of its processes."""

    url: str
    environment: dict[str, str]

    def manage(self, *arguments: str) -> str:
        """What a management command says beside it."""
        return self.run("manage.py", *arguments)

    def run(self, *arguments: str) -> str:
        """What Python says, run with these beside it."""
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, check=True, stdout=subprocess.PIPE)
        return done.stdout.decode()


@contextmanager
def console(folder: Path, scale: float) -> Iterator[str]:
    """The console's address. `scale`: of the seeded history, 1.0 being a million jobs."""
    with running(folder, scale) as product:
        yield product.url


@contextmanager
def running(folder: Path, scale: float) -> Iterator[Running]:
    bind = f"127.0.0.1:{port_of_ours()}"
    environment = os.environ | {
        "DATABASE_URL": f"sqlite:///{folder / 'console.sqlite3'}",
        "BYOCGW_JOURNAL_DIR": str(folder / "journal"),
        "BIND": bind,
        "SECRET_KEY": "for-tests-only-" * 5,
        "WEB_CONCURRENCY": "1",
    }

    def python(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, check=True)

    python("manage.py", "collectstatic", "--noinput", "--verbosity", "0")
    python("manage.py", "migrate", "--verbosity", "0")
    python("-m", "tests.browser.seed", str(scale))
    command = [sys.executable, "-m", "gunicorn", "-c", "python:byocgw.gunicorn", "byocgw.asgi:application"]
    with (folder / "gunicorn.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        _wait(f"http://{bind}/healthz", server)
        yield Running(f"http://{bind}", environment)
    finally:
        server.terminate()
        server.wait(30)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):  # a busy machine takes long to start one
        if server.poll() is not None:
            raise RuntimeError(f"The server ended with {server.returncode}.")
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)  # noqa: TID251  (a process of its own)
    raise RuntimeError("The server did not start within two minutes.")
