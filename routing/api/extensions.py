"""What our server offers beyond ASGI, by its name in the scope's `extensions`. Other servers offer it not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

EXCHANGE = "byocgw.exchange"  # -> Find


class Exchange(Protocol):
    """One request and its answer, where they are one piece each, and the client's hanging up."""

    def whole_body(self) -> bytes | None:
        """The body, if all of it is here and none of it was received yet; then `receive` has nothing but the
        hanging up left. None, with nothing taken, if not."""

    def when_gone(self, tell: Callable[[], None] | None) -> None:
        """`tell` is called once the client has hung up, at once if it has already; None: nobody any more."""

    def answer_whole(self, status: int, fields: Mapping[str, str], body: bytes) -> bool:
        """True once the whole answer is written; False, with nothing written: send it as ASGI does."""


# None once the connection has forgotten it.
Find = Callable[[], Exchange | None]


def exchange_of(scope: Mapping[str, object]) -> Exchange | None:
    extensions = scope.get("extensions")
    find = extensions.get(EXCHANGE) if isinstance(extensions, dict) else None
    return None if find is None else find()
