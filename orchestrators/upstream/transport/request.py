"""The head of a request as bytes, refused when a value could smuggle in a line of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from urllib.parse import quote

Field = tuple[bytes, bytes]
SHORT = 256  # bytes

_TARGET = re.compile(rb"/[\x21-\x7e\x80-\xff]*")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VISIBLE = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])  # what a value may hold
_END = re.compile(rb"[?#]")
_DOTS = re.compile(rb"(?:/|%2f)(?:\.|%2e){1,2}(?:/|%2f|$)", re.IGNORECASE)


def head(method: bytes, target: bytes, host: bytes, fields: Sequence[Field], *, length: int | None) -> bytes:
    """Request line and header fields. `length`: of the body in bytes; None sends it chunked.

    ValueError: a control character, a space in the target, or a name that is no token.
    """
    if not _TARGET.fullmatch(target):
        raise ValueError(f"{target!r} cannot be the target of a request")
    lines = b"%b: %b\r\n" * len(fields) % tuple(chain.from_iterable(fields))
    if lines.translate(None, _VISIBLE) != b"\r\n" * len(fields) or not all(map(_is_token, dict(fields))):
        odd = [each for each in fields if not _is_token(each[0]) or each[1].translate(None, _VISIBLE)]
        raise ValueError(f"{odd!r} cannot be header fields")
    framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b%b\r\n\r\n" % (method, target, host, lines, framing)


@lru_cache(maxsize=256)
def _is_token(name: bytes) -> bool:
    return _NAME.fullmatch(name) is not None


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
