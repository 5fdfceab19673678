"""How log lines look and what they never say: one JSON object a line, or text for a person at a terminal.

All of the product logs by the standard library; structlog writes. The same for gunicorn's master, which
has neither Django nor settings.

    1 repeated warnings and errors are thinned out: SOME of a kind within WINDOW seconds
    2 the request at hand adds its id, client, capability and attempt (`routing.context`)
    3 keys, tokens, passwords and the values of secret headers are blacked out, wherever they turn up
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import EventDict, Processor

from routing.context import current

WINDOW = 10.0  # seconds
SOME = 5
MOST_KINDS = 1000
LONGEST = 10_000  # characters of a value; strangers may name a host of a megabyte

# What a line may carry besides its text; libraries hang other things on theirs.
EXTRAS = (
    *("request", "client", "capability", "code", "status", "ms", "attempts", "orchestrator"),
    *("bytes_in", "bytes_out", "suppressed"),
)
HIDDEN = "***"
_KEY = re.compile(r"byoc_[A-Za-z0-9_-]+")
_SCHEME = re.compile(r"\b(bearer|basic)\s+[^\s'\",;]+", re.IGNORECASE)
_HEADER = re.compile(
    r"\b((?:proxy-)?authorization|cookie|set-cookie|x-api-key|livepeer[a-z-]*)(['\"]?\s*[:=,]\s*b?['\"]?)([^\s'\",;)}]+)",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@/\s]+@")


class Thinned(logging.Filter):
    """Of warnings and errors with the same text before its arguments, or without any from the same place in the
    code, SOME pass within WINDOW seconds; the first after that says how many did not. So strangers, who may
    write a part of a text, make no kind of their own. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[str, str], list[float]] = {}  # since when, passed, suppressed

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        told = str(record.msg)[:200] if record.args else f"{record.pathname}:{record.lineno}"
        kind, now = (record.name, told), self._clock()
        seen = self._kinds.get(kind)
        if seen is None or now - seen[0] >= WINDOW:
            if len(self._kinds) >= MOST_KINDS:
                self._kinds.clear()
            if seen is not None and seen[2]:
                record.suppressed = int(seen[2])
            self._kinds[kind] = [now, 1, 0]
            return True
        passes = seen[1] < SOME
        seen[1 if passes else 2] += 1
        return passes


def add_request(logger: Any, name: str, event: EventDict) -> EventDict:
    told = current()
    return event if told is None else {**told.log_fields(), **event}


def redact(logger: Any, name: str, event: EventDict) -> EventDict:
    """Last before writing: also what exceptions and tracebacks quote."""
    return {key: clean(value) for key, value in event.items()}


def clean(value: Any) -> Any:
    if isinstance(value, str):
        text = _SCHEME.sub(rf"\1 {HIDDEN}", value)
        text = _HEADER.sub(rf"\1\2{HIDDEN}", text)
        text = _PASSWORD.sub(rf"\1{HIDDEN}@", _KEY.sub(f"byoc_{HIDDEN}", text))
        return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
    if isinstance(value, MutableMapping):
        return {key: clean(each) for key, each in value.items()}
    return value if isinstance(value, int | float | bool | None) else clean(str(value))


def configuration(level: str, *, console: bool = False) -> dict[str, Any]:
    """For `logging.config.dictConfig`. `console`: text even where nobody sits at a terminal."""
    at_terminal = sys.stderr.isatty()
    writer: Processor = structlog.processors.JSONRenderer()
    if console or at_terminal:
        plain = structlog.dev.plain_traceback  # the text is redacted by then
        writer = structlog.dev.ConsoleRenderer(colors=at_terminal, exception_formatter=plain)
    chain: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        ExtraAdder(allow=EXTRAS),
        add_request,
    ]
    own = {"handlers": ["stderr"], "level": "INFO", "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"thinned": {"()": Thinned}},
        "formatters": {
            "line": {
                "()": ProcessorFormatter,
                "processors": [
                    ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    redact,
                    writer,
                ],
                "foreign_pre_chain": chain,
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["thinned"]}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "httpx": {"level": "WARNING"},  # a line per request says nothing
            "axes": {"level": "WARNING"},  # nor do several per attempt to log in, which are not thinned
            "gunicorn.error": own,
            "gunicorn.access": own,
        },
    }
