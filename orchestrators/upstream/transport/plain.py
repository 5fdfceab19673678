"""The answer that nearly every answer is, read without the parser: at half of its 32,000 machine instructions.

It is a 200 of HTTP/1.1 that leaves the connection open, announces the length of its body, and came whole in one
read. Servers repeat themselves, so what a line says is remembered. Only what leaves no doubt is read here; of
anything else the parser has to judge.
"""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST = 1024  # bytes of a head
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# What a parser acts upon, beside the length.
_ACTED_UPON = frozenset({"connection", "proxy-connection", "transfer-encoding", "upgrade"})


def read(data: bytes) -> tuple[dict[str, str], bytes] | None:
    """Header fields with lower-case names, and body. None: it is not such an answer."""
    head, _, body = data.partition(b"\r\n\r\n")
    if len(head) > LONGEST or not head.isascii():
        return None
    lines = head.decode().split("\r\n")
    if lines.pop(0) != "HTTP/1.1 200 OK":
        return None
    headers = dict(map(_field, lines))
    if (
        headers.get("content-length") != str(len(body))
        or len(headers) < len(lines)  # a name came twice
        or "" in headers
    ):
        return None
    return headers, body


@lru_cache(maxsize=1024)
def _field(line: str) -> tuple[str, str]:
    """Name and value, two empty texts if they are not plain."""
    name, _, value = line.partition(": ")
    known = name.lower()
    doubtful = known in _ACTED_UPON and line.lower() != "connection: keep-alive"
    if doubtful or not _NAME.fullmatch(name) or not value.isprintable() or value.strip() != value or not value:
        return "", ""
    return known, value
