"""Django's `migrate`, as the one command that may make the SQLite file.

Everything else opens the file only if it is there: a gateway whose file is away for a moment keeps
serving from memory, instead of finding an empty new one in its place.
"""

from __future__ import annotations

import os
from typing import Any

from django.core.management.commands.migrate import Command as Migrate
from django.db import connections

from orchestrators.sqlite import sqlite_file
from orchestrators.triggers import install_triggers, missing_triggers


class Command(Migrate):
    def execute(self, *args: Any, **options: Any) -> str | None:
        using = options["database"]
        create_file(using)
        # The check that reports lost triggers would refuse to start the very command that restores them.
        if not (options["plan"] or options["check_unapplied"]) and missing_triggers(using):
            install_triggers(using)
        return super().execute(*args, **options)


def create_file(using: str) -> None:
    """An empty file is an empty SQLite database. For its owner's eyes: it holds keys' digests."""
    file = sqlite_file(using)
    if file is not None and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
        connections[using].close()
