"""Records and their lines: `<crc32, 8 hex digits> <JSON>\\n`.

The JSON is an array: the fields of JobRecord in their order, of which the last is an array of attempts, each
an array of the fields of AttemptRecord. A new field comes last and has a default, or files that an older
version left behind could not be read.

What a line holds can be stored: what no database takes (NUL, lone surrogates, infinities) is replaced, so an
answer's odd bytes cannot cost a record.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import msgspec

from orchestrators.core.storable import storable

# Below the batch that is read at once, or a long line would block its file.
LONGEST = 256 * 1024
_BACKSLASH = ord("\\")


class AttemptRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One orchestrator asked. `at`: wall seconds. `detail`: for the operator."""

    at: float
    orchestrator: str
    outcome: str
    status: int | None
    ms: int
    cold: bool
    held_against: bool
    detail: str


class JobRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One finished call. `at`: wall seconds when it came. `wei`: exact. `decision`: plain JSON values.

    `code`: ok, client_error, cancelled, broken, or the refusal's code. `request_id` must be unique: the
    database refuses a second record of the same id, and its call would then count nowhere. `trace`: W3C id.
    `model_id`: what the client of a pipeline route named, "" when it named none.
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
    trace: str = ""
    model_id: str = ""


class LineRecord(JobRecord, frozen=True, array_like=True, gc=False):
    """A record as it was read from its line: the decision is JSON still, as the database takes it."""

    decision: msgspec.Raw  # type: ignore[assignment]


def line_of(record: JobRecord) -> bytes:
    """The record's line, of at most `LONGEST` bytes; a longer one loses its decision, then all details.

    ValueError if it is too long even so, or if a value is not of its type.
    """
    line = seal(_encoded(record))
    if len(line) <= LONGEST:
        return line
    record = msgspec.structs.replace(record, decision={})
    line = seal(_encoded(record))
    if len(line) > LONGEST:
        short = tuple(msgspec.structs.replace(attempt, detail="") for attempt in record.attempts)
        line = seal(_encoded(msgspec.structs.replace(record, attempts=short)))
    if len(line) > LONGEST:
        raise ValueError(f"The record of {record.request_id} has {len(line)} bytes without its decision.")
    return line


def record_of(line: bytes) -> LineRecord:
    """The record of one line, without its newline; ValueError if it is damaged or not a record."""
    try:
        return _decode(_checked(line))
    except msgspec.DecodeError as exc:
        raise ValueError(f"Not a job's record: {exc}") from exc


def beginning_of(request_id: str) -> bytes:
    """How the JSON begins of the line of its record, which is what follows a line's first 9 bytes."""
    return _encoded((request_id,))[:-1] + b","


def job_of(line: bytes) -> JobRecord:
    """The record of a line that `line_of` has just made."""
    return _decode_job(line[9:])


def seal(body: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(body), body)


def unseal(line: bytes) -> Any:
    """The JSON value of a line; ValueError if the checksum says otherwise."""
    try:
        return msgspec.json.decode(_checked(line))
    except msgspec.DecodeError as exc:
        raise ValueError(f"Not JSON: {exc}") from exc


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(LineRecord).decode
_decode_job = msgspec.json.Decoder(JobRecord).decode


def _checked(line: bytes) -> bytes:
    body = line[9:]
    if int(line[:8], 16) != zlib.crc32(body):
        raise ValueError("The checksum is wrong.")
    return body


def _encoded(value: object) -> bytes:
    try:
        body = _encode(value)
    except (TypeError, ValueError):  # what JSON or UTF-8 has no word for
        return _encode(_storable(value))
    # NUL, perhaps: rare enough to look closer. One byte is found in a twentieth of the time that six take.
    if _BACKSLASH in body and b"\\u0000" in body:
        return _encode(_storable(value))
    return body


def _storable(value: Any) -> Any:
    """The same value without what JSON or a database's text cannot hold."""
    match value:
        case str():
            return storable(value)
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {_storable(str(key)): _storable(each) for key, each in value.items()}
        case list() | tuple():
            return [_storable(each) for each in value]
        case msgspec.Struct():
            return [_storable(getattr(value, name)) for name in value.__struct_fields__]
    return _storable(str(value))
