"""What our server offers beyond ASGI, by its name in the scope. Other servers offer it not."""

from __future__ import annotations

from asyncio import Task
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

EXCHANGE = "byocgw.exchange"  # while the application runs


class Exchange(Protocol):
    """One request and its answer, where they are one piece each, pieces between an answer's first and last,
    and the client's hanging up.

    `fields`: see `fields_of`. `task`: what the application runs in. Once the client has hung up it is
    `disconnected`, and its task is cancelled if that is `watched`, as whoever has all of the body may wish.
    """

    fields: dict[bytes, bytes]
    task: Task[None]
    disconnected: bool
    watched: bool

    def whole_body(self, limit: int) -> bytes | None:
        """The body, if all of it is here, none of it was received yet, and it is not longer than `limit` bytes;
        then `receive` has nothing but the hanging up left. None, with nothing taken, if not."""

    def answer_piece(self, piece: bytes) -> bool:
        """True once it is written; of an answer without a length, begun as ASGI does. False, with nothing
        written, where somebody has to wait for the client: send it as ASGI does."""

    def answer_whole(self, status: int, fields: Mapping[str, str], body: bytes) -> bool:
        """True once the whole answer is written; False, with nothing written: send it as ASGI does."""


def exchange_of(scope: Mapping[str, Any]) -> Exchange | None:
    return scope.get(EXCHANGE)


def fields_of(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The header fields of a scope; of a repeated one the values joined."""
    fields = dict(headers)
    if len(fields) < len(headers):
        for name in fields:
            fields[name] = b",".join(value for key, value in headers if key == name)
    return fields
