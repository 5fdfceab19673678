"""All connections to one service URI under one trust: a bulkhead.

A seat is taken for every exchange and given back at its end. A connection is opened only by who has
a seat and finds none idle, so there are never more connections than seats. It goes to an address that
was looked up and judged here, never to a name that could lead elsewhere a moment later.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from orchestrators.core.addresses import Network, refusal
from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import Body, NotConnected
from orchestrators.upstream.transport import request
from orchestrators.upstream.transport.answer import Answer, Whole
from orchestrators.upstream.transport.connection import Connection
from orchestrators.upstream.transport.limits import Limits
from orchestrators.upstream.transport.tls import Way

Told = TypeVar("Told")
_REFUSED = f"[Errno {errno.ECONNREFUSED}]"


@dataclass(frozen=True, slots=True)
class Address:
    """A service URI taken apart. `field`: the Host header."""

    secure: bool
    host: str
    port: int
    field: bytes

    @classmethod
    def of(cls, service_uri: str) -> Address:
        """ValueError: not `http(s)://host[:port]`."""
        parts = urlsplit(service_uri)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ValueError(f"{service_uri!r} is not http(s)://host[:port]")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(f"{service_uri!r} has more than a host and a port")
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        return cls(secure, parts.hostname, port, parts.netloc.encode("idna"))


class Origin:
    """`send` and `exchange` are the ways in; `aclose` aborts whatever is under way. `field`: see `Address`.
    `longest`: seconds, of an exchange that has no time of its own."""

    def __init__(
        self, address: Address, ways: tuple[Way, ...], limits: Limits, allowed: tuple[Network, ...]
    ) -> None:
        self._address = address
        self.field = address.field
        self._allowed = allowed
        self._ways = ways
        self._limits = limits
        self.longest = limits.total
        self._loop = asyncio.get_running_loop()
        self._seats = limits.connections  # that nobody has
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle: deque[Connection] = deque()
        self._connections: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        where = f"{self._address.host}:{self._address.port}"
        return f"<Origin {where} open {len(self._connections)} idle {len(self._idle)}>"

    @property
    def is_in_use(self) -> bool:
        """Something is under way, or a connection is kept."""
        return self._seats < self._limits.connections or bool(self._connections)

    def send(
        self,
        method: bytes,
        target: bytes,
        fields: Sequence[request.Field],
        body: bytes | Body,
        timeout: float,
        total: float | None = None,
    ) -> Coroutine[Any, Any, Answer | Whole]:
        """As `exchange`. ValueError: something that cannot be put into a request."""
        head = request.head(method, target, self.field, fields)
        return self.exchange((head,), body, timeout, self.longest if total is None else total, _as_it_is)

    async def exchange(
        self,
        lines: Iterable[bytes],
        body: bytes | Body,
        timeout: float,
        total: float,
        told: Callable[[Answer], Told],
    ) -> Told | Whole:
        """Returns at the head of the answer; the holder closes it.

        `lines`: in pieces, what `request.head` makes; nothing is sought in them. `timeout`: seconds to the
        answer, after the last byte of the request. `total`: seconds for all. `told`: makes what is returned of
        an answer that is not whole. UpstreamError.

        A kept connection may have been closed while the request was on its way. Where it is proved that
        nobody has read a byte of it, it is sent once more, on a new connection; otherwise it was sent.
        """
        # Where both are to be had at once, as nearly always.
        connection = self._reuse() if self._seats else None
        if connection is None:
            connection = await self._take()
        else:
            self._seats -= 1
        while True:
            exchange = connection.exchange(lines, body, timeout, total)
            try:
                answer = await exchange
                return answer if isinstance(answer, Whole) else told(answer)
            except NotConnected:
                if not connection.idle_since or not (isinstance(body, bytes) or body.repeatable):
                    raise
            except BaseException:
                connection.abandon(exchange)
                raise
            connection = await self._take(kept=False)

    async def aclose(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        closing = [connection.closed for connection in self._connections]
        for connection in self._connections:
            connection.abort()
        self._idle.clear()
        if closing:
            await asyncio.wait(closing)

    # -- connections ----------------------------------------------------------------------------

    async def _take(self, *, kept: bool = True) -> Connection:
        await self._seat()
        try:
            return (self._reuse() if kept else None) or await self._connect()
        except BaseException:
            self._leave()
            raise

    async def _seat(self) -> None:
        """A semaphore's work; asyncio's takes 3 us where a seat is free, as nearly always."""
        if self._seats:
            self._seats -= 1
            return
        turn = self._loop.create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._limits.wait):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._leave()  # it came just as its time ran out
            if isinstance(error, TimeoutError):
                text = f"{self._limits.connections} calls under way to {self._address.host}"
                raise NotConnected(Fault.SATURATED, text) from None
            raise

    def _leave(self) -> None:
        """To who has waited longest and still does."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._seats += 1

    def _reuse(self) -> Connection | None:
        """The one used last: the others may rest, and be closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
        return None

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(self._limits.connect):
                return await self._open_trusted()
        except TimeoutError:
            text = f"no connection within {self._limits.connect:g} s"
            raise NotConnected(Fault.UNREACHABLE, text) from None
        except (OSError, UnicodeError) as error:
            fault = Fault.REFUSED if _is_refusal(error) else Fault.UNREACHABLE
            raise NotConnected(fault, f"{type(error).__name__}: {error}") from error

    async def _open_trusted(self) -> Connection:
        reason = ""
        addresses = await self._addresses()
        for way in self._ways:
            try:
                connection = await self._open_any(addresses, way.context)
            except ssl.SSLCertVerificationError as error:
                reason = reason or f"certificate not trusted: {error.verify_message}"
                continue
            if not connection.is_usable():
                raise NotConnected(Fault.UNREACHABLE, "closed as soon as it was open")
            if not way.wanted or way.wanted == connection.fingerprint:
                return connection
            reason = f"certificate changed, now {connection.fingerprint}"
            connection.abort()
        raise NotConnected(Fault.UNTRUSTED, reason)

    async def _addresses(self) -> list[str]:
        """Where the name leads now, without what is not allowed; NotConnected when nothing is left."""
        found = await self._loop.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(where[0]) for *_, where in found))
        refused = {each: refusal(ip_address(each), self._allowed) for each in addresses}
        allowed = [each for each in addresses if not refused[each]]
        if not allowed:
            raise NotConnected(Fault.UNREACHABLE, next(iter(refused.values()), "a name without an address"))
        return allowed

    async def _open_any(self, addresses: list[str], context: ssl.SSLContext | None) -> Connection:
        """At the first address that takes a connection; each but the last has its share of the time for it."""
        errors: list[OSError] = []
        for address in addresses:
            share = None if address is addresses[-1] else self._limits.connect / len(addresses)
            try:
                async with asyncio.timeout(share):
                    return await self._open(address, context)
            except TimeoutError:
                errors.append(OSError(errno.ETIMEDOUT, f"no connection to {address}"))
            except ssl.SSLError:
                raise
            except OSError as error:
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        raise OSError("; ".join(map(str, errors)))

    async def _open(self, address: str, context: ssl.SSLContext | None) -> Connection:
        _, connection = await self._loop.create_connection(
            lambda: Connection(self, self._limits),
            address,
            self._address.port,
            ssl=context,
            server_hostname=self._address.host if context else None,
        )
        if not connection.closed.done():
            self._connections.add(connection)
        return connection

    # -- called by connections ------------------------------------------------------------------

    def ended(self, connection: Connection, reusable: bool) -> None:
        if reusable:
            connection.idle_since = self._loop.time()
            self._idle.append(connection)
            if self._sweeper is None:
                self._sweeper = self._loop.call_later(self._limits.keep, self._sweep)
        self._leave()

    def lost(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def _sweep(self) -> None:
        while self._idle and self._idle[0].idle_since + self._limits.keep <= self._loop.time():
            self._idle.popleft().abort()
        self._sweeper = None
        if self._idle:
            due = self._idle[0].idle_since + self._limits.keep
            self._sweeper = self._loop.call_at(due, self._sweep)


def _as_it_is(answer: Answer) -> Answer:
    return answer


def _is_refusal(error: Exception) -> bool:
    """The failures of several addresses of one name are told in one error without a number."""
    text = str(error)
    return isinstance(error, ConnectionRefusedError) or 0 < text.count("[Errno ") == text.count(_REFUSED)
