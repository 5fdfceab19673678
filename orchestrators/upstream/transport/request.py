"""The head of a request as bytes, refused when a value could smuggle in a line of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

Field = tuple[bytes, bytes]

_TARGET = re.compile(rb"/[\x21-\x7e\x80-\xff]*")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VISIBLE = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])  # what a value may hold
_END = re.compile(rb"[?#]")
_DOTS = re.compile(rb"(?:/|%2f)(?:\.|%2e){1,2}(?:/|%2f|$)", re.IGNORECASE)


def head(method: bytes, target: bytes, host: bytes, fields: Iterable[Field], *, length: int | None) -> bytes:
    """Request line and header fields. `length`: of the body in bytes; None sends it chunked.

    ValueError: a control character, a space in the target, or a name that is no token.
    """
    if not _TARGET.fullmatch(target):
        raise ValueError(f"{target!r} cannot be the target of a request")
    lines = [b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (method, target, host)]
    for name, value in fields:
        if not _is_token(name) or value.translate(None, _VISIBLE):
            raise ValueError(f"{name!r}: {value!r} cannot be a header field")
        lines.append(b"%b: %b\r\n" % (name, value))
    lines.append(
        b"transfer-encoding: chunked\r\n\r\n" if length is None else b"content-length: %d\r\n\r\n" % length
    )
    return b"".join(lines)


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
        part = _END.split(part, maxsplit=1)[0].lstrip(b"/")
        if part:
            path = path.rstrip(b"/") + b"/" + part
    if _DOTS.search(path):
        raise ValueError(f"{path!r} climbs out of its prefix")
    return path


@lru_cache(maxsize=1024)
def quoted(path: str) -> bytes:
    """An operator's path as bytes: what is not URL-safe is percent-encoded, what already is stays."""
    return quote(path, safe="/%:@!$&'()*+,;=~?#").encode("ascii")
