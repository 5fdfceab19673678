"""The DRF views of the data plane: HTTP in, one call of the routing service, HTTP out.

POST /v1/capabilities/<slug>[/<worker path>]   infer
any  /v1/capabilities/<slug>/<worker path>     the same, by offers whose protocol keeps methods
GET  /v1/capabilities[/<slug>]                 what this client may call
POST /process/request/<worker path>            the stock gateway's route, job header and all
any  /process/stream/...                       not offered yet: 501
POST /text-to-image and its like               aliases, in pipelines.py
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from msgspec import structs
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from orchestrators.upstream.registry import KEEPS_METHOD
from routing.api.authentication import IsClient, KeyAuthentication
from routing.api.contracts import contract, tagged
from routing.api.keeping import infer_kept, wish_of
from routing.api.problems import document, refusal_for, refuse
from routing.api.problems import response as problem_response
from routing.api.request import DataPlaneRequest, ViewRequest, from_door
from routing.api.throttling import TierThrottle
from routing.core.job_header import JobHeaderError, parse_go_duration, parse_job_header
from routing.core.refusal import Code, Refusal
from routing.core.trace import Trace, trace_of
from routing.delivery import Delivery
from routing.runtime import Runtime
from routing.table import ClientEntry, Lane, OfferEntry, RoutingTable
from routing.trip import InferenceCall, refused_record

Answering = Coroutine[Any, Any, HttpResponseBase]
NO_WISHES: Mapping[str, Any] = MappingProxyType({})
HANDLED = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})

# Client headers that may reach a container; never Authorization, Cookie or anything about the client.
PASSED_UPSTREAM = ("accept", "accept-language")

# A container may answer with a page, and a form or a link can lead a browser to it, beside the admin's.
AS_DATA = {"content-security-policy": "sandbox; default-src 'none'", "x-content-type-options": "nosniff"}


class DataPlaneView(APIView):
    """A DRF view whose handlers are coroutines, run by the door without Django's request cycle.

    What DRF does per request is kept to what a request needs: no content negotiation (the answer is the
    orchestrator's), no parsing (the body streams), no versions, and no reference cycle left behind for the
    collector. `kwargs`, what its path says, is set before `dispatch`, as Django does.
    """

    __init__ = object.__init__  # a view's own looks for keywords, 1,600 instructions

    authentication_classes = [KeyAuthentication]
    permission_classes = [IsClient]
    throttle_classes = [TierThrottle]
    parser_classes = []
    http_method_names = ["get", "post"]
    view_is_async = True

    runtime: Runtime
    table: RoutingTable
    scope: str | None = None  # of keys that may use it; None: any key
    client: ClientEntry  # once it is known
    request_id = ""
    slug = ""  # as soon as it is known, for the books

    # One of each for all requests: they hold nothing of a request, and making them anew takes 4 us.
    _policies: tuple[list[BaseAuthentication], list[Any], list[BaseThrottle]]
    _handlers: dict[str, Callable[..., Any]]  # by method

    def __init_subclass__(cls) -> None:
        known = ((name.upper(), getattr(cls, name, None)) for name in cls.http_method_names)
        cls._handlers = {method: handler for method, handler in known if method in HANDLED and handler}
        cls._policies = (
            [each() for each in cls.authentication_classes],
            [each() for each in cls.permission_classes],
            [each() for each in cls.throttle_classes],
        )

    def get_authenticators(self) -> list[BaseAuthentication]:
        return self._policies[0]

    def initialize_request(self, request: DataPlaneRequest, *args: Any, **kwargs: Any) -> Request:  # type: ignore[override]
        asked: ViewRequest = ViewRequest()
        asked._request = request
        return asked

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """What DRF asks of its policies, in its order; of who it is now, and not at the first look at
        `request.user`: that saves its looking for what is not there, 8 us."""
        authenticators, permissions, throttles = self._policies
        for authenticator in authenticators:
            known = authenticator.authenticate(request)
            if known is not None:
                request._authenticator = authenticator  # type: ignore[attr-defined]
                request.user, request.auth = known
                break
        for permission in permissions:
            if not permission.has_permission(request, self):
                self.permission_denied(request)
        self.client = request.user  # type: ignore[assignment]  # IsClient has seen to it
        for throttle in throttles:
            if not throttle.allow_request(request, self):
                self.throttled(request, throttle.wait() or 0.0)

    def finalize_response(  # type: ignore[override]
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        if isinstance(response, WholeAnswer):
            response.headers |= self.headers
        else:
            for name, value in self.headers.items():
                response.headers[name] = value
        return response

    async def dispatch(self, request: DataPlaneRequest) -> HttpResponseBase:  # type: ignore[override]
        self.request_id, self.arrived = new_request_id(), time.monotonic()
        self.runtime, self.table = request.runtime, request.table
        self.headers: dict[str, str] = {}
        self.request = asked = self.initialize_request(request)
        try:
            self.initial(asked)
            handler = self._handlers.get(request.method)
            if handler is None:
                raise MethodNotAllowed(request.method)
            response = handler(self, asked, **self.kwargs)
            if not isinstance(response, HttpResponseBase):
                response = await response
        except Exception as exc:  # CancelledError is none: it must pass
            self._book_refusal(exc)
            response = self.handle_exception(exc)
        return self.finalize_response(asked, response)

    def refused(self, refusal: Refusal) -> HttpResponse:
        """How this route says no."""
        return problem_response(refusal, self.request_id)

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
        client = self.request.user
        if refusal is None or not isinstance(client, ClientEntry):
            return
        taken = time.monotonic() - self.arrived
        record = refused_record(
            refusal,
            request_id=self.request_id,
            client=client.name,
            capability=self.slug,
            at=time.time() - taken,
            ms=round(taken * 1000),
            policy=self.table.revision,
        )
        self.runtime.journal.append(record)
        self.runtime.service.access.note(record)


class Inferring(DataPlaneView):
    """What both routes of inference share: the body's bound, the call, and rendering what came of it."""

    scope = "inference"

    async def infer(
        self, lane: Lane, path: bytes, timeout: float | None, wishes: Mapping[str, Any] = NO_WISHES
    ) -> HttpResponseBase:
        """`timeout`: seconds. `wishes`: what else an `InferenceCall` may say."""
        request = from_door(self.request)
        fields, incoming = request.fields, request.incoming
        limit = self.runtime.max_body
        if incoming.length is not None and incoming.length > limit:
            raise refuse(Code.BODY_TOO_LARGE, f"The body is larger than {limit} bytes.")
        trace = Trace(self.request_id)
        if b"traceparent" in fields:
            trace = trace_of(request.field(b"traceparent"), request.field(b"tracestate"), self.request_id)
        headers = {}
        for name, key in _PASSED:
            if key in fields:
                headers[name] = request.field(key)
        call = InferenceCall(
            self.request_id,
            self.client,
            self.table,
            lane,
            path,
            request.field(b"content-type") or "application/octet-stream",
            incoming,
            trace,
            timeout=timeout,
            headers=headers,
            query=request.scope["query_string"],
        )
        if wishes:
            call = structs.replace(call, **wishes)
        wish = wish_of(request)
        result = await (self.runtime.service.infer(call) if wish is None else infer_kept(self, call, wish))
        if isinstance(result, Refusal):
            return self.refused(result)
        if isinstance(result, HttpResponseBase):
            return result
        response = self.render(result)
        if isinstance(response, WholeAnswer) and not result.is_over:
            await result.aclose()
        return response

    def render(self, delivery: Delivery) -> HttpResponseBase:
        headers = {**delivery.headers, **AS_DATA, "x-request-id": self.request_id}
        whole = delivery.whole
        if whole is not None:
            return WholeAnswer(whole, delivery.status, headers)
        broken = Refusal(Code.EXHAUSTED, "The orchestrator broke off in the middle of its answer.")
        event = b"event: error\ndata: %s\n\n" % document(broken, self.request_id)
        return StreamedAnswer(delivery, event, headers)


class WholeAnswer(HttpResponse):
    """An answer that is all here, with the orchestrator's content type or none.

    Without HttpResponse's own part, which takes 14 us for cookies, a charset and a second look at header
    fields that our HTTP parser has let pass. `headers`: names in lower case.
    """

    content = b""

    def __init__(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        self.status_code = status
        self.headers: dict[str, str] = headers  # type: ignore[assignment]
        self.content = body


class StreamedAnswer(StreamingHttpResponse):
    """An answer that is passed on as it comes. `broken_event` ends an event stream that breaks."""

    def __init__(self, delivery: Delivery, broken_event: bytes, headers: dict[str, str]) -> None:
        super().__init__(status=delivery.status)
        self.delivery = delivery
        self.pieces = delivery.chunks(broken_event)  # as they are: Django's two wrappers take 3 us of each
        del self["content-type"]  # Django's default: the orchestrator's own, or none
        for name, value in headers.items():
            self[name] = value
        if delivery.length is not None:
            self["content-length"] = str(delivery.length)


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

    def post(self, request: Request, slug: str, path: bytes) -> Answering:
        return self.infer(self.lane(slug), path, timeout_wish(request))

    def other(self, request: Request, slug: str, path: bytes) -> Answering:
        lane, method = self.lane(slug), request.method or ""
        if method not in self.allowed_methods:
            raise MethodNotAllowed(method)
        kept = replace(lane, offers=tuple(filter(keeps_method, lane.offers)))
        return self.infer(kept, path, timeout_wish(request), {"method": method.encode("ascii")})

    put = patch = delete = other

    def get(self, request: Request, slug: str, path: bytes) -> Answering | HttpResponseBase:
        if path:
            return self.other(request, slug, path)
        return tagged(self, contract(self, slug))


def keeps_method(offer: OfferEntry) -> bool:
    return offer.target.protocol in KEEPS_METHOD


class CapabilitiesView(DataPlaneView):
    """`/v1/capabilities`: what this client may call."""

    def get(self, request: Request) -> HttpResponseBase:
        allowed = self.client.capabilities
        slugs = [slug for slug in sorted(self.table.policies) if allowed is None or slug in allowed]
        return tagged(self, {"capabilities": [contract(self, slug) for slug in slugs]})


class ProcessRequestView(Inferring):
    """`/process/request/<worker path>`, as stock clients call it: the capability stands in the header."""

    def post(self, request: Request, path: bytes) -> Answering:
        try:
            job = parse_job_header(request.META.get("HTTP_LIVEPEER", ""))
            search = [parse_go_duration(request.META[key]) for key in SEARCH_KEYS if request.META.get(key)]
        except JobHeaderError as exc:
            raise refuse(Code.BAD_JOB_HEADER, str(exc)) from exc
        lane = self.lane(self.table.slug_of(job.capability) or job.capability)
        wishes = {
            "request": job.request,
            "parameters": job.parameters,
            "include": job.include,
            "exclude": job.exclude,
            "search_timeout": min(search, default=None),
        }
        return self.infer(lane, path, float(job.timeout_seconds), wishes)

    def render(self, delivery: Delivery) -> HttpResponseBase:
        response = super().render(delivery)
        response["livepeer-balance"] = delivery.balance
        response["x-metadata"] = delivery.metadata
        return response


class ProcessStreamView(DataPlaneView):
    """`/process/stream/...`: live streams."""

    def post(self, request: Request) -> HttpResponseBase:
        raise refuse(Code.NOT_IMPLEMENTED, "Live streams are not offered by this gateway.")

    get = post


SEARCH_KEYS = ("HTTP_LIVEPEER_ORCH_SEARCH_TIMEOUT", "HTTP_LIVEPEER_ORCH_SEARCH_RESP_TIMEOUT")
_PASSED = [(name, name.encode()) for name in PASSED_UPSTREAM]


def new_request_id() -> str:
    """32 hex digits, of which the first twelve are the time in milliseconds: so rows are added to the end of
    their index, not all over it. The rest is chance."""
    return (time.time_ns() // 1_000_000 << 80 | random.getrandbits(80)).to_bytes(16, "big").hex()


def timeout_wish(request: Request) -> float | None:
    """Seconds from X-Byocgw-Timeout, which may only shorten the call."""
    text = from_door(request).fields.get(b"x-byocgw-timeout")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:  # which NaN is not
        raise refuse(Code.BAD_REQUEST, "X-Byocgw-Timeout must be a number of seconds above 0.")
    return seconds
