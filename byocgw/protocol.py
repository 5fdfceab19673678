"""uvicorn's HTTP/1.1 protocol with the bounds it lacks: nobody without a key can cost much.

A connection is always in one of three phases, and each has its own end:

    head      from the connect, or from the first byte after a message: at most HEAD bytes, FIELDS
              fields and SECONDS seconds, then 431 or 408 and the connection is closed
    body      as slow as it likes while somebody works on an answer; the door bounds its size.
              Whatever is not content (chunk extensions, trailers) obeys HEAD as well
    idle      uvicorn's keep-alive time; one second once the server drains

What we send may wait STALL seconds for a client that takes nothing of it, then the kernel resets the
connection (TCP_USER_TIMEOUT): also one that was closed with bytes left to send.

llhttp refuses what is malformed; `judge_framing` what it lets pass and another reader could read differently.

`pending` is what makes this cheap: bytes received since the parser last made progress (a complete head,
some body, a complete message). It is 0 after nearly every read, and then nothing else is looked at.

Draining: uvicorn closes idle connections at once, which breaks the request that is already on its way.
Here they get LINGER seconds, and every answer from then on says `Connection: close`.

Where the request or its answer is one piece, ASGI's messages need not be made (`EXCHANGE`, an extension in its
sense): uvicorn's `send` looks at each field by two regular expressions, twice 6 us of a request.

Written against the internals of the uvicorn pinned in requirements.in (`cycle` and the callbacks of its
parser, `send_400_response`, `shutdown`); each behaviour has its test over a socket.
"""

from __future__ import annotations

import socket
from asyncio import Event, TimerHandle, Transport
from collections.abc import Callable, Mapping
from typing import NoReturn
from urllib.parse import unquote
from weakref import ref

from httptools import parse_url
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from routing.api.extensions import EXCHANGE

BODY_FIELDS = (b"content-length", b"transfer-encoding")
FORWARDED = frozenset({b"x-forwarded-for", b"x-forwarded-proto"})
VISIBLE = bytes([9, *range(32, 127), *range(128, 256)])  # what a header field may hold


class BoundedProtocol(HttpToolsProtocol):
    """One connection of a client. The bounds are class attributes so that a subclass can set its own."""

    HEAD = 1_200_000  # bytes; lets the 1 MiB `Livepeer` header of a job pass. Exact to one read (256 KiB)
    FIELDS = 200
    SECONDS = 10.0  # for a whole head, however it trickles in
    LINGER = 1.0  # seconds
    STALL = 60.0  # seconds

    cycle: Cycle
    pending = 0
    in_head = True
    draining = False
    clock: TimerHandle | None = None
    refusal = (400, "Invalid HTTP request received.")

    def __repr__(self) -> str:
        phase = "head" if self.in_head else "body"
        busy = "answering" if self.answering else "waiting"
        return f"<BoundedProtocol {busy}, {phase}, {self.pending} bytes pending>"

    # --- bytes in -----------------------------------------------------------------------------------

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.bound_stall(transport.get_extra_info("socket"))
        self.start_clock()

    def bound_stall(self, sock: socket.socket) -> None:
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self.STALL * 1000))

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_clock()
        super().connection_lost(exc)
        if self.cycle is not None and self.cycle.disconnected:
            self.cycle.tell_gone()

    def data_received(self, data: bytes) -> None:
        self.pending += len(data)
        super().data_received(data)
        if self.pending and not self.transport.is_closing():
            self.bound_pending()

    def bound_pending(self) -> None:
        """Some of what came is neither content nor a complete head: empty lines count too."""
        if self.pending > self.HEAD:
            self.refuse(431, "The head of this request is too large.")
        elif self.in_head and self.clock is None:
            self.start_clock()

    # --- the parser's callbacks: raising makes uvicorn call send_400_response -----------------------

    def on_message_begin(self) -> None:
        self.pending = self.pending or 1  # a pipelined head: its share of this read is not known
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_head:
            return  # a trailer: the head has been judged, nothing may be added to it
        if len(self.headers) >= self.FIELDS:
            self.reject(431, f"This request has more than {self.FIELDS} header fields.")
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self.pending > self.HEAD and self.head_size() > self.HEAD:
            self.reject(431, "The head of this request is too large.")
        if self.parser.should_upgrade() and self.has_body():
            # The parser drops the body of such a request, and would read its rest as the next one.
            self.reject(400, "A request with a body cannot ask for an upgrade of the protocol.")
        fields = dict(self.headers)
        version = self.judge_framing(fields)
        self.pending = 0
        self.in_head = False
        self.stop_clock()
        self.begin(fields, version)

    def judge_framing(self, fields: Mapping[bytes, bytes]) -> str:
        """The version, if there is nothing that the parser lets pass and a proxy before us could understand in
        another way."""
        version: str = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            self.reject(505, "This version of HTTP is not spoken here.")
        if len(fields) < len(self.headers) and [name for name, _ in self.headers].count(b"host") > 1:
            self.reject(400, "This request has more than one Host.")
        coding = fields.get(b"transfer-encoding")
        if coding is not None and (version == "1.0" or coding.strip().lower() != b"chunked"):
            self.reject(400, "The only transfer coding here is chunked, in HTTP/1.1.")
        return version

    def begin(self, fields: Mapping[bytes, bytes], version: str) -> None:
        """What uvicorn does once a head is complete, without what is switched off here: WebSockets, a root
        path, its own bound of requests. Its middleware for what a proxy says is asked where one said so."""
        scope, before = self.scope, self.cycle
        url = parse_url(self.url)
        path = url.path.decode("ascii")
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        cycle = self.cycle = Cycle(
            scope,
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            False,  # the access log
            self.server_state.default_headers,
            Event(),
            fields.get(b"expect", b"").lower() == b"100-continue",
            not self.draining and version == "1.1" and self.parser.should_keep_alive(),
            self.on_response_complete,
        )
        # Weakly: the cycle has the scope, and what each request leaves is to be freed without the collector.
        scope["extensions"] = {EXCHANGE: ref(cycle)}  # type: ignore[dict-item]
        app = self.app
        if isinstance(app, ProxyHeadersMiddleware) and FORWARDED.isdisjoint(fields):
            app = app.app  # 4 us
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))

    def on_body(self, body: bytes) -> None:
        self.pending = 0
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        self.pending = 0
        self.in_head = True
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    def head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def has_body(self) -> bool:
        return any(name in BODY_FIELDS and value != b"0" for name, value in self.headers)

    # --- refusing -----------------------------------------------------------------------------------

    @property
    def answering(self) -> bool:
        """Is an answer owed? The newest request is the last to be answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def reject(self, status: int, text: str) -> NoReturn:
        self.refusal = (status, text)
        raise ValueError(text)

    def send_400_response(self, msg: str) -> None:
        self.refuse(*self.refusal)

    def refuse(self, status: int, text: str) -> None:
        """Answer outside of ASGI and close; without an answer where one would be taken for another request's.

        The application, if it has begun, is told that the client is gone.
        """
        if not self.answering or self.may_answer_for_it:
            body = text.encode()
            fields = [
                *self.server_state.default_headers,
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"%d" % len(body)),
                (b"connection", b"close"),
            ]
            head = b"".join(b"%s: %s\r\n" % field for field in fields)
            self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
            if self.answering:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
        self.transport.close()

    @property
    def may_answer_for_it(self) -> bool:
        """What is wrong is the body of the very request whose answer is next and has not begun."""
        return not (self.in_head or self.cycle.response_started or self.pipeline)

    # --- time ---------------------------------------------------------------------------------------

    def start_clock(self) -> None:
        self.stop_clock()
        self.clock = self.loop.call_later(self.SECONDS, self.too_slow)

    def stop_clock(self) -> None:
        if self.clock is not None:
            self.clock.cancel()
            self.clock = None

    def too_slow(self) -> None:
        if self.answering:  # a pipelined head may wait for the answer before it: we may not be reading
            self.start_clock()
        elif self.pending:
            self.refuse(408, "The head of this request took too long.")
        else:  # nothing came at all: perhaps opened ahead of need, and a 408 would answer a later request
            self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.more_body and not self.answering and not self.transport.is_closing():
            self.start_clock()  # answered before the body had ended: its rest is not waited for longer

    # --- draining -----------------------------------------------------------------------------------

    def shutdown(self) -> None:
        self.draining = True
        if "drain_begins" in self.app_state:
            self.app_state["drain_begins"]()  # the application says so in its readiness
        if self.answering:
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(self.LINGER, self.close_if_idle)

    def close_if_idle(self) -> None:
        """A head under way is let in (its clock runs); its answer will close the connection."""
        if not self.answering and not self.pending:
            self.transport.close()


def nobody() -> None:
    """To be told that the client is gone."""


class Cycle(RequestResponseCycle):
    """One request and its answer, with what `routing.api.extensions.Exchange` promises."""

    tell_gone: Callable[[], None] = staticmethod(nobody)

    def when_gone(self, tell: Callable[[], None] | None) -> None:
        self.tell_gone = tell or nobody
        if self.disconnected:
            self.tell_gone()

    def whole_body(self) -> bytes | None:
        if self.more_body or self.disconnected or self.response_complete or not self.message_event.is_set():
            return None
        self.message_event.clear()
        self.flow.resume_reading()
        body, self.body = bytes(self.body), bytearray()
        return body

    def answer_whole(self, status: int, fields: Mapping[str, str], body: bytes) -> bool:
        """False for HEAD, for a client that takes nothing now, and for a field that no head may hold."""
        head = "".join([f"{name}: {value}\r\n" for name, value in fields.items()]).encode("latin-1")
        is_sound = head.translate(None, VISIBLE) == b"\r\n" * len(fields)
        if not is_sound or self.flow.write_paused or self.scope["method"] == "HEAD":
            return False
        if not self.disconnected:
            ours = b"".join([b"%b: %b\r\n" % field for field in self.default_headers])
            last = b"" if self.keep_alive else b"connection: close\r\n"
            size = b"content-length: %d\r\n" % len(body)
            self.transport.write(b"".join((STATUS_LINE[status], ours, head, size, last, b"\r\n", body)))
            self.response_started = self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()
        return True
