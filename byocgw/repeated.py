"""A request that says what the last one of its connection said, but for its body and length: not parsed again.

Clients keep asking for the same, with the same fields. What the parser has accepted it would accept once more,
whatever number its Content-Length is; so where all other bytes of a head are those of a head that it has read,
and nothing but the whole body follows, there is nothing left for it to tell: 15,000 of a request's machine
instructions. Whatever differs in more is the parser's.
"""

from __future__ import annotations

import re

import msgspec

LONGEST = 4096  # bytes of a head that is kept
Asked = tuple[bytes, bytes, str]  # method, target, version
Field = tuple[bytes, bytes]
_LENGTH = re.compile(rb"\r\n(?i:content-length): (0|[1-9][0-9]*)\r\n")


class Head(msgspec.Struct, eq=False):
    """`before`, `after`: its bytes but for the digits of its length, which start at `place`. `headers`,
    `fields`: as in `Cycle`, of each request that repeats it."""

    before: bytes
    place: int
    after: bytes
    asked: Asked
    headers: list[Field]
    fields: dict[bytes, bytes]

    def read(self, data: bytes) -> bytes | None:
        """The body of a request with this head. None: it is another, or not all of it, or more."""
        place = self.place
        if data[:place] != self.before:  # a slice and a comparison take less than `startswith`
            return None
        digits, found, body = data[place:].partition(self.after)
        return body if found and digits == b"%d" % len(body) else None


def head_of(
    data: bytes, size: int, asked: Asked, headers: list[Field], fields: dict[bytes, bytes]
) -> Head | None:
    """Of a request that the parser has read from `data`, with a body of `size` bytes at its end; None if that
    is not all of it, or if what it says of its length is not said once and plainly."""
    end = len(data) - size
    if end > LONGEST or data.find(b"\r\n\r\n") + 4 != end or data.count(b"\r\n", 0, end) != len(headers) + 2:
        return None
    found = _LENGTH.search(data, 0, end)
    if found is None or len(fields) < len(headers) - 1 or b"transfer-encoding" in fields:
        return None
    if (b"content-length", found[1]) not in headers or int(found[1]) != size:
        return None
    start, stop = found.span(1)
    return Head(data[:start], start, data[stop:end], asked, headers, fields)
