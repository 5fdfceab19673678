"""The product as it is run: migrate, apply, gunicorn, in processes of their own, on a database of their own."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx
from django.conf import settings

from tests.support.ports import port_of_ours

ROOT = Path(settings.BASE_DIR)
STARTED = "Application startup complete"
JUST_PROBED = """
    UPDATE orchestrators_offerhealth SET probed_at = at, last_outcome_at = at, last_success_at = at
    FROM (SELECT strftime('%Y-%m-%d %H:%M:%f', 'now') AS at)
"""


class Served:
    """`with Served(tmp_path, document) as gateway:` a gunicorn, ready to be asked and hurt.

    One worker unless WEB_CONCURRENCY says otherwise; SQLite in the folder unless DATABASE_URL does.
    """

    def __init__(self, folder: Path, document: dict[str, Any], **environment: str) -> None:
        self.folder = folder
        self.document = document
        self.database = folder / "gateway.sqlite3"
        self.journal = folder / "journal"
        self.host, self.port = "127.0.0.1", port_of_ours()
        self.url = f"http://{self.host}:{self.port}"
        self.given = environment
        self.environment = os.environ | {
            "DATABASE_URL": f"sqlite:///{self.database}",
            "BYOCGW_JOURNAL_DIR": str(self.journal),
            "BIND": self.url.removeprefix("http://"),
            "SECRET_KEY": "for-tests-only-" * 5,
            "WEB_CONCURRENCY": "1",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.key = ""

    def __enter__(self) -> Self:
        if not self.key:
            self.prepare()
        self.start()
        return self

    def __exit__(
        self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def prepare(self) -> None:
        """Migrated, configured, probed, with a key."""
        self.migrate()
        self.manage("apply", "-", stdin=json.dumps(self.document))
        self.manage("probe_orchestrators", "--quiet")
        self.key = self.manage("create_api_key", "acme", "--quiet").strip()

    def migrate(self) -> None:
        if "DATABASE_URL" in self.given:
            self.manage("migrate", "--verbosity", "0")
        else:
            shutil.copyfile(_migrated(), self.database)

    def copy(self, folder: Path, **environment: str) -> Served:
        """As this one was prepared, on a copy of its database, as if probed just now: nobody's health is stale.
        It has to be started."""
        copied = Served(folder, self.document, **self.given | environment)
        shutil.copyfile(self.database, copied.database)
        with sqlite3.connect(copied.database) as rows:
            rows.execute(JUST_PROBED)
        rows.close()
        copied.key = self.key
        return copied

    def manage(self, *arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self) -> None:
        """Returns when every worker serves: one that found no database at its start would end the gateway."""
        earlier = self.log().count(STARTED)
        self.process = self.launch()
        self.wait_until_serving()
        for _ in range(1200):
            if self.log().count(STARTED) >= earlier + int(self.environment["WEB_CONCURRENCY"]):
                return
            threading.Event().wait(0.05)
        raise AssertionError(f"not every worker serves:\n{self.log()}")

    def launch(self) -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).parent / "gunicorn"), "-c", "python:byocgw.gunicorn"]
        with (self.folder / "gunicorn.log").open("ab") as log:
            return subprocess.Popen(
                [*command, "byocgw.asgi:application"], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )

    def wait_until_serving(self) -> None:
        for _ in range(1200):  # a minute: a busy machine takes long to start one
            try:
                if httpx.get(f"{self.url}/healthz", timeout=5, trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            threading.Event().wait(0.05)
        raise AssertionError(f"the gateway does not serve:\n{self.log()}")

    def log(self) -> str:
        path = self.folder / "gunicorn.log"
        return path.read_text() if path.exists() else ""

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.terminate()
            process.wait(timeout=40)

    def workers(self) -> list[int]:
        """Their process ids."""
        assert self.process is not None
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def kill_worker(self) -> None:
        os.kill(self.workers()[0], signal.SIGKILL)

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        url = self.environment["DATABASE_URL"]
        if url.startswith("postgres"):
            return _ask_postgres(url, query)
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=20)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()


@functools.cache
def _migrated() -> Path:
    """A SQLite database without rows of ours. Made once: it takes seconds."""
    folder = Path(tempfile.mkdtemp(prefix="byocgw-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    database = folder / "gateway.sqlite3"
    made = Served(folder, {}, DATABASE_URL=f"sqlite:///{database}")
    made.migrate()
    return database


def _ask_postgres(url: str, query: str) -> list[tuple[Any, ...]]:
    """`url`: of a server on a socket, as tests/support/postgres.sh writes it: postgres:///<folder>/<name>?user=..."""
    import psycopg

    parts = urlsplit(url)
    folder, _, name = parts.path.lstrip("/").rpartition("/")
    user = parse_qs(parts.query)["user"][0]
    with psycopg.connect(host=f"/{folder}", dbname=name, user=user) as connection:
        return connection.execute(query).fetchall()
