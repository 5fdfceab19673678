"""One socket to one origin, and one exchange at a time on it.

An exchange ends once, in `_finish` or `_fail`, and tells its owner so; the socket is used again only
after a whole answer of known length to a whole request, with nothing left over on either side.
What is wrong is told by how far it got: before the head `NotAnswered`, after it `PartlyAnswered`; and
`NotConnected` if the other side ended its stream without having taken a byte of the request, which is what
a kept connection looks like that was closed while the request was on its way (see `_took_nothing`).

The clock runs against the other side only: for its head, counted from the last byte it was sent, for
the next bytes of its answer, and while it takes no bytes. It is held while our own client is slow.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import ssl
import struct
import termios
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from typing import Protocol, cast

import httptools

from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import Body, NotAnswered, NotConnected, PartlyAnswered, UpstreamError
from orchestrators.upstream.transport import plain
from orchestrators.upstream.transport.answer import Answer, Whole
from orchestrators.upstream.transport.clock import Clock
from orchestrators.upstream.transport.limits import Limits
from orchestrators.upstream.transport.outbox import outbox_of
from orchestrators.upstream.transport.request import end
from orchestrators.upstream.transport.tls import fingerprint_of

HIGH_WATER = 256 * 1024  # bytes of an answer kept for a slow reader before the socket is left unread
_BODILESS = frozenset({204, 304})
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_VERSIONS = frozenset({"1.1", "1.0"})
Answered = asyncio.Future[Answer | Whole]


class Owner(Protocol):
    def ended(self, connection: Connection, reusable: bool) -> None:
        """Called once for each exchange."""

    def lost(self, connection: Connection) -> None:
        """Called once, when the socket is closed."""


class Connection(asyncio.Protocol):
    """Made by `loop.create_connection`; `exchange` while no other exchange is under way."""

    def __init__(self, owner: Owner, limits: Limits) -> None:
        self._owner = owner
        self._limits = limits
        self._short = min(limits.head, limits.body)  # bytes of an answer that no limit can touch
        self.loop = asyncio.get_running_loop()
        self._outbox = outbox_of(self.loop)
        self._pieces: list[bytes] = []  # of a body, from one read
        self.on_body = self._pieces.append  # called by the parser, at a tenth of what a method costs
        self._parser = httptools.HttpResponseParser(self)
        self._clock = Clock(self._expired)
        self._room: asyncio.Future[None] | None = None
        self._gone = self._paused = False
        self.fingerprint = ""
        self.idle_since = 0.0  # not before it has served an exchange
        self.closed: asyncio.Future[None] = self.loop.create_future()
        # of one exchange
        self._answered: Answered | None = None  # whoever asked waits for it
        self._answer: Answer | None = None  # since its head is here
        self._fields: list[tuple[bytes, bytes]] = []
        self._phrase = 0  # bytes of the status line
        self._barren = 0  # bytes since the last that were of use: head, trailers, chunk extensions
        self._written = 0
        self._complete = False
        self._in_one_piece = self._uploaded = False
        self._keep_alive = self._until_close = False  # known with the head

    def __repr__(self) -> str:
        return f"<Connection {'gone' if self._gone else 'open'} {self._answer}>"

    def is_usable(self) -> bool:
        return not self._gone and not self._transport.is_closing()

    def abort(self) -> None:
        self._gone = True
        self._clock.close()
        self._transport.abort()

    # -- the exchange ---------------------------------------------------------------------------

    def exchange(
        self, lines: Iterable[bytes], body: bytes | Body, timeout: float, total: float
    ) -> Awaitable[Answer | Whole]:
        """Comes with the head of the answer. UpstreamError, or the body's own error. To be awaited at once, and
        given to `abandon` by whoever no longer waits. `lines`: see `Origin.exchange`."""
        answered = self._answered = self.loop.create_future()
        self._clock.start(timeout, total)
        if isinstance(body, bytes):
            message = b"".join((*lines, end(len(body)), body))
            self._uploaded = self._in_one_piece = True
            self._written = len(message)
            self._outbox.add(self._transport, message)
            return answered
        self._uploaded = self._in_one_piece = False
        self._written = 0
        return self._while_uploading(answered, b"".join((*lines, end(body.length))), body, timeout)

    async def _while_uploading(
        self, answered: Answered, head: bytes, body: Body, timeout: float
    ) -> Answer | Whole:
        try:
            self._write(head)
            upload = self.loop.create_task(self._upload(answered, body, timeout))
            try:
                return await answered
            finally:
                if not upload.done():
                    upload.cancel()
                    # Not on its own: whoever tries elsewhere reads the same body from its start.
                    await asyncio.wait([upload])
        except BaseException:
            self.abandon(answered)
            raise

    async def _upload(self, answered: Answered, body: Body, timeout: float) -> None:
        self._clock.hold()
        await asyncio.sleep(0)  # a connection that was closed shows it now, before more is written to it
        chunks = body.chunks()
        try:
            await self._write_all(answered, chunks, body.length, timeout)
        except asyncio.CancelledError:
            # By us, which nobody hears, or inside the body: then nothing else would end the wait.
            _deny(answered, NotAnswered(Fault.BROKEN, "the request's body was given up"))
            raise
        except Exception as error:
            _deny(answered, error)
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()

    async def _write_all(
        self, answered: Answered, chunks: AsyncIterator[bytes], length: int | None, timeout: float
    ) -> None:
        sent = 0
        async for chunk in chunks:
            if answered.done():
                return
            sent += len(chunk)
            if length is not None and sent > length:
                raise ValueError(f"a body of {length} bytes has more")
            if chunk:
                self._write(chunk if length is not None else b"%x\r\n%b\r\n" % (len(chunk), chunk))
            if self._room is not None:
                self._clock.allow(timeout)
                await self._room
                if not answered.done():
                    self._clock.hold()
        if length is not None and sent < length:
            raise ValueError(f"a body of {length} bytes ended after {sent}")
        if not answered.done():
            if length is None:
                self._write(b"0\r\n\r\n")
            self._uploaded = True
            self._clock.allow(timeout)

    def _write(self, data: bytes) -> None:
        self._written += len(data)
        self._transport.write(data)

    def drained(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
            self._clock.allow(self._limits.idle)

    def abandon(self, what: Answer | Awaitable[Answer | Whole]) -> None:
        if what is self._answer or what is self._answered:
            self._fail(self._broken(Fault.BROKEN, Fault.CUT_OFF, "given up by us"))

    def _finish(self) -> None:
        reusable = (
            self._keep_alive
            and self._uploaded
            and not self._gone
            and self._transport.get_write_buffer_size() == 0
            and not self._outbox.holds(self._transport)
        )
        answer, self._answered, self._answer = self._answer, None, None
        if not reusable:
            self.abort()
        else:
            self._clock.stop()
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
        if answer is not None:  # the parser's
            self._phrase = self._barren = 0
            self._complete = False
            answer.end()
        self._owner.ended(self, reusable)

    def _fail(self, error: UpstreamError) -> None:
        answered, answer, self._answered, self._answer = self._answered, self._answer, None, None
        self._paused = False
        self.abort()
        if answered is None:
            return
        if answer is not None:
            answer.fail(error)
        else:
            _deny(answered, error)
        self._owner.ended(self, False)

    def _broken(self, before: Fault, after: Fault, text: str) -> UpstreamError:
        return NotAnswered(before, text) if self._answer is None else PartlyAnswered(after, text)

    def _expired(self) -> None:
        self._fail(self._broken(Fault.NO_ANSWER, Fault.STALLED, "no byte in time"))

    # -- called by the event loop ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.fingerprint = fingerprint_of(tls.getpeercert(binary_form=True) or b"")

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._clock.close()
        if self._answered is not None:
            if self._answer is not None and self._until_close and exc is None:
                self._finish()
            else:
                text = f"connection lost: {exc}" if exc else "connection closed"
                self._fail(self._broken(Fault.BROKEN, Fault.CUT_OFF, text))
        del self._parser  # it knows our methods: a cycle, which has grown too old to be collected soon
        self.closed.set_result(None)
        self._owner.lost(self)

    def eof_received(self) -> None:
        self._gone = True
        if self._answer is not None:
            if self._until_close:
                self._finish()
        elif self._answered is not None and not self._barren and self._took_nothing():
            self._fail(NotConnected(Fault.UNREACHABLE, "closed without having taken a byte of the request"))

    def _took_nothing(self) -> bool:
        """True if it is proved that nobody has read the request, asked when the other side ends its stream.

        The segment that ends the stream acknowledges all that had arrived before it (RFC 9293 3.10.7.4).
        So if every byte of the request is unacknowledged still, they came after the end, or not at all. A
        reset proves nothing: it need not tell what was read before. Under TLS the kernel counts what is
        encrypted, a little more; that is exact enough for a request in one piece, whose first record is
        longer than what all records add to it.
        """
        if self._outbox.holds(self._transport):
            return True
        if self.fingerprint and not self._in_one_piece:
            return False
        unread = self._unacknowledged() + self._transport.get_write_buffer_size()
        return unread >= self._written

    def _unacknowledged(self) -> int:
        """Bytes that the kernel has and the other side's has not."""
        count = bytearray(struct.calcsize("i"))
        with contextlib.suppress(OSError, ValueError):
            fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, count)
        return int(struct.unpack("i", count)[0])

    def pause_writing(self) -> None:
        self._room = self.loop.create_future()

    def resume_writing(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def data_received(self, data: bytes) -> None:
        answered = self._answered
        if answered is None:
            self.abort()  # bytes nobody asked for: this peer has lost count
            return
        if self._answer is None and not self._barren and len(data) <= self._short:  # all of it, perhaps
            whole = plain.read(data)
            if whole is not None:
                headers, body = whole
                if not answered.done():
                    answered.set_result(Whole(self.fingerprint, 200, headers, len(body), body))
                self._keep_alive = True
                return self._finish()
        self._barren += len(data)
        try:
            try:
                self._parser.feed_data(data)
            finally:  # what came before an error as well
                if self._pieces and self._answer is not None:
                    self._receive(self._answer)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            return self._misread(error)
        except PartlyAnswered as error:
            return self._fail(error)
        if self._complete:
            self._finish()
        elif self._barren > self._limits.head:
            self._fail(PartlyAnswered(Fault.TOO_LARGE, f"{self._barren} bytes of head or trailers"))
        elif self._answer is not None:
            if not self._paused:
                self._clock.allow(self._limits.idle)
            self._answer.wake()

    def _receive(self, answer: Answer) -> None:
        """PartlyAnswered: it is too large."""
        self._barren = 0
        size = 0
        for piece in self._pieces:
            size += len(piece)
        answer.pieces += self._pieces
        answer.size += size
        self._pieces.clear()
        if answer.length is None:
            answer.received += size
            if answer.received > self._limits.body:
                raise PartlyAnswered(Fault.TOO_LARGE, f"a body of more than {self._limits.body} bytes")
        if answer.size > HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()
            self._clock.hold()

    def _misread(self, error: Exception) -> None:
        if self._complete:
            self._keep_alive = False  # the answer itself was whole, what came after it is not ours
            self._finish()
        elif isinstance(error.__context__, UpstreamError):
            self._fail(error.__context__)  # said by a callback below
        else:
            self._fail(self._broken(Fault.MALFORMED, Fault.MALFORMED, f"not HTTP: {error}"))

    # -- called by the parser -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            raise PartlyAnswered(Fault.MALFORMED, "a second answer to one request")

    def on_status(self, phrase: bytes) -> None:
        """Nobody reads the phrase, but it is part of the head, and the parser lets NUL pass in it."""
        self._phrase += len(phrase)
        if 0 in phrase:
            raise NotAnswered(Fault.MALFORMED, "NUL in the status line")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        parser, fields, self._fields = self._parser, self._fields, []
        status = parser.get_status_code()
        if self._barren > self._limits.head:  # what came in this read behind the head is counted there too
            self._bound(fields)
        if status < 200 and status != 101:
            return  # on the way: the answer itself follows
        headers: dict[str, str] = {}
        for name, value in fields:
            # Of names the parser passes tokens alone.
            headers[name.decode().lower()] = value.decode("latin-1")
        said, coding = headers.get("content-length"), headers.get("transfer-encoding")
        # What the parser lets pass and two readers could understand in two ways.
        if (
            not 200 <= status <= 599
            or parser.get_http_version() not in _VERSIONS
            or (coding is not None and (said is not None or coding.strip().lower() != "chunked"))
            or (len(headers) < len(fields) and sum(name.lower() in _FRAMING for name, _ in fields) > 1)
        ):
            raise NotAnswered(Fault.MALFORMED, f"status {status} with framing we do not trust")
        length = None if said is None else int(said)
        if length is not None and length > self._limits.body:
            raise PartlyAnswered(Fault.TOO_LARGE, f"a body of {said} bytes")
        self._keep_alive = parser.should_keep_alive()
        self._until_close = said is None and coding is None and status not in _BODILESS
        self._barren = 0
        answer = self._answer = Answer(self, self.fingerprint, status, headers, length)
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(answer)

    def on_message_complete(self) -> None:
        if self._fields:  # trailers: never told
            self._bound(self._fields)
            self._fields = []
        self._complete = self._answer is not None

    def _bound(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        if self._phrase + sum(len(name) + len(value) + 4 for name, value in fields) > self._limits.head:
            raise PartlyAnswered(Fault.TOO_LARGE, f"a head of more than {self._limits.head} bytes")


def _deny(answered: Answered, error: Exception) -> None:
    if not answered.done():
        answered.set_exception(error)
        answered.exception()  # who waits may be cancelled before it hears of this: that is no error of its own
