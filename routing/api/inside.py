"""A call from inside the process: the console's playground, as the holder of a key that nobody has to show.

It goes through the view that answers on the wire, so the key's scope and expiry, the client's limits and
budgets, the contract, the journal and the metrics are what they are for everybody. What a key does not limit
here is the network it may be used from: the console is none.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse, HttpResponseBase

from routing.api.authentication import KeyAuthentication
from routing.api.door import OVERLOADED, incoming_by
from routing.api.extensions import ByAsgi
from routing.api.inference import Answering, CapabilityView, DataPlaneView
from routing.api.problems import refuse
from routing.api.problems import response as problem_response
from routing.core.refusal import Code
from routing.delivery import Delivery
from routing.runtime import Runtime
from routing.table import ClientEntry, KeyEntry

DIGEST = "byocgw.digest"  # in the scope; the server makes the scopes of what comes by the wire


@dataclass(frozen=True, slots=True)
class Sent:
    """`digest`: of the key, as it is stored. `path`: the worker's, without a leading slash. `once`: its
    Idempotency-Key, by which the answer is kept too."""

    digest: str
    slug: str
    path: str
    content_type: str
    body: bytes
    once: str


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class ByDigest(KeyAuthentication):
    def authenticate(self, request: DataPlaneView) -> tuple[ClientEntry, KeyEntry | None]:  # type: ignore[override]
        digest = request.scope[DIGEST]
        key = request.table.keys.get(digest)
        if key is None or (key.expires_at is not None and key.expires_at <= request.at):
            raise refuse(Code.UNAUTHENTICATED, "This API key is unknown, was revoked, or has expired.")
        request.runtime.keys_used[digest] = request.at
        return key.client, key


class InsideView(CapabilityView):
    """The same view; its decisions are kept, since somebody is looking."""

    authentication_classes = [ByDigest]

    def post(self) -> Answering:
        return self.infer(self.lane(self.kwargs["slug"]), self.kwargs["path"], None, {"keep_decision": True})


async def send(runtime: Runtime, sent: Sent) -> Answer:
    """On the runtime's loop. Never raises for what orchestrators do."""
    if runtime.in_flight >= runtime.max_in_flight:
        return _whole(problem_response(OVERLOADED, ""))
    runtime.in_flight += 1
    exchange = ByAsgi(_scope(sent), _receiver(sent.body), _nothing_to_send)
    incoming = incoming_by(exchange, runtime)
    view = InsideView()
    view.kwargs = {"slug": sent.slug, "path": sent.path.encode("ascii")}
    try:
        response = await view.dispatch(exchange.scope, runtime, incoming, exchange.fields)
        if isinstance(response, Delivery):
            return await _delivered(response, view.broken_event())
        return _whole(response)
    finally:
        runtime.in_flight -= 1
        incoming.stop_watching()


def _scope(sent: Sent) -> dict[str, Any]:
    path = f"/v1/capabilities/{sent.slug}" + (f"/{sent.path}" if sent.path else "")
    headers = {"content-type": sent.content_type, "content-length": str(len(sent.body))}
    headers["idempotency-key"] = sent.once
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode("ascii"),
        "query_string": b"",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        DIGEST: sent.digest,
    }


async def _nothing_to_send(message: dict[str, Any]) -> None: ...


def _receiver(body: bytes) -> Any:
    """The whole body at once; after that nobody hangs up."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await asyncio.get_running_loop().create_future()
        raise AssertionError("never done")

    return receive


def _whole(response: HttpResponseBase) -> Answer:
    body = response.content if isinstance(response, HttpResponse) else b""
    return Answer(response.status_code, {name.lower(): value for name, value in response.items()}, body)


async def _delivered(delivery: Delivery, broken_event: bytes) -> Answer:
    """All of it: it is kept as it comes, up to what is kept at all."""
    try:
        body = b"".join([piece async for piece in delivery.chunks(broken_event)])
    finally:
        await delivery.aclose()
    return Answer(delivery.status, delivery.headers, body)
