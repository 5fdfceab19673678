"""Records and their lines: `<crc32, 8 hex digits> <JSON>\\n`.

What a line holds can be stored: texts are cut to the width of their columns here, and what no database
takes (NUL, lone surrogates, infinities) is replaced. So an answer's odd bytes cannot cost a record.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from django.db.models import Model

from routing.models import Attempt, Job

# Below the batch that is read at once, or a long line would block its file.
LONGEST = 256 * 1024


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One orchestrator asked. `at`: wall seconds. `detail`: for the operator."""

    at: float
    orchestrator: str
    outcome: str
    status: int | None
    ms: int
    cold: bool
    held_against: bool
    detail: str


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One finished call. `at`: wall seconds when it came. `wei`: exact. `decision`: plain JSON values.

    `code`: ok, client_error, cancelled, broken, or the refusal's code. `request_id` must be unique: the
    database refuses a second record of the same id, and its call would then count nowhere.
    """

    request_id: str
    at: float
    client: str
    capability: str
    worker_path: str
    code: str
    status: int
    orchestrator: str
    ms: int
    bytes_in: int
    bytes_out: int
    wei: int
    policy: int
    decision: dict[str, Any]
    attempts: tuple[AttemptRecord, ...]


def line_of(record: JobRecord) -> bytes:
    """The record's line, of at most `LONGEST` bytes; a longer one loses its decision, then all details.

    ValueError if it is too long even so.
    """
    for document in _ever_lighter(record):
        line = seal(_encoded(document))
        if len(line) <= LONGEST:
            return line
    raise ValueError(f"The record of {record.request_id} has {len(line)} bytes without its decision.")


def record_of(line: bytes) -> JobRecord:
    """The record of one line, without its newline; ValueError if it is damaged or not a record."""
    document = unseal(line)
    try:
        attempts = tuple(AttemptRecord(**attempt) for attempt in document.pop("attempts"))
        return JobRecord(**document, attempts=attempts)
    except (AttributeError, KeyError, TypeError) as exc:
        raise ValueError(f"Not a job's record: {exc}") from exc


def seal(body: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(body), body)


def unseal(line: bytes) -> Any:
    """The JSON value of a line; ValueError if the checksum says otherwise."""
    body = line[9:]
    if int(line[:8], 16) != zlib.crc32(body):
        raise ValueError("The checksum is wrong.")
    return json.loads(body)


def _widths(model: type[Model], record: type) -> tuple[tuple[str, int], ...]:
    """The columns of text that a record fills, and how many characters each holds."""
    names = {field.name for field in fields(record)}
    return tuple((f.name, f.max_length) for f in model._meta.fields if f.name in names and f.max_length)


_JOB = tuple(field.name for field in fields(JobRecord))
_JOB_WIDTHS = _widths(Job, JobRecord)
_ATTEMPT = tuple(field.name for field in fields(AttemptRecord))
_ATTEMPT_WIDTHS = _widths(Attempt, AttemptRecord)
# One encoder for all lines: json.dumps with options would make a new one each time.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def _document(record: JobRecord | AttemptRecord, names: tuple[str, ...], widths: Any) -> dict[str, Any]:
    document = {name: getattr(record, name) for name in names}
    for name, width in widths:
        document[name] = document[name][:width]
    return document


def _ever_lighter(record: JobRecord) -> Iterator[dict[str, Any]]:
    document = _document(record, _JOB, _JOB_WIDTHS)
    attempts = [_document(attempt, _ATTEMPT, _ATTEMPT_WIDTHS) for attempt in record.attempts]
    document["attempts"] = attempts
    yield document
    document["decision"] = {}
    yield document
    document["attempts"] = [{**attempt, "detail": ""} for attempt in attempts]
    yield document


def _encoded(document: dict[str, Any]) -> bytes:
    try:
        body = _encode(document).encode("ascii")
    except (TypeError, ValueError):  # a value that JSON has no word for
        return _encode(_storable(document)).encode("ascii")
    if b"\\u0000" in body or b"\\ud" in body:  # NUL or a surrogate, perhaps: rare enough to look closer
        return _encode(_storable(document)).encode("ascii")
    return body


def _storable(value: Any) -> Any:
    """The same value without what JSON or a database's text cannot hold."""
    match value:
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {_storable(str(key)): _storable(each) for key, each in value.items()}
        case list() | tuple():
            return [_storable(each) for each in value]
    return _storable(str(value))
