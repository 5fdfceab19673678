"""One request and its answer in our server protocol: by ASGI, or at once where they are one piece each."""

from __future__ import annotations

from asyncio import Future, Task, get_running_loop
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from logging import getLogger
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from httptools import parse_url
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from orchestrators.core.remembered import if_short
from orchestrators.upstream.transport.outbox import Outbox
from orchestrators.upstream.transport.request import VALUE
from routing.api.extensions import EXCHANGE

if TYPE_CHECKING:
    from byocgw.protocol import BoundedProtocol
    from byocgw.repeated import Asked, Field


class Unheard:
    """In the place of an Event of uvicorn's: who waits for one of our cycles is woken by `wake`."""

    def set(self) -> None: ...


class Cycle(RequestResponseCycle):
    """One request and its answer, with what `routing.api.extensions.Exchange` promises.

    `headers`: as ASGI has them, but that Content-Length may be another's: it is `length`.
    `pieces`, `size`: of the body, what nobody has received yet.
    """

    logger = getLogger("uvicorn.error")
    waiting_for_100_continue = access_log = False
    chunked_encoding: bool | None = None
    expected_content_length = 0
    message_event = Unheard()  # type: ignore[assignment]
    task: Task[None]
    protocol: BoundedProtocol | None  # until the application has returned
    scope: MutableMapping[str, Any]  # type: ignore[assignment]
    headers: list[Field]
    fields: dict[bytes, bytes]
    length: int | None
    route: Any | None  # by the application, of this request: its connection may ask for else by now
    outbox: Outbox
    tasks: set[Task[None]]
    lines: bytes
    pieces: list[bytes]
    size: int
    has_news: bool
    watched: bool | None
    waiter: Future[None] | None

    __init__ = object.__init__  # see `opened`

    def on_response(self) -> None:
        if self.protocol is not None:
            self.protocol.on_response_complete()

    async def run_asgi(self, app: Any) -> None:
        """As uvicorn's, which has itself taken off the list of tasks by one more turn of the loop."""
        fields = self.fields
        try:
            if self.route is None or b"x-forwarded-for" in fields or b"x-forwarded-proto" in fields:
                await self.by_asgi(app)
            else:
                await self.protocol.at_once.answer(self, self.route)  # type: ignore[union-attr]
        except BaseException as exc:
            self.logger.error("Exception in ASGI application\n", exc_info=exc)
            await self.give_up()
        else:
            if not (self.response_complete or self.disconnected):
                if not self.response_started:  # else what it passes on broke off: it says so by returning
                    self.logger.error("The application returned without having answered.")
                await self.give_up()
        finally:
            self.tasks.discard(self.task)
            self.protocol = None  # what each request leaves is to be freed without the collector
            self.headers = self.fields = None  # type: ignore[assignment]  # of 1.2 MB, maybe: we may idle now

    async def give_up(self) -> None:
        if self.response_started:
            self.transport.close()
        else:
            await self.send_500_response()

    # --- ASGI ---------------------------------------------------------------------------------------

    async def by_asgi(self, app: Any) -> None:
        length = (b"content-length", b"%d" % (self.length or 0))
        headers = [length if field[0] == b"content-length" else field for field in self.headers]
        scope = {**self.scope, "headers": headers, EXCHANGE: self}
        try:
            await app(scope, self.receive, self.send)
        finally:
            scope[EXCHANGE] = None

    async def receive(self) -> Any:
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        while not (self.pieces or self.has_news or self.disconnected or self.response_complete):
            if self.protocol is not None:
                self.protocol.read_on()
            self.waiter = get_running_loop().create_future()
            await self.waiter
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.taken(), "more_body": self.more_body}

    async def send(self, message: Any) -> None:
        if self.scope["http_version"] == "1.0":  # knows no chunks: the connection ends with the answer
            self.chunked_encoding = False
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)
        if self.response_complete:
            self.wake()

    def wake(self) -> None:
        """Whoever waits for more of the body, or for its end, should look again."""
        self.has_news = True
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def taken(self) -> bytes:
        pieces = self.pieces
        self.pieces, self.size, self.has_news = [], 0, False
        return b"".join(pieces)  # which of one piece makes no copy

    # --- at once ------------------------------------------------------------------------------------

    def whole_body(self, limit: int) -> list[bytes] | None:
        if self.more_body or self.disconnected or not self.has_news or self.size > limit:
            return None
        if self.flow.read_paused and self.protocol is not None:
            self.protocol.read_on()
        pieces = self.pieces or [b""]
        self.pieces, self.size, self.has_news = [], 0, False
        return pieces

    def answer_piece(self, piece: bytes) -> bool:
        if self.disconnected or self.flow.write_paused or not self.chunked_encoding:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return True

    def answer_whole(self, status: int, fields: Mapping[str, str], body: bytes) -> bool:
        """False for HEAD, for a client that takes nothing now, and for a field that no head may hold."""
        values = list(fields.values())
        told = "".join(values).encode("latin-1")
        form = form_of(*fields) if told.translate(VALUE) is told else None  # it is, if nothing is replaced
        if form is None or self.flow.write_paused or self.scope["method"] == "HEAD":
            return False
        if not self.disconnected:
            values.append(str(len(body)))
            parts = form.copy()
            parts[1::2] = values
            head = "".join(parts).encode("latin-1")
            end = b"\r\n\r\n" if self.keep_alive else b"\r\nconnection: close\r\n\r\n"
            answer = (STATUS_LINE[status], self.lines, head, end, body)
            self.outbox.add(self.transport, b"".join(answer))
            self.response_started = self.response_complete = True
            if not self.keep_alive:
                self.outbox.send(self.transport)
                self.transport.close()
            self.on_response()
            if self.waiter is not None:
                self.wake()
        return True


def scope_of(protocol: BoundedProtocol, asked: Asked) -> dict[str, Any]:
    """ASGI's, but for the headers. ValueError, AttributeError: a target that has no path, as CONNECT's, or
    more than 65,535 bytes."""
    method, url, version = asked
    path, raw_path, query = target_of(url)
    return {
        "type": "http",
        "asgi": {"version": protocol.asgi_version, "spec_version": "2.3"},
        "http_version": version,
        "server": protocol.server,
        "client": protocol.client,
        "scheme": protocol.scheme,
        "root_path": protocol.root_path,
        "method": method.decode("ascii"),
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
    }


@if_short(1024)
def target_of(url: bytes) -> tuple[str, bytes, bytes]:
    """Path, the same undecoded, and query."""
    parsed = parse_url(url)
    path = parsed.path.decode("ascii")
    return unquote(path) if "%" in path else path, parsed.path, parsed.query or b""


def opened(
    protocol: BoundedProtocol,
    headers: list[Field],
    fields: dict[bytes, bytes],
    length: int | None,
    keep_alive: bool,
) -> Cycle:
    """Without uvicorn's own part: what of it is seldom looked at is the class's. A class's call of `__init__`
    takes 1,000 instructions."""
    cycle: Cycle = Cycle()
    cycle.protocol = protocol
    cycle.scope = protocol.scope
    cycle.route = protocol.route
    cycle.headers = headers
    cycle.fields = fields
    cycle.length = length
    cycle.transport = protocol.transport
    cycle.flow = protocol.flow
    cycle.outbox = protocol.outbox
    cycle.tasks = protocol.tasks
    default_headers = cycle.default_headers = protocol.server_state.default_headers
    if default_headers is not protocol.dated:  # made anew once a second
        protocol.dated, protocol.lines = default_headers, lines_of(*default_headers)
    cycle.lines = protocol.lines
    cycle.keep_alive = keep_alive
    cycle.disconnected = cycle.response_started = cycle.response_complete = False
    cycle.more_body = True
    cycle.pieces = []
    cycle.size = 0
    cycle.has_news = cycle.watched = False
    cycle.waiter = None
    if b"expect" in fields:
        is_latest = cycle.scope["http_version"] == "1.1"
        cycle.waiting_for_100_continue = is_latest and fields[b"expect"].lower() == b"100-continue"
    return cycle


@lru_cache(maxsize=64)
def form_of(*names: str) -> list[str] | None:
    """Of the head of an answer with these fields and the length of its body: every second part is a value's
    place. Few sets of names are in use. None if a head may not hold one."""
    told = "".join(names).encode("latin-1")
    if told.translate(VALUE) != told:
        return None
    parts = [part for name in (*names, "content-length") for part in (f"\r\n{name}: ", "")]
    parts[0] = parts[0].removeprefix("\r\n")
    return parts


@lru_cache(maxsize=4)
def lines_of(*fields: tuple[bytes, bytes]) -> bytes:
    """Of a head. What uvicorn adds to every answer, the date, changes once a second."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])
