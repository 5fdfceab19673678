"""The head of a request as bytes, refused when a value could smuggle in a line of its own."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote

from orchestrators.core.remembered import SHORT, if_short

Field = tuple[bytes, bytes]


def _unchanging(allowed: bytes) -> bytes:
    """A table by which `translate` leaves alone what has nothing but `allowed`, at half a regex's cost."""
    return bytes(each if each in allowed else each ^ 1 for each in range(256))


_TARGET = _unchanging(bytes([*range(0x21, 0x7F), *range(0x80, 0x100)]))
_NAME = _unchanging(b"!#$%&'*+.^_`|~-" + string.digits.encode() + string.ascii_letters.encode())
VALUE = _unchanging(bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)]))  # of a header field
_END = re.compile(rb"[?#]")
_DOTS = re.compile(rb"(?:/|%2f)(?:\.|%2e){1,2}(?:/|%2f|$)", re.IGNORECASE)


def head(method: bytes, target: bytes, host: bytes, fields: Sequence[Field]) -> bytes:
    """Request line and header fields, but for the length of the body (see `end`).

    ValueError: a control character, a space in the target, or a name that is no token.
    """
    if target[:1] != b"/" or target.translate(_TARGET) != target:
        raise ValueError(f"{target!r} cannot be the target of a request")
    parts = [b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (method, target, host)]
    for name, value in fields:
        if not _is_token(name):
            raise ValueError(f"{name!r} cannot be the name of a header field")
        parts += name, b": ", checked(value), b"\r\n"
    return b"".join(parts)


def end(length: int | None) -> bytes:
    """Of a head. `length`: of the body in bytes; None sends it chunked."""
    return b"transfer-encoding: chunked\r\n\r\n" if length is None else b"content-length: %d\r\n\r\n" % length


def checked(value: bytes) -> bytes:
    """The value of a header field. ValueError: a control character in it."""
    if value.translate(VALUE) != value:
        raise ValueError(f"{value!r} cannot be in a header field")
    return value


@if_short(64)
def content_type(value: str) -> bytes:
    """The line of a content type, none for "". ValueError as `checked`."""
    return b"content-type: %b\r\n" % checked(value.encode("latin-1")) if value else b""


@lru_cache(maxsize=256)  # few are in use
def _is_token(name: bytes) -> bool:
    return name != b"" and name.translate(_NAME) == name


def join(prefix: bytes, *parts: bytes) -> bytes:
    """`prefix` and the parts that are not empty, joined by single slashes, not decoded.

    A query or fragment is dropped. ValueError: a `.` or `..` segment, also a percent-encoded one;
    it would climb out of the prefix on a server that resolves it.
    """
    path = prefix
    for part in parts:
        if part and (part := _END.split(part, maxsplit=1)[0].lstrip(b"/")):
            path = path.rstrip(b"/") + b"/" + part
    if _DOTS.search(path):
        raise ValueError(f"{path!r} climbs out of its prefix")
    return path


def target_of(prefix: bytes, path: str, worker_path: bytes) -> bytes:
    """`prefix`, an offer's own `path` and the client's. Few are in use, so short ones are remembered."""
    make = _remembered if len(worker_path) <= SHORT else _target_of
    return make(prefix, path, worker_path)


def _target_of(prefix: bytes, path: str, worker_path: bytes) -> bytes:
    return join(prefix, quoted(path), worker_path)


_remembered = lru_cache(maxsize=1024)(_target_of)


@lru_cache(maxsize=1024)
def quoted(path: str) -> bytes:
    """An operator's path as bytes: what is not URL-safe is percent-encoded, what already is stays."""
    return quote(path, safe="/%:@!$&'()*+,;=~?#").encode("ascii")
