"""A PostgreSQL cluster of one's own, to be stopped and started: Debian's binaries, a socket, no port."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

OPTIONS = "-c listen_addresses='' -c unix_socket_directories='{home}'"


class Cluster:
    """Skips the test where PostgreSQL or its driver is missing."""

    def __init__(self) -> None:
        pytest.importorskip("psycopg")
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not found:
            pytest.skip("no PostgreSQL server (apt-get install postgresql)")
        self.bin = found[-1].parent
        self.home = Path(tempfile.mkdtemp(prefix="byocgw-chaos."))
        self.url = f"postgres:///{self.home}/byocgw?user=byocgw"

    def __enter__(self) -> Self:
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(self.home, self._owner())
        self._run(
            "initdb", "-D", "data", "-U", "byocgw", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )
        self.start()
        self._run("createdb", "-h", str(self.home), "-U", "byocgw", "byocgw")
        return self

    def __exit__(
        self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop("immediate")
        shutil.rmtree(self.home)

    def start(self) -> None:
        options = OPTIONS.format(home=self.home)
        self._run("pg_ctl", "-D", "data", "-l", "log", "-o", options, "-s", "-w", "-t", "60", "start")

    def stop(self, how: str) -> None:
        """`fast`: sessions are cut off; `immediate`: as if the power had gone."""
        self._run("pg_ctl", "-D", "data", "-m", how, "-s", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        owner = self._owner() if os.getuid() == 0 else None
        command = [str(self.bin / program), *arguments]
        done = subprocess.run(command, cwd=self.home, user=owner, stdout=subprocess.DEVNULL)
        assert done.returncode == 0, command

    @staticmethod
    def _owner() -> str:
        names = {entry.pw_name for entry in pwd.getpwall()}
        return "postgres" if "postgres" in names else "nobody"
