"""Reading an answer up to the commit point: as much as it takes to judge it, and no more.

Four cases, and what is read of each before a byte goes to the client:

1. a known length of at most 64 KiB: all of it;
2. an event stream: its first event with data, keep-alive comments before it included;
3. a document of unknown length that the contract has a schema for, and every error: up to 64 KiB;
4. anything else: its first piece.
"""

from __future__ import annotations

import re

from orchestrators.core.contract import Contract
from orchestrators.upstream.base import Reply, is_event_stream
from routing.delivery import Opening

JUDGED = 64 * 1024
_PIECES = re.compile(rb"[^\r\n]+|[\r\n]+")
_BLANK_LINE = re.compile(rb"(?>\r\n|\r|\n){2}")


def opening_at_hand(reply: Reply) -> Opening | None:
    """The first case, where nothing of it has to be waited for, as of most answers: without the two coroutines
    of `read_opening`, which take 3,000 instructions. None in all others."""
    length = reply.length
    if length is None or length > JUDGED:
        return None
    streams = is_event_stream(reply.headers)
    body = None if streams and reply.status < 300 else reply.at_hand()
    return None if body is None else Opening(reply, None, body, True, streams)


async def read_opening(reply: Reply, contract: Contract) -> Opening:
    """Raises UpstreamError when the answer breaks before the commit point."""
    streams = is_event_stream(reply.headers)
    events = FirstEvent() if streams and reply.status < 300 else None
    if events is None and reply.length is not None and reply.length <= JUDGED:
        return Opening(reply, None, await reply.read(), True, streams)
    rest = reply.chunks()
    opening = Opening(reply, rest, is_event_stream=streams)
    pieces: list[bytes] = []
    size = 0
    while not _judgeable(opening, size, contract, events):
        piece = await anext(rest, None)
        if piece is None:
            opening.whole = True
            break
        if piece:
            pieces.append(piece)
            size += len(piece)
            if events is not None:
                events.feed(piece)
    opening.head = b"".join(pieces)
    return opening


def _judgeable(opening: Opening, size: int, contract: Contract, events: FirstEvent | None) -> bool:
    reply = opening.reply
    if size > JUDGED:
        return True
    if events is not None:
        return events.seen
    if not 200 <= reply.status < 300:
        return False
    if reply.length is None and contract.holds_document(reply.headers.get("content-type", "")):
        return False  # only all of it can be judged
    return size > 0


class FirstEvent:
    """Looks for the end of the first block with data, each byte once, however small the pieces are."""

    def __init__(self) -> None:
        self.seen = False
        self._has_data = False
        self._line = b""  # the start of the unfinished line
        self._newlines = b""  # since the last text, as many as a blank line can have

    def feed(self, piece: bytes) -> None:
        for part in _PIECES.findall(piece):
            if part[0] in b"\r\n":
                self._newlines = (self._newlines + part)[:4]
                self._line = b""
                if self._has_data and _BLANK_LINE.match(self._newlines):
                    self.seen = True
            else:
                if _BLANK_LINE.match(self._newlines):
                    self._has_data = False
                self._newlines = b""
                self._line += part[: 4 - len(self._line)]
                self._has_data |= self._line == b"data"


def first_event(head: bytes) -> bytes | None:
    """The first block of an event stream that carries data; None if it has not arrived whole."""
    blocks = head.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n")
    for block in blocks[:-1]:
        if any(line.startswith(b"data") for line in block.split(b"\n")):
            return block
    return None
