"""The data plane's way to the database: threads that own their connections, beside the event loop.

SQLite goes on reading a file that was moved away or replaced. So the file under a connection is looked at
before each use: one that is gone counts as a database that is away, another one is opened after a moment
in which every process has let go of the old one (two files at once would share one write-ahead log). Who uses
it too seldom to notice in time keeps no connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from django.db import Error as DatabaseError
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

log = logging.getLogger(__name__)
T = TypeVar("T")

SETTLE = 3.0  # seconds; every thread of every worker that keeps a connection looks more often than that


class OldSchema(Exception):
    """The code needs migrations that the database has not seen."""


class DatabaseThread:
    """One thread with its own connection, which is given up after every error.

    `file`: of SQLite, None where there is none. `clock`: monotonic seconds. `seldom`: it may be used less often
    than once in SETTLE, and keeps no connection to a file.
    `failing`: its latest work got no answer. `replaced`: how often another file was found.
    """

    def __init__(
        self,
        name: str,
        file: Path | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        seldom: bool = False,
    ) -> None:
        self.name = name
        self.failing = False
        self.replaced = 0
        self._file = file
        self._clock = clock
        self._keeps = file is None or not seldom
        self._opened: tuple[int, int] | None = None
        self._closed_until = 0.0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T | None:
        """The result, or None if the database failed; one log line per change of state."""
        try:
            result = await self.insist(work)
        except DatabaseError as exc:
            if not self.failing:
                log.error("%s: the database does not answer (%s); serving from memory", self.name, exc)
            self.failing = True
            return None
        if self.failing:
            log.warning("%s: the database answers again", self.name)
        self.failing = False
        return result

    async def insist(self, work: Callable[[], T]) -> T:
        """The result; raises what the database does."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._call, work)

    def _call(self, work: Callable[[], T]) -> T:
        try:
            self._look_at_file()
            result = work()
        except Exception:
            connection.close()
            raise
        if not self._keeps:
            connection.close()
        return result

    def _look_at_file(self) -> None:
        """Raises OperationalError while the file is away, or has just been replaced."""
        if self._file is None:
            return
        try:
            found = os.stat(self._file)
        except OSError as exc:
            raise OperationalError(f"the file cannot be opened: {exc}") from exc
        now = self._clock()
        if self._opened not in (None, (found.st_dev, found.st_ino)):
            self.replaced += 1
            self._closed_until = now + SETTLE
        self._opened = (found.st_dev, found.st_ino)
        if now < self._closed_until:
            raise OperationalError(f"{self._file} was replaced by another file")

    async def stop(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._pool, lambda: connection.close())
        self._pool.shutdown(wait=False)


def refuse_old_schema() -> None:
    """Raises OldSchema, naming the first missing migration; django.db.Error when the database is away."""
    executor = MigrationExecutor(connection)
    missing = [migration for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise OldSchema(f"The database lacks migration {missing[0]}{more}: run manage.py migrate.")
