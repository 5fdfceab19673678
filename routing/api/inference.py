"""The DRF views of the data plane: HTTP in, one call of the routing service, HTTP out.

POST /v1/capabilities/<slug>[/<worker path>]   infer
any  /v1/capabilities/<slug>/<worker path>     the same, by offers whose protocol keeps methods
GET  /v1/capabilities[/<slug>]                 what this client may call
POST /process/request/<worker path>            the stock gateway's route, job header and all
any  /process/stream/...                       not offered yet: 501
POST /text-to-image and its like               aliases, in pipelines.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from math import floor
from random import getrandbits
from types import CoroutineType, MappingProxyType
from typing import Any

from django.http import HttpResponse, HttpResponseBase
from msgspec import structs
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.views import APIView

from orchestrators.upstream.registry import KEEPS_METHOD
from routing.api.authentication import IsClient, KeyAuthentication
from routing.api.contracts import contract, tagged
from routing.api.extensions import Scope
from routing.api.keeping import infer_kept, wish_of
from routing.api.problems import document, refusal_for, refuse
from routing.api.problems import response as problem_response
from routing.api.throttling import TierThrottle
from routing.core.job_header import JobHeaderError, parse_go_duration, parse_job_header
from routing.core.refusal import Code, Refusal
from routing.core.trace import Trace, trace_of
from routing.delivery import Delivery
from routing.replay import ReplayBody
from routing.runtime import Runtime
from routing.table import ClientEntry, KeyEntry, Lane, OfferEntry, RoutingTable
from routing.trip import InferenceCall, refused_record

Answer = HttpResponseBase | Delivery | Refusal
Answering = Coroutine[Any, Any, Answer]
NO_WISHES: Mapping[str, Any] = MappingProxyType({})
HANDLED = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})

# A container may answer with a page, and a form or a link can lead a browser to it, beside the admin's.
AS_DATA = {"content-security-policy": "sandbox; default-src 'none'", "x-content-type-options": "nosniff"}


class DataPlaneView(APIView):
    """A DRF view whose handlers are coroutines, run by the door without Django's request cycle.

    What DRF does per request is kept to what a request needs: no content negotiation (the answer is the
    orchestrator's), no parsing (the body streams), no versions, and no reference cycle left behind for the
    collector. There is no request of DRF's beside it, which would hold the same once more: the policies are
    handed the view as their request, handlers find all on it. `kwargs`, what its path says, is set before
    `dispatch`, as Django does. What handlers return may be what the routing service says. A delivery stays
    one: as a response of Django's it would be checked once more, field by field.
    """

    __init__ = object.__init__  # a view's own looks for keywords, 1,600 instructions

    authentication_classes = [KeyAuthentication]
    permission_classes = [IsClient]
    throttle_classes = [TierThrottle]
    parser_classes = []
    http_method_names = ["get", "post"]
    view_is_async = True

    runtime: Runtime
    table: RoutingTable  # one for the whole request, whatever happens meanwhile
    scope: Scope  # ASGI's
    fields: dict[bytes, bytes]  # the header fields, names in lower case, of a repeated one the values joined
    incoming: ReplayBody  # the body, unread
    key_scope: str | None = None  # of keys that may use the view; None: any key
    request = None  # type: ignore[assignment]  # see above
    client: ClientEntry  # once it is known
    key: KeyEntry | None = None  # by which
    request_id: str
    at: float  # wall seconds when it arrived, as `arrived` is by the monotonic clock
    slug: str  # "" until it is known, for the books

    # One of each for all requests: they hold nothing of a request, and making them anew takes 4 us.
    _policies: tuple[Any, Any, Any]
    _handlers: dict[str, Callable[..., Any]]  # by method

    def __init_subclass__(cls) -> None:
        known = ((name.upper(), getattr(cls, name, None)) for name in cls.http_method_names)
        cls._handlers = {method: handler for method, handler in known if method in HANDLED and handler}
        (authentication,) = cls.authentication_classes
        (permission,) = cls.permission_classes
        (throttle,) = cls.throttle_classes
        cls._policies = authentication(), permission(), throttle()

    def initial(self) -> None:  # type: ignore[override]
        """What DRF asks of its policies, in its order. Each raises the refusal."""
        authentication, permission, throttle = self._policies
        self.client, self.key = authentication.authenticate(self)
        permission.has_permission(self, self)
        throttle.allow_request(self, self)

    def finalize_response(self, response: Answer) -> HttpResponseBase | Delivery:  # type: ignore[override]
        if isinstance(response, Delivery):
            return self.render(response)
        if isinstance(response, Refusal):
            response = self.refused(response)
        for name, value in self.headers.items():
            response.headers[name] = value
        return response

    async def dispatch(  # type: ignore[override]
        self, scope: Scope, runtime: Runtime, incoming: ReplayBody, fields: dict[bytes, bytes]
    ) -> HttpResponseBase | Delivery:
        self.at, self.arrived, self.slug = time.time(), time.monotonic(), ""
        self.request_id = new_request_id(self.at)
        self.runtime, self.table = runtime, runtime.table
        self.scope, self.incoming, self.fields = scope, incoming, fields
        self.headers: dict[str, str] = {}
        try:
            self.initial()
            handler = self._handlers.get(scope["method"])
            if handler is None:
                raise MethodNotAllowed(scope["method"])
            response = handler(self)
            if isinstance(response, CoroutineType):
                response = await response
        except Exception as exc:  # CancelledError is none: it must pass
            self._book_refusal(exc)
            response = self.handle_exception(exc)
        return self.finalize_response(response)

    def refused(self, refusal: Refusal) -> HttpResponse:
        """How this route says no."""
        return problem_response(refusal, self.request_id)

    def render(self, delivery: Delivery) -> HttpResponseBase | Delivery:
        headers = delivery.headers
        headers |= AS_DATA
        headers["x-request-id"] = self.request_id
        headers |= self.headers
        return delivery

    def broken_event(self) -> bytes:
        """What ends an event stream that breaks."""
        broken = Refusal(Code.EXHAUSTED, "The orchestrator broke off in the middle of its answer.")
        return b"event: error\ndata: %s\n\n" % document(broken, self.request_id)

    def field(self, name: bytes) -> str:
        """The value of a header field, "" without it."""
        value = self.fields.get(name)
        return value.decode("latin-1") if value else ""

    def lane(self, name: str) -> Lane:
        """What this client may use of a capability. Raises the refusals 404 and 403."""
        lane = self.table.lane(name, self.client.tier)
        if lane is None:
            raise refuse(Code.NO_SUCH_CAPABILITY, f"There is no capability {name[:63]!r} here.")
        self.slug = name
        if self.client.capabilities is not None and name not in self.client.capabilities:
            raise refuse(Code.CAPABILITY_NOT_ALLOWED, f"This client may not call {name}.")
        return lane

    def _book_refusal(self, exc: Exception) -> None:
        """A refusal of a known client counts in its usage; strangers leave no trace in the books."""
        refusal = refusal_for(exc)
        if refusal is not None:
            self.runtime.service.counts.refused(self.slug, refusal.code)
        client: ClientEntry | None = getattr(self, "client", None)
        if refusal is None or client is None:
            return
        record = refused_record(
            refusal,
            request_id=self.request_id,
            client=client.name,
            capability=self.slug,
            at=self.at,
            ms=round((time.monotonic() - self.arrived) * 1000),
            policy=self.table.revision,
        )
        self.runtime.journal.append(record)
        self.runtime.service.access.note(record)


class Inferring(DataPlaneView):
    """What all routes of inference share: the body's bound and the call."""

    key_scope = "inference"

    def infer(
        self, lane: Lane, path: bytes, timeout: float | None, wishes: Mapping[str, Any] = NO_WISHES
    ) -> Answering:
        """`timeout`: seconds. `wishes`: what else an `InferenceCall` may say."""
        fields, incoming = self.fields, self.incoming
        limit = self.runtime.max_body
        if incoming.length is not None and incoming.length > limit:
            raise refuse(Code.BODY_TOO_LARGE, f"The body is larger than {limit} bytes.")
        trace = Trace(self.request_id)
        if b"traceparent" in fields:
            trace = trace_of(self.field(b"traceparent"), self.field(b"tracestate"), self.request_id)
        headers = {}  # that may reach a container: never Authorization, Cookie or anything about the client
        if b"accept" in fields:
            headers["accept"] = self.field(b"accept")
        if b"accept-language" in fields:
            headers["accept-language"] = self.field(b"accept-language")
        content_type = fields.get(b"content-type")
        call = InferenceCall(
            self.request_id,
            self.client,
            self.table,
            lane,
            path,
            content_type.decode("latin-1") if content_type else "application/octet-stream",
            incoming,
            trace,
            timeout,
            headers,
            self.scope["query_string"],
        )
        if wishes:
            call = structs.replace(call, **wishes)
        if b"idempotency-key" in fields or b"prefer" in fields:
            wish = wish_of(self)
            if wish is not None:
                return infer_kept(self, call, wish)
        return self.runtime.service.infer(call)

    def timeout_wish(self) -> float | None:
        """Seconds from X-Byocgw-Timeout, which may only shorten the call."""
        if b"x-byocgw-timeout" not in self.fields:
            return None
        try:
            seconds = float(self.fields[b"x-byocgw-timeout"])
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < 1e9:  # which NaN is not
            raise refuse(Code.BAD_REQUEST, "X-Byocgw-Timeout must be a number of seconds above 0.")
        return seconds


class CapabilityView(Inferring):
    """`/v1/capabilities/<slug>[/<worker path>]`."""

    http_method_names = ["get", "post", "put", "patch", "delete"]

    @property
    def allowed_methods(self) -> list[str]:
        """Behind a worker path there is nothing to describe: other methods are for those who keep them."""
        if not self.kwargs["path"]:
            return ["GET", "POST"]
        keep = any(map(keeps_method, self.table.offers_of(self.kwargs["slug"])))
        return super().allowed_methods if keep else ["POST"]

    def post(self) -> Answering:
        said = self.kwargs
        return self.infer(self.lane(said["slug"]), said["path"], self.timeout_wish())

    def other(self) -> Answering:
        lane, method = self.lane(self.kwargs["slug"]), self.scope["method"]
        if method not in self.allowed_methods:
            raise MethodNotAllowed(method)
        kept = replace(lane, offers=tuple(filter(keeps_method, lane.offers)))
        return self.infer(kept, self.kwargs["path"], self.timeout_wish(), {"method": method.encode("ascii")})

    put = patch = delete = other

    def get(self) -> Answering | HttpResponseBase:
        if self.kwargs["path"]:
            return self.other()
        return tagged(self, contract(self, self.kwargs["slug"]))


def keeps_method(offer: OfferEntry) -> bool:
    return offer.target.protocol in KEEPS_METHOD


class CapabilitiesView(DataPlaneView):
    """`/v1/capabilities`: what this client may call."""

    def get(self) -> HttpResponseBase:
        allowed = self.client.capabilities
        slugs = [slug for slug in sorted(self.table.policies) if allowed is None or slug in allowed]
        return tagged(self, {"capabilities": [contract(self, slug) for slug in slugs]})


class ProcessRequestView(Inferring):
    """`/process/request/<worker path>`, as stock clients call it: the capability stands in the header."""

    def post(self) -> Answering:
        try:
            job = parse_job_header(self.field(b"livepeer"))
            search = [parse_go_duration(said) for key in SEARCH_KEYS if (said := self.field(key))]
        except JobHeaderError as exc:
            raise refuse(Code.BAD_JOB_HEADER, str(exc)) from exc
        lane = self.lane(self.table.slug_of(job.capability) or job.capability)
        wishes = {
            "request": job.request,
            "parameters": job.parameters,
            "include": frozenset(job.include),  # there is room for 100,000 in a header
            "exclude": frozenset(job.exclude),
            "search_timeout": min(search, default=None),
        }
        return self.infer(lane, self.kwargs["path"], float(job.timeout_seconds), wishes)

    def render(self, delivery: Delivery) -> HttpResponseBase | Delivery:
        delivery.headers["livepeer-balance"] = delivery.balance
        delivery.headers["x-metadata"] = delivery.metadata
        return super().render(delivery)


class ProcessStreamView(DataPlaneView):
    """`/process/stream/...`: live streams."""

    def post(self) -> HttpResponseBase:
        raise refuse(Code.NOT_IMPLEMENTED, "Live streams are not offered by this gateway.")

    get = post


SEARCH_KEYS = (b"livepeer-orch-search-timeout", b"livepeer-orch-search-resp-timeout")


def new_request_id(at: float) -> str:
    """32 hex digits, of which the first twelve are the time in milliseconds: so rows are added to the end of
    their index, not all over it. The rest is chance. `at`: wall seconds."""
    return (floor(at * 1000) << 80 | getrandbits(80)).to_bytes(16).hex()
