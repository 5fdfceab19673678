"""The request as the door makes it: Django's, with what the views of the data plane need at hand."""

from __future__ import annotations

import io
from collections.abc import MutableMapping
from functools import cached_property, lru_cache
from typing import Any, cast

from django.core.handlers.asgi import ASGIRequest
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Empty, Request

from routing.replay import ReplayBody
from routing.runtime import Runtime

Scope = MutableMapping[str, Any]


class DataPlaneRequest(ASGIRequest):
    """`table`: one routing table for the whole request, whatever happens meanwhile. The body is unread.

    `fields`: the header fields, names in lower case, of a repeated one the values joined.
    """

    _read_started = False
    _stream = io.BytesIO()  # nothing: the body is `incoming`

    def __init__(
        self, scope: Scope, runtime: Runtime, incoming: ReplayBody, fields: dict[bytes, bytes]
    ) -> None:
        # Without ASGIRequest's own part, which takes 12 us for names it has spelled a thousand times.
        self.scope = scope
        self.method = scope["method"]
        self.path = self.path_info = scope["path"]
        self.fields = fields
        self.runtime = runtime
        self.table = runtime.table
        self.incoming = incoming

    @cached_property
    def META(self) -> dict[str, Any]:  # type: ignore[override]  # noqa: N802  Django's name
        """For whoever wants Django's names: spelling all of them takes 6 us."""
        return meta_of(cast(Scope, self.scope))

    def field(self, name: bytes) -> str:
        """The value of a header field, "" without it."""
        value = self.fields.get(name)
        return value.decode("latin-1") if value else ""


class ViewRequest(Request):
    """DRF's request without what parsing a body would need: nobody parses this one. Nothing in it leads back
    to itself, so that counting references frees it."""

    user: Any = None  # once it is known; DRF's properties look for it at each use
    auth: Any = None
    authenticators = parsers = ()
    negotiator = DefaultContentNegotiation()
    parser_context: dict[str, Any] = {}  # noqa: RUF012  DRF's; it stays empty
    _data = _files = _full_data = _content_type = Empty
    _stream: Any = Empty
    _request: DataPlaneRequest

    __init__ = object.__init__


def meta_of(scope: Scope) -> dict[str, Any]:
    """What views may ask, under Django's names; of a repeated header field the values joined, as there."""
    meta: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": scope["path"],
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
    }
    client = scope.get("client")
    if client:
        meta["REMOTE_ADDR"] = client[0]
    for name, value in scope["headers"]:
        key = meta_key(name)
        text = value.decode("latin-1")
        meta[key] = f"{meta[key]},{text}" if key in meta else text
    meta.pop("", None)
    return meta


@lru_cache(maxsize=512)
def meta_key(name: bytes) -> str:
    """ "" for a name with an underscore, which could be taken for another with a hyphen."""
    text = name.decode("latin-1").upper()
    if "_" in text:
        return ""
    key = text.replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def from_door(request: Request) -> DataPlaneRequest:
    """The door's request inside DRF's."""
    return request._request  # type: ignore[return-value]
