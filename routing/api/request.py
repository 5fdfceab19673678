"""DRF's request, made of what the door has. The views' own code asks their view: see `DataPlaneView`."""

from __future__ import annotations

import io
from collections.abc import MutableMapping
from functools import cached_property
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import QueryDict
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Empty, Request

from routing.runtime import Runtime
from routing.table import RoutingTable

Scope = MutableMapping[str, Any]


class DataPlaneRequest(Request):
    """What authenticators and permissions look at. `table`: one routing table for the whole request, whatever
    happens meanwhile. `fields`: the header fields, names in lower case, of a repeated one the values joined.
    `user`, `auth`: once they are known; DRF's properties look for them at each use.

    Without DRF's own part, most of which is what parsing a body would need: nobody parses this one. Nothing in
    it leads back to itself, so that counting references frees it.
    """

    __slots__ = ("auth", "fields", "runtime", "scope", "table", "user")

    scope: Scope
    fields: dict[bytes, bytes]
    runtime: Runtime
    table: RoutingTable
    user: Any
    auth: Any

    authenticators = parsers = ()
    negotiator = DefaultContentNegotiation()
    parser_context: dict[str, Any] = {}  # noqa: RUF012  DRF's; it stays empty
    _data = _files = _full_data = _content_type = Empty
    _stream: Any = Empty

    __init__ = object.__init__

    @cached_property
    def _request(self) -> ASGIRequest:  # type: ignore[override]
        """Django's, for whoever asks DRF for what it alone has: spelling its names takes 12 us."""
        return ASGIRequest({**self.scope, "headers": [*self.fields.items()]}, io.BytesIO())

    @property
    def query_params(self) -> QueryDict:  # type: ignore[override]
        return QueryDict(self.scope["query_string"].decode("latin-1"))
