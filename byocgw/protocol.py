"""uvicorn's HTTP/1.1 protocol with the bounds it lacks: nobody without a key can cost much.

A connection is always in one of three phases, and each has its own end:

    head      from the connect, or from the first byte after a message: at most HEAD bytes, FIELDS
              fields and SECONDS seconds, then 431 or 408 and the connection is closed. Looked at after
              each read, so that more than that is never kept longer, and at the end
    body      as slow as it likes while somebody works on an answer; the door bounds its size.
              Whatever is not content (chunk extensions, trailers) obeys HEAD as well.
              Requests that come meanwhile wait, at most PIPELINED; nothing is read while one does
    idle      uvicorn's keep-alive time; one second once the server drains

What we send may wait STALL seconds for a client that takes nothing of it, then the kernel resets the
connection (TCP_USER_TIMEOUT): also one that was closed with bytes left to send.

llhttp refuses what is malformed; `judge_repeated` and `judge_coding` what it lets pass and another reader could
read differently.

`pending` is what makes this cheap: bytes received since the parser last made progress (a complete head,
some body, a complete message). It is 0 after nearly every read, and then nothing else is looked at.

Draining: uvicorn closes idle connections at once, which breaks the request that is already on its way.
Here they get LINGER seconds, and every answer from then on says `Connection: close`.

What repeats the last request of its connection but for its body is not parsed again (`repeated`).

Who answers `AtOnce` is given no scope of its own, and where the request or its answer is one piece ASGI's
messages need not be made: uvicorn's `send` looks at each field by two regular expressions, twice 6 us of a
request. What is the same for all requests of a connection is made once, and so is what follows from a target
till another is asked for; what follows from the names of an answer's fields is remembered, and
its timer for idle time runs on while it is used. An answer in one piece is left in the loop's outbox: what
could write or close before it is sent sends it first.

Written against the internals of the uvicorn pinned in requirements.in (`cycle` and the callbacks of its
parser, `shutdown`); each behaviour has its test over a socket.
"""

from __future__ import annotations

import socket
from asyncio import Task, TimerHandle, Transport
from typing import Any, NoReturn

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from byocgw.cycle import Cycle, lines_of, opened, scope_of
from byocgw.repeated import Asked, Field, Head, head_of
from orchestrators.upstream.transport.outbox import outbox_of
from routing.api.extensions import AtOnce, fields_of

BODY_FIELDS = (b"content-length", b"transfer-encoding")
DIFFERENT = 5  # requests in a row
VERSIONS = frozenset({"1.1", "1.0"})


class BoundedProtocol(HttpToolsProtocol):
    """One connection of a client. The bounds are class attributes so that a subclass can set its own."""

    HEAD = 1_200_000  # bytes; lets the 1 MiB `Livepeer` header of a job pass. Exact to one read (256 KiB)
    FIELDS = 200
    PIPELINED = 100  # requests; a read of 256 KiB may hold 14,000
    SECONDS = 10.0  # for a whole head, however it trickles in
    LINGER = 1.0  # seconds
    STALL = 60.0  # seconds

    # What each request looks at. In the dict, beside all of uvicorn's, each look takes longer.
    __slots__ = (
        *("asked", "at_once", "clock", "cycle", "dated", "draining", "fields", "headers", "idle_since"),
        *("in_head", "known", "lines", "outbox", "pending", "route", "running", "scope", "short"),
        *("unlike", "url"),
    )

    cycle: Cycle  # of the newest request
    running: Cycle | None  # of the latest that is worked on, or was; those after it are in the pipeline
    clock: TimerHandle | None
    fields: dict[bytes, bytes]
    at_once: AtOnce | None  # what the application offers
    asked: Asked | None
    # Of all requests of this connection that ask for what `asked` tells: see `Exchange`, `AtOnce`.
    scope: dict[str, Any]  # type: ignore[assignment]
    route: Any
    known: Head | None
    unlike: int  # so many requests in a row did not repeat what is known
    short: int  # bytes of a request that no bound can touch
    lines: bytes  # of what uvicorn adds to every answer, as it was `dated`
    dated: list[tuple[bytes, bytes]]
    refusal = (400, "Invalid HTTP request received.")

    def __repr__(self) -> str:
        phase = "head" if self.in_head else "body"
        busy = "answering" if self.answering else "waiting"
        return f"<BoundedProtocol {busy}, {phase}, {self.pending} bytes pending>"

    # --- bytes in -----------------------------------------------------------------------------------

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.headers, self.fields, self.url = [], {}, b""
        self.pending, self.in_head, self.draining, self.clock = 0, True, False, None
        self.short = min(self.HEAD, HIGH_WATER_LIMIT)
        self.outbox = outbox_of(self.loop)
        self.bound_stall(transport.get_extra_info("socket"))
        self.start_clock()
        # Of its middleware for what a proxy says we ask only where one said so: 4 us.
        app: Any = self.app.app if isinstance(self.app, ProxyHeadersMiddleware) else self.app
        self.at_once = app if isinstance(app, AtOnce) else None
        self.asked, self.known, self.unlike, self.dated, self.lines = None, None, 0, [], b""
        self.running = None

    def bound_stall(self, sock: socket.socket) -> None:
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self.STALL * 1000))

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_clock()
        self._unset_keepalive_if_required()
        cycle = self.running
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.wake()  # before who waits for room to write: there is none to be had any more
            if cycle.watched:
                cycle.task.cancel("the client hung up")
        super().connection_lost(exc)

    def eof_received(self) -> None:
        self.outbox.send(self.transport)  # which closes after this

    def data_received(self, data: bytes) -> None:
        is_new = self.in_head and not self.pending and len(data) <= self.short
        if is_new and self.known is not None:
            body = self.known.read(data)
            if body is not None:
                self.repeat(self.known, body)
                return
        self.pending += len(data)
        try:
            self.parser.feed_data(data)
        except HttpParserError:
            self.logger.warning(self.refusal[1])
            self.refuse(*self.refusal)
            return
        except HttpParserUpgrade as upgrade:
            self._unsupported_upgrade_warning()
            is_new = False
            self.known = None
            rest = data[upgrade.args[0] :]  # the parser stops there
            if rest:
                self.data_received(rest)
                return
        if self.pending:
            if not self.transport.is_closing():
                self.bound_pending()
        elif is_new and self.in_head:
            self.know(data)

    def know(self, data: bytes) -> None:
        """A request came whole: the next one may repeat it, unless those of this connection all differ.
        The first one may have no next."""
        self.unlike += 1
        cycle, asked = self.cycle, self.asked
        if 1 < self.unlike < DIFFERENT and asked is not None and cycle.keep_alive:
            self.known = head_of(data, cycle.size, asked, cycle.headers, cycle.fields)

    def repeat(self, head: Head, body: bytes) -> None:
        """What the parser's callbacks would do."""
        self.unlike = 0
        if self.clock is not None:
            self.stop_clock()
        self.begin(head.asked, head.headers, head.fields, len(body), True)
        cycle = self.cycle
        cycle.pieces.append(body)
        cycle.size = len(body)
        cycle.more_body, cycle.has_news = False, True

    def bound_pending(self) -> None:
        """Some of what came is neither content nor a complete head: empty lines count too."""
        if self.pending > self.HEAD:
            self.refuse(431, "The head of this request is too large.")
        elif len(self.headers) > self.FIELDS:
            self.refuse(431, self.too_many_fields)
        elif self.in_head and self.clock is None:
            self.start_clock()

    # --- the parser's callbacks: raising makes the parser fail, and us refuse -----------------------

    def on_message_begin(self) -> None:
        self.pending = self.pending or 1  # a pipelined head: its share of this read is not known
        self.url = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self.headers.append((name, value))
        self.fields[name] = value

    def on_headers_complete(self) -> None:
        if self.pending > self.HEAD and self.head_size() > self.HEAD:
            self.reject(431, "The head of this request is too large.")
        if len(self.headers) > self.FIELDS:
            self.reject(431, self.too_many_fields)
        if self.parser.should_upgrade() and self.has_body():
            # The parser drops the body of such a request, and would read its rest as the next one.
            self.reject(400, "A request with a body cannot ask for an upgrade of the protocol.")
        fields = self.fields
        if len(fields) < len(self.headers):
            fields = self.judge_repeated()
        keeps = self.parser.should_keep_alive()
        # Unasked the parser keeps only what is 1.1 alive. It tells the version in 2,800 instructions.
        is_latest = keeps and b"connection" not in fields and b"proxy-connection" not in fields
        version: str = "1.1" if is_latest else self.parser.get_http_version()
        if version not in VERSIONS:
            self.reject(505, "This version of HTTP is not spoken here.")
        if b"transfer-encoding" in fields:
            self.judge_coding(fields[b"transfer-encoding"], version)
        self.pending = 0
        self.in_head = False
        if self.clock is not None:
            self.stop_clock()
        headers = self.headers
        self.headers, self.fields = [], {}  # of the next one, or of trailers
        digits = fields.pop(b"content-length", None)  # and no others: the parser sees to that
        length = None if digits is None else int(digits)
        self.begin((self.parser.get_method(), self.url, version), headers, fields, length, keeps)

    def judge_repeated(self) -> dict[bytes, bytes]:
        if [name for name, _ in self.headers].count(b"host") > 1:
            self.reject(400, "This request has more than one Host.")
        return fields_of(self.headers)

    def judge_coding(self, coding: bytes, version: str) -> None:
        if version == "1.0" or coding.strip().lower() != b"chunked":
            self.reject(400, "The only transfer coding here is chunked, in HTTP/1.1.")

    def begin(
        self, asked: Asked, headers: list[Field], fields: dict[bytes, bytes], length: int | None, keeps: bool
    ) -> None:
        """What uvicorn does once a head is complete, without what is switched off here: WebSockets, a root
        path, its own bound of requests."""
        before = self.cycle
        if asked != self.asked:
            self.turn_to(asked)
        keep_alive = keeps and asked[2] == "1.1" and not self.draining
        cycle = self.cycle = opened(self, headers, fields, length, keep_alive)
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            if len(self.pipeline) >= self.PIPELINED:
                self.reject(400, "Too many requests wait for their turn on this connection.")
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def turn_to(self, asked: Asked) -> None:
        """A client mostly asks for the same once more: what follows from that is kept till it asks for else."""
        self.scope = scope_of(self, asked)
        self.route = None if self.at_once is None else self.at_once.route(self.scope)
        self.asked = asked

    def _start_asgi_task(self, cycle: Cycle, app: Any) -> None:  # type: ignore[override]
        # As `create_task` does, which has a name written for each: 1,700 instructions.
        self.running = cycle
        task = cycle.task = Task(cycle.run_asgi(app), loop=self.loop, name="request")
        self.tasks.add(task)

    def read_on(self) -> None:
        """Once there is room for more of a body, or an answer is complete; not while requests wait for their
        turn, or each answer would let in as many more as a read holds."""
        if not self.pipeline:
            self.flow.resume_reading()

    def on_body(self, body: bytes) -> None:
        self.pending = 0
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.pieces.append(body)
            cycle.size += len(body)
            if cycle.size > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            if cycle.waiter is not None:
                cycle.wake()

    def on_message_complete(self) -> None:
        self.pending = 0
        self.in_head = True
        if self.headers:
            self.headers, self.fields = [], {}  # of trailers nobody hears
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.has_news = True
            if cycle.waiter is not None:
                cycle.wake()

    def head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def has_body(self) -> bool:
        return any(name in BODY_FIELDS and value != b"0" for name, value in self.headers)

    # --- refusing -----------------------------------------------------------------------------------

    @property
    def too_many_fields(self) -> str:
        return f"This request has more than {self.FIELDS} header fields."

    @property
    def answering(self) -> bool:
        """Is an answer owed? The newest request is the last to be answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def reject(self, status: int, text: str) -> NoReturn:
        self.refusal = (status, text)
        raise ValueError(text)

    def refuse(self, status: int, text: str) -> None:
        """Answer outside of ASGI and close; without an answer where one would be taken for another request's.

        The application, if it has begun, is told that the client is gone.
        """
        self.outbox.send(self.transport)
        if not self.answering or self.may_answer_for_it:
            body = text.encode()
            fields = [
                *self.server_state.default_headers,
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"%d" % len(body)),
                (b"connection", b"close"),
            ]
            self.transport.write(STATUS_LINE[status] + lines_of(*fields) + b"\r\n" + body)
            if self.answering:
                self.cycle.disconnected = True
                self.cycle.wake()
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
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        following = self.pipeline.pop() if self.pipeline else None
        if self.flow.read_paused:
            self.read_on()
        if following is not None:
            self._start_asgi_task(*following)  # type: ignore[arg-type]  # ours are Cycles
            return
        self.idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.close_if_unused)
        if self.cycle.more_body:
            self.start_clock()  # answered before the body had ended: its rest is not waited for longer

    def close_if_unused(self) -> None:
        self.timeout_keep_alive_task = None
        if self.answering or self.pending:
            return  # what ends that begins anew
        left = self.idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.close_if_unused)
        else:
            self.transport.close()

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
