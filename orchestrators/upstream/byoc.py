"""The BYOC protocol: a token says what is offered, a signed header goes with each job.

go-livepeer `byoc/job_orchestrator.go` is the other side. A job's path is the worker's, its
capability stands in the header; the query is dropped there, so it is dropped here.
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from collections.abc import AsyncIterator, Coroutine, Mapping
from functools import lru_cache, partial
from math import ceil
from typing import Any

import msgspec

from orchestrators.core.advert import parse_token
from orchestrators.core.remembered import SHORT
from orchestrators.upstream.base import TRACE, Call, Reply, Sighting, Sink, Target, is_event_stream
from orchestrators.upstream.signing import Signer
from orchestrators.upstream.sse import Events
from orchestrators.upstream.transport import Answer, Pool
from orchestrators.upstream.transport.request import checked, content_type, head, target_of

DETAIL = 500  # characters of a refusal kept for the operator
_TRACE = tuple((name, f"{name}: ".encode("ascii")) for name in TRACE)
_encode = msgspec.json.Encoder().encode
_compact = json.JSONEncoder(separators=(",", ":")).encode


class Job(msgspec.Struct):
    """What the `Livepeer` header says behind the `id`, keys in Go's order."""

    request: str
    parameters: str
    capability: str
    capability_url: str
    sender: str
    sig: str
    timeout_seconds: int
    search_time: int = msgspec.field(default=1_000_000_000, name="OrchSearchTimeout")  # ns, as Go sends them
    response_time: int = msgspec.field(default=500_000_000, name="OrchSearchRespTimeout")


def _around(
    host: bytes,
    path: str,
    worker_path: bytes,
    begun: bytes,
    request: str,
    parameters: str,
    capability: str,
    sender: str,
    sig: str,
    seconds: int,
) -> tuple[bytes, bytes]:
    """What stands in a head before and behind that part of the `Livepeer` header which each request has anew.

    The header is base64 of compact JSON, the two texts unchanged. `begun`: of the JSON, what that part leaves.
    ValueError: a path that cannot go into a request.
    """
    said = begun + b"," + _json(Job(request, parameters, capability, "", sender, sig, seconds))[1:]
    start = head(b"POST", target_of(b"/process/request/", path, worker_path), host, ())
    return start + b"livepeer: ", b2a_base64(said, newline=False) + b"\r\n"


_remembered = lru_cache(maxsize=256)(_around)


def address_header(signer: Signer) -> bytes:
    """The `Livepeer-Eth-Address` header."""
    addr, sig = signer.address_proof()
    return b2a_base64(_json({"addr": addr, "sig": sig}), newline=False)


def _json(document: Job | dict[str, str] | str) -> bytes:
    """msgspec takes 1 us where json takes 6. What UTF-8 has no bytes for, json escapes."""
    try:
        return _encode(document)
    except UnicodeEncodeError:
        return _compact(msgspec.to_builtins(document)).encode("ascii")


class EventReply:
    """`base.Reply` of an answer that is a stream of events: it ends at `[DONE]` (see `sse`)."""

    __slots__ = ("_answer", "_events", "_held")

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._events = Events()
        self._held = b""  # for the reader

    def __repr__(self) -> str:
        return f"<EventReply {self._answer}>"

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._answer.headers

    @property
    def length(self) -> int | None:
        return None

    @property
    def complete(self) -> bool:
        return self._events.ended and not self._held

    def at_hand(self) -> None:
        """Its events are told apart as they are read."""

    async def read(self) -> bytes:
        return b"".join([data async for data in self.chunks()])

    async def aclose(self) -> None:
        await self._answer.aclose()

    async def chunks(self) -> AsyncIterator[bytes]:
        answer, events = self._answer, self._events
        while not self.complete:
            if self._held:
                piece, self._held = self._held, b""
                yield piece
            elif answer.pieces:
                self._held = self._fed(answer.take())
            elif answer.ended:
                if rest := events.close():
                    yield rest
                return
            else:
                await answer.more()

    def divert(self, sink: Sink) -> None:
        self._answer.go_past(partial(self._pass_to, sink))

    def _pass_to(self, sink: Sink) -> bool:
        passed = self._fed(self._answer.take())
        if not self._events.ended and (not passed or sink(passed)):
            return True
        self._held = passed
        return False

    def _fed(self, data: bytes) -> bytes:
        """What is to be passed on of it; at the end the orchestrator is left, and the reader wakes."""
        passed = self._events.feed(data)
        if self._events.ended and not self._answer.ended:
            self._answer.source.abandon(self._answer)
        return passed


def _told(answer: Answer) -> Answer | EventReply:
    return EventReply(answer) if is_event_stream(answer.headers) else answer


class Byoc:
    """`base.Upstream` over a pool; `signer` says who asks."""

    def __init__(self, pool: Pool, signer: Signer) -> None:
        self._pool = pool
        self._signer = signer
        self._address = address_header(signer)

    def send(self, target: Target, call: Call) -> Coroutine[Any, Any, Reply]:
        """UpstreamError; ValueError: a path or content type that cannot go into a request.

        Of the job only the id changes with every request, and it comes first. Base64 makes four characters of
        each three bytes: what is around the threes that are whole is remembered, if it is short.
        """
        origin, signer = self._pool.origin(target), self._signer
        number, request, parameters, headers = call.request_id, call.request, call.parameters, call.headers
        capability, path = target.wire_name, call.worker_path
        seconds = ceil(call.timeout) if call.timeout > 0 else 1
        sig = signer.sign_job(
            request, parameters, job_id=number, capability=capability, timeout_seconds=seconds
        )
        job = b'{"id":' + _json(number)
        whole = len(job) // 3 * 3
        make = _remembered if len(request) + len(parameters) + len(path) <= SHORT else _around
        before, behind = make(
            origin.field,
            target.path,
            path,
            job[whole:],
            request,
            parameters,
            capability,
            signer.sender,
            sig,
            seconds,
        )
        lines = [before, b2a_base64(job[:whole], newline=False), behind, content_type(call.content_type)]
        for name, begin in _TRACE:
            if name in headers:
                lines += begin, checked(headers[name].encode("latin-1")), b"\r\n"
        return origin.exchange(lines, call.body, call.timeout, origin.longest, _told)

    async def look(self, target: Target, timeout: float) -> Sighting:
        """A token: price and free slots, never a slot taken. UpstreamError as `send`."""
        headers = {b"livepeer-eth-address": self._address, b"livepeer-capability": target.wire_name.encode()}
        async with self._pool.client(target) as client:
            response = await client.get("/process/token", headers=headers, timeout=timeout)
        fingerprint = response.extensions["fingerprint"]
        if response.status_code != 200:
            detail = response.content.decode("utf-8", "replace").strip()[:DETAIL]
            return Sighting(response.status_code, fingerprint=fingerprint, detail=detail)
        try:
            token = parse_token(json.loads(response.content))
        except (ValueError, RecursionError) as error:
            # Nothing is claimed by what cannot be read; None would mean that nothing needs claiming.
            detail = f"bad token: {error}"[:DETAIL]
            return Sighting(200, 0, readiness="faulty", fingerprint=fingerprint, detail=detail)
        price = None if token.price is None else str(token.price)
        return Sighting(200, token.capacity, price, fingerprint=fingerprint, model=token.model)
