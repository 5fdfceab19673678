"""What every way of talking to an orchestrator has in common: the call, the reply, and the errors.

    UpstreamError              .fault says what happened, .sent how far the request got
      NotConnected             nobody has read a byte of the request: safe to repeat anywhere
      NotAnswered              it may have been read: the container may have begun
      PartlyAnswered           part of an answer came, then it broke, stalled or grew too large

Raised by `orchestrators.upstream` alone; foreign exceptions are translated in its transport.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from orchestrators.core.hardware import Hardware
from orchestrators.core.outcome import Fault

# W3C Trace Context: the only header fields besides the protocol's own that go to an orchestrator.
TRACE = ("traceparent", "tracestate")


class UpstreamError(Exception):
    """`fault`: what happened. The text is for the operator: it may name hosts."""

    def __init__(self, fault: Fault, text: str = "") -> None:
        super().__init__(text or fault.value)
        self.fault = fault


class NotConnected(UpstreamError):
    """SATURATED, REFUSED, UNREACHABLE, UNTRUSTED."""


class NotAnswered(UpstreamError):
    """NO_ANSWER, BROKEN, MALFORMED."""


class PartlyAnswered(UpstreamError):
    """STALLED, CUT_OFF, TOO_LARGE; and MALFORMED in the middle of a body."""


class Target(msgspec.Struct, frozen=True, gc=False):
    """Where an offer lives, as the table and the prober know it.

    `service_uri`: `http(s)://host[:port]`, without a trailing slash. `tls`: verify | pin | insecure.
    `fingerprint`: the stored SHA-256 of its certificate in lower-case hex, "" when none was seen.
    `wire_name`: the name the orchestrator knows the capability by. `path`: the offer's own prefix.
    """

    service_uri: str
    protocol: str
    wire_name: str
    path: str = ""
    tls: str = "pin"
    fingerprint: str = ""


class Body(Protocol):
    """A request body. Each `chunks()` starts from the first byte, as long as it is `repeatable`.

    `length`: bytes, or None when it is not known before the end.
    """

    @property
    def length(self) -> int | None: ...

    @property
    def repeatable(self) -> bool: ...

    def chunks(self) -> AsyncIterator[bytes]: ...


class Call(msgspec.Struct, frozen=True):
    """One attempt at one offer. `request` and `parameters` are JSON texts and travel unchanged.

    `method` and `query` (without its question mark) reach those whose protocol has words for them.
    """

    request_id: str
    worker_path: bytes
    content_type: str
    body: bytes | Body
    timeout: float
    request: str = "{}"
    parameters: str = "{}"
    headers: Mapping[str, str] = {}
    method: bytes = b"POST"
    query: bytes = b""


_EVENT_STREAM = "text/event-stream"


def is_event_stream(headers: Mapping[str, str]) -> bool:
    """Of an answer, by its content type. `headers`: names in lower case."""
    content_type = headers.get("content-type", "").lower()
    return _EVENT_STREAM in content_type and content_type.startswith(_EVENT_STREAM)  # which alone takes longer


# Given a piece of an answer. False: not taken, since its client does not take what is sent.
Sink = Callable[[bytes], bool]


class Reply(Protocol):
    """The head of an answer, and its body as it comes. Whoever holds it must `aclose()` it.

    `headers`: lower-case names; a repeated field keeps its last value.
    `complete`: all of the body has been received, and all that was received has been read.
    """

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def length(self) -> int | None: ...

    @property
    def complete(self) -> bool: ...

    def chunks(self) -> AsyncIterator[bytes]: ...

    def divert(self, sink: Sink) -> None:
        """What comes while the reader of `chunks` waits goes to `sink` at once, until it does not take a piece.
        The last one goes to the reader, and so does all of a reply that cannot do this."""

    def at_hand(self) -> bytes | None:
        """All of the body, which counts as read then, if all of it has been received and none of it was read
        yet. None, with nothing read, if not, or where that cannot be told."""

    async def read(self) -> bytes:
        """All of the body at once, for one that is known to be short."""

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a probe without work learnt: a token, or a container's own health.

    `capacity`: free slots claimed, None when the protocol has no such word.
    `price`: the price text of `core.price.Price`, None when the protocol quotes none.
    `readiness`: ready | loading | faulty | reachable. `fingerprint`: of the certificate seen ("" on http).
    `hardware`: where a container tells it.
    """

    status: int
    capacity: int | None = None
    price: str | None = None
    readiness: str = "reachable"
    fingerprint: str = ""
    model: str = ""
    detail: str = ""
    hardware: Hardware = Hardware()


class Upstream(Protocol):
    """One protocol. `send` returns once the head of the answer is here; `look` never starts work."""

    async def send(self, target: Target, call: Call) -> Reply: ...

    async def look(self, target: Target, timeout: float) -> Sighting: ...
