"""`Idempotency-Key` and `Prefer: respond-async`: calls whose outcome is kept, on every route of inference.

A first request is claimed, run by the Keeper, and answered as ever, or by 202 with its job's address. One that
comes again with its key is answered from the row, and leaves no trace in the books.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.http import HttpResponseBase, JsonResponse

from routing.api.problems import RefusedError, refuse
from routing.core.kept import UNDER_WAY, BadKey, Preference, State, on_reuse, read_key, read_preference
from routing.core.refusal import Code, Refusal
from routing.delivery import Delivery
from routing.keeping import Run, outcome_of
from routing.models import KeptCall
from routing.replay import BodyTooLarge, BodyTooSlow
from routing.service import CLIENTS_FAULTS
from routing.trip import InferenceCall

if TYPE_CHECKING:
    from routing.api.inference import DataPlaneView

ASK_AGAIN = "1"  # seconds
NO_ROOM = "This gateway has no room for the body now: a call that is to be kept has all of it kept first."


@dataclass(frozen=True, slots=True)
class Wish:
    key: str | None
    preference: Preference


def wish_of(view: DataPlaneView) -> Wish | None:
    """Of a request with one of the two fields. Raises the refusal of a key that cannot be read."""
    has_key = b"idempotency-key" in view.fields
    try:
        key = read_key(view.field(b"idempotency-key")) if has_key else None
        wish = Wish(key, read_preference(view.field(b"prefer")))
    except BadKey as exc:
        raise refuse(Code.BAD_REQUEST, str(exc)) from exc
    return wish if wish.key or wish.preference.asynchronous else None


async def infer_kept(
    view: DataPlaneView, call: InferenceCall, wish: Wish
) -> Delivery | Refusal | HttpResponseBase:
    found: Run | KeptCall | Refusal | None = None
    try:
        fingerprint = _fingerprint(view, await _gathered(call))
        found = await view.runtime.keeper.begin(
            call, key=wish.key, fingerprint=fingerprint, asynchronous=wish.preference.asynchronous
        )
    finally:
        if not isinstance(found, Run):
            call.body.forget()  # nobody will be sent it
    if isinstance(found, Refusal):
        raise RefusedError(found)
    if isinstance(found, KeptCall):
        answer = _again(view, found, fingerprint, wish)
    else:
        answer = await (_in_background if wish.preference.asynchronous else _at_once)(view, found, wish)
    if isinstance(answer, Delivery) and answer.whole is not None:
        await answer.aclose()  # all of it is here: nobody reads along any more
    return answer


async def _gathered(call: InferenceCall) -> bytes:
    """All of the body: it is part of what the key stands for, and nobody is there to send it later."""
    policy, body = call.lane.policy, call.body
    try:
        async with asyncio.timeout(policy.retry_timeout + policy.attempt_timeout + policy.cold_grace):
            await body.all()
    except TimeoutError as exc:
        raise RefusedError(CLIENTS_FAULTS[BodyTooSlow]) from exc
    except BodyTooLarge as exc:
        raise RefusedError(CLIENTS_FAULTS[BodyTooLarge]) from exc
    whole = body.whole()
    if whole is None:
        raise refuse(Code.OVERLOADED, NO_ROOM, retry_after=1.0)
    return whole


def _fingerprint(view: DataPlaneView, body: bytes) -> str:
    """Of what makes two requests the same: method, path, query, content type, job header and body."""
    parts = (
        view.scope["method"].encode(),
        view.scope["raw_path"].partition(b"?")[0],
        view.scope["query_string"],
        view.field(b"content-type").encode(),
        view.field(b"livepeer").encode(),
    )
    digest = hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts))
    digest.update(body)
    return digest.hexdigest()


async def _at_once(view: DataPlaneView, run: Run, wish: Wish) -> Delivery | Refusal:
    try:
        await run.opened.wait()
    except asyncio.CancelledError:  # the client hung up; it may come back
        view.runtime.keeper.leave(run)
        raise
    return run.delivery()


async def _in_background(view: DataPlaneView, run: Run, wish: Wish) -> Delivery | Refusal | HttpResponseBase:
    """202 as soon as it is admitted; after `wait` seconds where the client would rather have the answer."""
    try:
        await asyncio.sleep(0)  # as far as its seat and its budget
        with suppress(TimeoutError):
            async with asyncio.timeout(wish.preference.wait):
                await run.ended.wait()
        if run.refusal is not None:
            await run.ended.wait()  # by then its key is free again
    except asyncio.CancelledError:
        view.runtime.keeper.leave(run)
        raise
    if run.ended.is_set():
        return run.delivery()
    run.accepted = True
    view.runtime.keeper.leave(run)
    return _accepted(run.row.request_id, run.state)


def _again(
    view: DataPlaneView, row: KeptCall, fingerprint: str, wish: Wish
) -> Delivery | Refusal | HttpResponseBase:
    """What the first one got. Its request id too: that is the one the books know."""
    refusal = on_reuse(row.facts, fingerprint)
    if refusal is not None and refusal.code is Code.KEY_REUSED:
        raise RefusedError(refusal)
    view.headers["idempotent-replayed"] = "true"
    if row.asynchronous and (wish.preference.asynchronous or row.state in UNDER_WAY):
        return _accepted(row.request_id, State(row.state))
    if refusal is not None:
        raise RefusedError(refusal)
    view.request_id = row.request_id
    return outcome_of(row)


def _accepted(request_id: str, state: State) -> HttpResponseBase:
    job = f"/v1/jobs/{request_id}"
    told = {"request_id": request_id, "state": state.value, "job": job, "result": f"{job}/result"}
    headers = {
        "location": job,
        "preference-applied": "respond-async",
        "retry-after": ASK_AGAIN,
        "x-request-id": request_id,
    }
    return JsonResponse(told, status=202, headers=headers)
