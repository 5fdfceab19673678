"""On whose behalf the current task works, for log lines. Setting it costs a request 0.1 us.

Whoever writes a line need not know: the formatter asks when, and only when, there is a line to write.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Protocol


class Told(Protocol):
    def log_fields(self) -> Mapping[str, object]:
        """What a line says of it: ids and names, never a key, a header or a body."""


current: ContextVar[Told | None] = ContextVar("current", default=None)
