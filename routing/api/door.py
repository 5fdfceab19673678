"""The front door of the data plane: ASGI -> DRF view -> ASGI.

No Django handler, no middleware, no thread hop, no database: Django's own ASGI handler costs about a
millisecond a request before a view runs, this costs some 35 us, view included. What is DRF's stays
DRF's: authenticators, permissions, throttles, one exception handler.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
from collections.abc import Awaitable, Mapping
from functools import lru_cache
from typing import Any

from django.http import HttpResponse, HttpResponseBase

from routing.api.extensions import Exchange, Receive, Scope, Send, exchange_of
from routing.api.inference import DataPlaneView
from routing.api.problems import response as problem_response
from routing.api.routes import Route, is_data_plane, resolve
from routing.api.status import PATHS, Status
from routing.core.refusal import Code, Refusal
from routing.delivery import BrokenOff, Delivery
from routing.replay import ClientGone, ReplayBody
from routing.runtime import Runtime

log = logging.getLogger(__name__)

NO_CONTENT = 204  # has neither a length nor chunks (RFC 9110, 8.6)
OVERLOADED = Refusal(Code.OVERLOADED, "This gateway carries as many calls as it can.", retry_after=1.0)


SOON = 0.02  # seconds


class Incoming(ReplayBody, kw_only=True):
    """The request's body, which also notices that the client hangs up once nobody reads on: the task of
    `exchange` is then cancelled."""

    exchange: Exchange
    gone: bool = False
    later: asyncio.TimerHandle | None = None
    watcher: asyncio.Task[None] | None = None

    def _arrived(self, piece: bytes, *, more: bool) -> None:
        super()._arrived(piece, more=more)
        if self.complete:
            self.watch()

    def watch(self) -> None:
        """From here on, what still comes of the body is dropped. Where nothing does our server looks for the
        client's end; else, or with another server, somebody has to receive, if it takes longer than SOON."""
        if self.complete and self.exchange.watched is not None:
            self.exchange.watched = True
        elif self.later is None:
            self.later = asyncio.get_running_loop().call_later(SOON, self._begin)

    def _begin(self) -> None:
        self.watcher = asyncio.get_running_loop().create_task(self._hang_up_when_gone())

    async def _hang_up_when_gone(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self.exchange.task.cancel("the client hung up")

    def stop_watching(self) -> None:
        self.exchange.watched = False
        if self.later is not None:
            self.later.cancel()
        if self.watcher is not None:
            self.watcher.cancel()
            self.watcher = None  # its CancelledError knows its frame, which knows this body


def incoming_by(exchange: Exchange, runtime: Runtime) -> Incoming:
    receive, length = exchange.receive, exchange.length
    limit, memory = runtime.max_body, runtime.replay_memory
    if length is None or (pieces := exchange.whole_body(limit)) is None:
        return Incoming(receive, length, limit, memory, exchange=exchange)
    exchange.watched = True
    # By position, as in ReplayBody: repeatable and complete, not yet wanted.
    return Incoming(receive, length, limit, memory, True, True, False, length, pieces, exchange=exchange)


class Door:
    """ASGI 3, and `AtOnce` for the data plane. `runtime`: what the views need from this process; started and
    stopped by ASGI's lifespan. `elsewhere`: the application for what is not the data plane's; without one
    everything is."""

    def __init__(self, runtime: Runtime, elsewhere: Any = None) -> None:
        self.runtime = runtime
        self.status = Status(runtime)
        self.elsewhere = elsewhere

    async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses to start, with the reason, when the first routing table cannot be built."""
        if scope["type"] != "lifespan":
            return  # by which WebSockets are refused: the server closes the handshake with 403
        scope.get("state", {})["drain_begins"] = self.runtime.drain_begins  # for our server protocol
        await receive()
        try:
            await self.runtime.start()
        except Exception as exc:
            log.critical("cannot start: %s", exc)
            await send({"type": "lifespan.startup.failed", "message": str(exc)})
            return
        watch = asyncio.create_task(self.status.watch())
        # What lives as long as the process is not looked at again: a full collection took 60 ms of a request.
        gc.collect()
        gc.freeze()
        # A request leaves no cycle. Looking for one after every 700 new objects took 6 % of all CPU.
        gc.set_threshold(25_000, 10, 10)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        watch.cancel()
        await self.runtime.stop()
        await send({"type": "lifespan.shutdown.complete"})

    def route(self, scope: Mapping[str, Any]) -> Route | None:
        """None: no view of the data plane answers."""
        path = scope["path"]
        if path in PATHS or not (self.elsewhere is None or is_data_plane(path)):
            return None
        return resolve(scope["raw_path"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.lifespan(scope, receive, send)
            return
        route = self.route(scope)
        if route is not None:
            await self.answer(exchange_of(scope, receive, send), route)
        elif scope["path"] in PATHS:
            await self.status.answer(scope, send)
        else:
            await self.elsewhere(scope, receive, send)

    def answer(self, exchange: Exchange, route: Route) -> Awaitable[None]:
        """Where the worker is full that costs the same few microseconds whatever was sent: neither key nor body
        is looked at, so that those inside are served in time."""
        runtime = self.runtime
        if runtime.in_flight < runtime.max_in_flight:
            return self._by_view(exchange, route)
        runtime.turned_away += 1
        return send_response(problem_response(OVERLOADED, secrets.token_hex(16)), exchange.send)

    async def _by_view(self, exchange: Exchange, route: Route) -> None:
        runtime = self.runtime
        incoming = incoming_by(exchange, runtime)
        view_class, kwargs = route
        view = view_class()
        view.kwargs = kwargs
        streamed: Delivery | None = None
        runtime.in_flight += 1
        try:
            try:
                response = await view.dispatch(exchange.scope, runtime, incoming, exchange.fields)
            except ClientGone:
                raise
            except Exception:
                response = self._failed(view)
            if not isinstance(response, Delivery):
                await send_response(response, exchange.send)
            elif not response.opening.whole:
                streamed = response
                incoming.watch()  # it may have begun before all of the request was here
                if streamed.length is None:
                    streamed.sink = exchange.answer_piece
                await send_stream(streamed, view.broken_event(), exchange.send)
            elif response.status == NO_CONTENT or not exchange.answer_whole(
                response.status, response.headers, response.opening.head
            ):
                await send_whole(response.status, response.headers, response.opening.head, exchange.send)
        except (ClientGone, BrokenOff):
            pass  # nobody is there to be told, or cutting the connection is all that tells it
        except asyncio.CancelledError:
            if not (incoming.gone or exchange.disconnected):
                raise
        finally:
            runtime.in_flight -= 1
            incoming.stop_watching()
            if streamed is not None:
                await streamed.aclose()

    def _failed(self, view: DataPlaneView) -> HttpResponse:
        """Where an exception is handled that nobody expected."""
        self.runtime.service.counts.refused("", Code.INTERNAL)
        log.exception("unhandled in the data plane, request %s", view.request_id)
        text = "The gateway failed; the request id finds the reason in its log."
        return view.refused(Refusal(Code.INTERNAL, text))


@lru_cache(maxsize=256)
def field_name(name: str) -> bytes:
    return name.lower().encode("latin-1")


def head_of(status: int, headers: Mapping[str, str]) -> dict[str, Any]:
    fields = [(field_name(name), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": fields}


async def send_response(response: HttpResponseBase, send: Send) -> None:
    body = response.content if isinstance(response, HttpResponse) else b""
    await send_whole(response.status_code, response.headers, body, send)


async def send_whole(status: int, headers: Mapping[str, str], body: bytes, send: Send) -> None:
    start = head_of(status, headers)
    # A 304's length would be that of the answer it stands for.
    if status not in (NO_CONTENT, 304):
        start["headers"].append((b"content-length", b"%d" % len(body)))
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def send_stream(delivery: Delivery, broken_event: bytes, send: Send) -> None:
    start = head_of(delivery.status, delivery.headers)
    if delivery.length is not None:
        start["headers"].append((b"content-length", b"%d" % delivery.length))
    await send(start)
    async for piece in delivery.chunks(broken_event):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
