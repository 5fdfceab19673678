"""The `Livepeer` header of a stock client: base64 of a JSON object, read the way go-livepeer reads it.

Like Go's decoder: standard base64 with padding, keys in any case, unknown keys ignored, null the same as
absent, integers only where it wants an integer. Unlike it, a header without `parameters` is fine: its own
documentation shows one. What is let through here must parse at the orchestrator as well, which takes a
seat before it looks and does not give it back when the text is bad.
"""

from __future__ import annotations

import binascii
import json
import re
from dataclasses import dataclass
from typing import NoReturn

_LONGEST_TIMEOUT = 2**63 - 1  # Go reads it into an int64
_LONGEST_DURATION = 100  # characters; of a megabyte, each term takes its time

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TERM = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)"
_DURATION = re.compile(rf"\+?(?:{_TERM})+")


class JobHeaderError(ValueError):
    """The header cannot be used; the message is a sentence for the client."""


@dataclass(frozen=True, slots=True)
class JobHeader:
    """What a client asks for. `request` and `parameters` are JSON texts that travel on unchanged.

    `include` and `exclude` are service URIs, compared as exact strings; an empty `include` means all.
    `job_id` is the client's own, "" when it gave none.
    """

    capability: str
    request: str
    parameters: str
    timeout_seconds: int
    job_id: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]


def parse_job_header(value: str) -> JobHeader:
    """Read the header's value, or raise JobHeaderError."""
    if not value:
        raise JobHeaderError("The Livepeer job header is missing.")
    fields = _object(_decoded(value), "the header")
    capability = _text(fields, "capability")
    if not capability:
        raise JobHeaderError("The job header names no capability.")
    request = _text(fields, "request")
    parameters = _text(fields, "parameters") or "{}"
    # An orchestrator reads a stream id out of `request` and fails on anything but a string.
    _text(_object(request, "`request`", or_null=True), "stream_id")
    wishes = _child(_object(parameters, "`parameters`", or_null=True), "orchestrators")
    return JobHeader(
        capability=capability,
        request=request,
        parameters=parameters,
        timeout_seconds=_timeout(fields.get("timeout_seconds")),
        job_id=_text(fields, "id"),
        include=_texts(wishes, "include"),
        exclude=_texts(wishes, "exclude"),
    )


def parse_go_duration(text: str) -> float:
    """Seconds of a Go duration such as "250ms" or "1m30s", never negative; JobHeaderError otherwise."""
    if text == "0":
        return 0.0
    if len(text) > _LONGEST_DURATION or not _DURATION.fullmatch(text):
        raise JobHeaderError('A duration is written like "1s", "250ms" or "1m30s".')
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_TERM, text))


def _decoded(value: str) -> str:
    try:
        return binascii.a2b_base64(value, strict_mode=True).decode()
    except ValueError as error:
        raise JobHeaderError("The job header is not standard base64, with padding, of UTF-8 text.") from error


def _object(text: str, what: str, *, or_null: bool = False) -> dict[str, object]:
    """The object a JSON text holds, its keys in lower case."""
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise JobHeaderError(f"In the job header, {what} is not JSON.") from error
    if found is None and or_null:
        return {}
    return _lowered(found, what)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _lowered(found: object, what: str) -> dict[str, object]:
    if not isinstance(found, dict):
        raise JobHeaderError(f"In the job header, {what} is not a JSON object.")
    return {key.lower(): value for key, value in found.items()}


def _child(fields: dict[str, object], key: str) -> dict[str, object]:
    found = fields.get(key)
    return {} if found is None else _lowered(found, f"`{key}`")


def _text(fields: dict[str, object], key: str) -> str:
    found = fields.get(key)
    return "" if found is None else _string(found, key)


def _texts(fields: dict[str, object], key: str) -> tuple[str, ...]:
    found = fields.get(key)
    if found is None:
        return ()
    if not isinstance(found, list):
        raise JobHeaderError(f"In the job header, `{key}` is not a list of strings.")
    return tuple(_string(each, key) for each in found)


def _string(found: object, key: str) -> str:
    if not isinstance(found, str):
        raise JobHeaderError(f"In the job header, `{key}` is not a string.")
    try:
        found.encode()
    except UnicodeEncodeError as error:
        # JSON can spell half a surrogate pair; such a string could not be sent on.
        raise JobHeaderError(f"In the job header, `{key}` is not valid Unicode.") from error
    return found


def _timeout(found: object) -> int:
    if found is None or found == 0:
        raise JobHeaderError("The job header sets no timeout_seconds, which is required.")
    # Not isinstance: `true` is an int to Python, and no number to Go.
    if type(found) is not int:
        raise JobHeaderError("In the job header, `timeout_seconds` is not an integer.")
    if not 0 < found <= _LONGEST_TIMEOUT:
        raise JobHeaderError("In the job header, `timeout_seconds` is out of range.")
    return found
