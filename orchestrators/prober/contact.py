"""One offer, asked: first a look, which starts no work, then its sample request if one is due.

A look at an orchestrator is a token, at a bare container its health. Where nobody answers, or the
orchestrator refuses us, a sample request could not tell more and is not sent.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from msgspec import structs

from orchestrators.core.classify import Answered, classify, classify_fault
from orchestrators.core.outcome import Fault, Outcome, OutcomeClass, Speaker
from orchestrators.core.storable import storable
from orchestrators.prober.assignment import Assignment, Sample
from orchestrators.upstream.base import Call, Reply, Sighting, Upstream, UpstreamError

LOOK_TIMEOUT = 2.0
READ_AT_MOST = 64 * 1024
HEAD = 8 * 1024

_READINESS = {
    "ready": OutcomeClass.OK,
    "reachable": OutcomeClass.OK,
    "loading": OutcomeClass.COLD_START,
    "faulty": OutcomeClass.UPSTREAM_ERROR,
}
_BY_STATUS_ALONE = frozenset({OutcomeClass.CLIENT_ERROR, OutcomeClass.API_MISMATCH})


@dataclass(frozen=True, slots=True)
class Finding:
    """`sighting`: None when the look failed. `sample`: None when none was sent. `fingerprint`: of the
    certificate seen, also of one we do not trust. `at`: wall seconds of the last answer. `put_off`: a sample
    was due and not sent, because its orchestrator lets them run out of time.
    """

    assignment: Assignment
    look: Outcome
    sighting: Sighting | None
    sample: Outcome | None
    fingerprint: str
    at: float
    put_off: bool = False


async def contact(assignment: Assignment, upstream: Upstream, *, clock: Callable[[], float]) -> Finding:
    """Raises for nothing that the other side does."""
    seen, sighting, fingerprint = await look(assignment, upstream)
    sample = None
    if sighting is not None and seen.cls is not OutcomeClass.REJECTED and assignment.sample is not None:
        sample = await send(assignment, assignment.sample, upstream, fingerprint)
    return Finding(assignment, seen, sighting, sample, fingerprint, clock())


async def look(assignment: Assignment, upstream: Upstream) -> tuple[Outcome, Sighting | None, str]:
    """What it says, the sighting unless that failed, and the fingerprint of its certificate."""
    protocol = assignment.target.protocol
    try:
        async with asyncio.timeout(LOOK_TIMEOUT):
            sighting = _storable(await upstream.look(assignment.target, LOOK_TIMEOUT))
    except TimeoutError:
        text = f"no answer within {LOOK_TIMEOUT:g} s"
        return classify_fault(Fault.NO_ANSWER, protocol, text), None, ""
    except UpstreamError as error:
        changed = error.fault is Fault.UNTRUSTED and assignment.target.tls == "pin"
        fingerprint = await _fingerprint(assignment, upstream) if changed else ""
        return classify_fault(error.fault, protocol, str(error)), None, fingerprint
    return _judged(assignment, sighting), sighting, sighting.fingerprint


def _storable(sighting: Sighting) -> Sighting:
    hardware = replace(sighting.hardware, gpu=storable(sighting.hardware.gpu))
    return replace(
        sighting, model=storable(sighting.model), detail=storable(sighting.detail), hardware=hardware
    )


def _judged(assignment: Assignment, sighting: Sighting) -> Outcome:
    """A token's refusal has the orchestrator's own words, which `classify` knows; health has its own word.

    By its status alone a refusal (400, 404, a redirect) says that no tokens are to be had there: nothing is
    claimed, and nobody has answered wrongly to a request.
    """
    status = sighting.status
    if assignment.target.protocol == "byoc" and status != 200:
        answered = Answered(status, {}, sighting.detail.encode(), whole=True, latency=0.0)
        outcome = classify(answered, assignment.setting)
        if outcome.cls in _BY_STATUS_ALONE:
            detail = f"{status} {sighting.detail}".strip()
            return Outcome(OutcomeClass.NOT_CLAIMED, Speaker.ORCHESTRATOR, status, detail=detail)
        return structs.replace(outcome, latency=None)
    return Outcome(_READINESS[sighting.readiness], status=sighting.status, detail=sighting.detail)


async def _fingerprint(assignment: Assignment, upstream: Upstream) -> str:
    """What certificate is there now, if the stored one is not: people decide by it. Nothing else is kept."""
    try:
        async with asyncio.timeout(LOOK_TIMEOUT):
            first_sight = structs.replace(assignment.target, fingerprint="")
            return (await upstream.look(first_sight, LOOK_TIMEOUT)).fingerprint
    except (UpstreamError, TimeoutError):
        return ""


async def send(assignment: Assignment, sample: Sample, upstream: Upstream, fingerprint: str) -> Outcome:
    """One sample request, judged. `fingerprint`: of the certificate that the look has just seen."""
    target, protocol = assignment.target, assignment.target.protocol
    # At first sight the certificate just seen is the one to be stored, so the sample may rest on it.
    target = structs.replace(target, fingerprint=target.fingerprint or fingerprint)
    call = Call(
        request_id=f"probe-{uuid.uuid4().hex[:26]}",
        worker_path=sample.worker_path,
        content_type=sample.content_type,
        body=sample.body,
        timeout=sample.timeout,
    )
    started = time.monotonic()
    try:
        async with asyncio.timeout(sample.timeout):
            reply = await upstream.send(target, call)
            try:
                body, whole = await _read(reply)
            finally:
                await reply.aclose()
    except TimeoutError:
        return classify_fault(Fault.NO_ANSWER, protocol, f"no answer within {sample.timeout:g} s")
    except UpstreamError as error:
        return classify_fault(error.fault, protocol, str(error))
    answered = Answered(
        status=reply.status,
        headers=reply.headers,
        body=body,
        whole=whole,
        latency=time.monotonic() - started,
    )
    return classify(answered, assignment.setting)


async def _read(reply: Reply) -> tuple[bytes, bool]:
    """(what is to be judged, whether that is all): a short answer, the first event, or the first 8 KiB."""
    streams = "text/event-stream" in reply.headers.get("content-type", "").lower()
    body = b""
    async for piece in reply.chunks():
        body += piece
        if streams and (event := _first_event(body)):
            return event, False
        if len(body) > READ_AT_MOST:
            return body[:HEAD], False
    return body, True


def _first_event(head: bytes) -> bytes:
    """The first block with data that has arrived whole, b"" if there is none yet."""
    blocks = head.replace(b"\r\n", b"\n").split(b"\n\n")[:-1]
    return next((block for block in blocks if b"data:" in block), b"")
