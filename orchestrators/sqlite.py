"""The SQLite file, where there is one."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.db import connections


def sqlite_file(using: str = "default") -> Path | None:
    """The file of a database that only `migrate` may create (settings open it with `mode=rw`)."""
    uri = urlsplit(str(connections[using].settings_dict["NAME"]))
    if connections[using].vendor != "sqlite" or uri.scheme != "file" or "mode=rw" not in uri.query.split("&"):
        return None
    return Path(unquote(uri.path))


def absent(using: str = "default") -> str:
    """ "" if there is a database to work with, else a sentence for whoever started a command."""
    file = sqlite_file(using)
    if file is None or file.exists():
        return ""
    return f"The database {file} does not exist yet: run manage.py migrate."
