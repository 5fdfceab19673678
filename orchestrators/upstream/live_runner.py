"""Live Runner: an app behind an orchestrator's proxy, which preserves method, query, status and streams.

A single-shot call is any request to `/apps/{route}/app/...`; the slot is taken and given back by the
orchestrator itself (go-livepeer `server/ai_http.go`). What is offered, at which price and with how many free
slots, stands in `GET /discovery`, where unhealthy runners are hidden. A priced runner answers 402 with a
challenge, which a `Payer` may answer; without one the 402 stays the answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrators.core.discovery import Entry, Format, Kind, Named, NotTheFormat, read
from orchestrators.upstream.base import Call, Reply, Sighting, Target
from orchestrators.upstream.direct import DETAIL, FORWARDED
from orchestrators.upstream.transport import Answer, Pool, Whole
from orchestrators.upstream.transport.request import Field, target_of

LONGEST_CHALLENGE = 64 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a priced runner asks to be paid by. `payment_params`: base64 of an OrchestratorInfo."""

    payment_params: str
    orchestrator: str
    manifest_id: str
    app: str


class Payer(Protocol):
    """`address`: who pays, "0x" and hex; priced runners make their challenge for it."""

    @property
    def address(self) -> str: ...

    async def pay(self, challenge: Challenge) -> Sequence[Field]:
        """Header fields that pay (Livepeer-Payment, Livepeer-Segment); none at all: it will not."""


class LiveRunner:
    """`base.Upstream` over a pool."""

    def __init__(self, pool: Pool, payer: Payer | None = None) -> None:
        self._pool = pool
        self._payer = payer

    async def send(self, target: Target, call: Call) -> Reply:
        """UpstreamError; ValueError: a path or header field that cannot go into a request."""
        if self._payer is None:
            return await self._send(target, call, ())
        payer: Field = (b"livepeer-payer-address", self._payer.address.encode("ascii"))
        answer = await self._send(target, call, (payer,))
        if answer.status != 402:
            return answer
        said = await _whole(answer)
        challenge = _challenge(said.body, target.wire_name)
        fields = await self._payer.pay(challenge) if challenge is not None else ()
        return await self._send(target, call, (payer, *fields)) if fields else said

    async def _send(self, target: Target, call: Call, more: Sequence[Field]) -> Answer | Whole:
        fields = list(more)
        if call.content_type:
            fields.append((b"content-type", call.content_type.encode("latin-1")))
        for name, value in call.headers.items():
            if name.lower() in FORWARDED:
                fields.append((name.lower().encode("ascii"), value.encode("latin-1")))
        path = target_of(b"/", target.path, call.worker_path)
        if call.query:
            path += b"?" + call.query
        return await self._pool.origin(target).send(call.method, path, fields, call.body, timeout=call.timeout)

    async def look(self, target: Target, timeout: float) -> Sighting:
        """The orchestrator's list; an app that is not on it has no slot. UpstreamError as `send`."""
        async with self._pool.client(target) as client:
            response = await client.get("/discovery", timeout=timeout)
        status, fingerprint = response.status_code, response.extensions["fingerprint"]
        if status != 200:
            detail = response.content.decode("utf-8", "replace").strip()[:DETAIL]
            # An orchestrator without runners says so with 404: nothing is claimed there.
            readiness = "reachable" if status == 404 else "faulty"
            return Sighting(status, 0, readiness=readiness, fingerprint=fingerprint, detail=detail)
        try:
            entries = read(Format.ADDRESSES, response.content).entries
        except NotTheFormat as error:
            return Sighting(200, 0, readiness="faulty", fingerprint=fingerprint, detail=str(error)[:DETAIL])
        runner = _listed(entries, target)
        if runner is None:
            detail = f"no single-shot runner of {target.wire_name} at {target.path} is listed"
            return Sighting(200, 0, fingerprint=fingerprint, detail=detail[:DETAIL])
        return Sighting(200, runner.capacity or 0, runner.price or None, fingerprint=fingerprint)


def _listed(entries: Iterable[Entry], target: Target) -> Named | None:
    """The target's runner. Its host is not compared: an orchestrator lists its public address, and may be
    reached by another."""
    runners = (each for entry in entries for each in entry.serves if each.kind is Kind.RUNNER)
    path = target.path.strip("/")
    return next((each for each in runners if each.name == target.wire_name and each.path == path), None)


async def _whole(answer: Answer | Whole) -> Whole:
    """As much of it as a challenge may have."""
    body = b""
    try:
        async for piece in answer.chunks():
            body += piece
            if len(body) > LONGEST_CHALLENGE:
                break
    finally:
        await answer.aclose()
    body = body[:LONGEST_CHALLENGE]
    return Whole(answer.fingerprint, answer.status, answer.headers, len(body), body)


def _challenge(body: bytes, app: str) -> Challenge | None:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    document = said if isinstance(said, dict) else {}
    texts = [document.get(key) for key in ("payment_params", "orchestrator", "manifest_id")]
    params, orchestrator, manifest = (each if isinstance(each, str) else "" for each in texts)
    return Challenge(params, orchestrator, manifest, app) if params and orchestrator and manifest else None
