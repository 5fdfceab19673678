"""Reading an answer up to the commit point: as much as it takes to judge it, and no more.

Four cases, and what is read of each before a byte goes to the client:

1. a known length of at most 64 KiB: all of it;
2. an event stream: its first event with data, keep-alive comments before it included;
3. a JSON answer of unknown length where the contract has a schema, and every error: up to 64 KiB;
4. anything else: its first piece.
"""

from __future__ import annotations

from orchestrators.core.classify import Contract
from orchestrators.upstream.base import Reply
from routing.delivery import Opening

JUDGED = 64 * 1024


async def read_opening(reply: Reply, contract: Contract) -> Opening:
    """Raises UpstreamError when the answer breaks before the commit point."""
    opening = Opening(reply, reply.chunks())
    size = 0
    while not _judgeable(opening, size, contract):
        piece = await anext(opening.rest, None)
        if piece is None:
            opening.whole = True
            break
        if piece:
            opening.pieces.append(piece)
            size += len(piece)
    return opening


def _judgeable(opening: Opening, size: int, contract: Contract) -> bool:
    reply = opening.reply
    if size > JUDGED:
        return True
    if opening.is_event_stream and reply.status < 300:
        return has_event(opening.head)
    if reply.length is not None and reply.length <= JUDGED:
        return False  # the end of the body ends the loop
    if not 200 <= reply.status < 300:
        return False
    must_be_whole = contract.validate is not None and "json" in reply.headers.get("content-type", "")
    return size > 0 and not (must_be_whole and reply.length is None)


def has_event(head: bytes) -> bool:
    """True if a whole event with data is here (an SSE block ends with an empty line)."""
    return first_event(head) is not None


def first_event(head: bytes) -> bytes | None:
    """The first block of an event stream that carries data; None if it has not arrived whole."""
    blocks = head.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n")
    for block in blocks[:-1]:
        if any(line.startswith(b"data") for line in block.split(b"\n")):
            return block
    return None
