"""What our server and our application offer each other beyond ASGI. With others either does without it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol, runtime_checkable

Scope = MutableMapping[str, Any]  # ASGI's
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

EXCHANGE = "byocgw.exchange"  # its name in a scope, while the application runs


class Exchange(Protocol):
    """One request and its answer, where they are one piece each, pieces between an answer's first and last,
    and the client's hanging up.

    `scope`: ASGI's, but for the headers: it is also that of other requests, and theirs differ. `fields`: see
    `fields_of`; without Content-Length, which is `length`, for the same reason. `task`: what the application
    runs in. Once the client has hung up it is `disconnected`, and its task is cancelled if that is `watched`,
    as whoever has all of the body may wish.
    """

    scope: Scope
    fields: dict[bytes, bytes]
    length: int | None
    task: asyncio.Task[Any]
    disconnected: bool
    watched: bool | None  # None: somebody has to receive to hear of it

    def receive(self) -> Awaitable[dict[str, Any]]:
        """ASGI's, as `send` is."""

    def send(self, message: dict[str, Any], /) -> Awaitable[None]: ...

    def whole_body(self, limit: int) -> list[bytes] | None:
        """The body's pieces, one at least, if all are here, none was received yet, and it is not longer than
        `limit` bytes; then `receive` has nothing but the hanging up left. None, with nothing taken, if not."""

    def answer_piece(self, piece: bytes) -> bool:
        """True once it is written; of an answer without a length, begun as ASGI does. False, with nothing
        written, where somebody has to wait for the client: send it as ASGI does."""

    def answer_whole(self, status: int, fields: Mapping[str, str], body: bytes) -> bool:
        """True once the whole answer is written; False, with nothing written: send it as ASGI does."""


class ByAsgi:
    """With a server that offers nothing more. To be made by the task that answers."""

    disconnected = False
    watched: bool | None = None

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope: Scope = scope
        self.receive, self.send = receive, send
        self.fields = fields_of(scope["headers"])
        digits = self.fields.pop(b"content-length", None)
        self.length = None if digits is None else int(digits)
        task = asyncio.current_task()
        assert task is not None
        self.task: asyncio.Task[Any] = task

    def whole_body(self, limit: int) -> list[bytes] | None:
        return None

    def answer_piece(self, piece: bytes) -> bool:
        return False

    def answer_whole(self, status: int, fields: Mapping[str, str], body: bytes) -> bool:
        return False


@runtime_checkable
class AtOnce(Protocol):
    """An application that answers some requests without a scope of their own."""

    def route(self, scope: Mapping[str, Any]) -> Any | None:
        """By what it answers all requests with this `Exchange.scope`. None: by ASGI alone."""

    def answer(self, exchange: Exchange, route: Any) -> Awaitable[None]: ...


def exchange_of(scope: Scope, receive: Receive, send: Send) -> Exchange:
    """For who is asked by ASGI. What is between us and the server may have changed the scope."""
    exchange: Exchange = scope.get(EXCHANGE) or ByAsgi(scope, receive, send)
    exchange.scope = scope
    return exchange


def fields_of(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The header fields of a scope; of a repeated one the values joined."""
    fields = dict(headers)
    if len(fields) < len(headers):
        for name in fields:
            fields[name] = b",".join(value for key, value in headers if key == name)
    return fields
