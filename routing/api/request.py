"""The request as the door makes it: Django's, with what the views of the data plane need at hand."""

from __future__ import annotations

import io
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any, cast

from django.core.handlers.asgi import ASGIRequest
from rest_framework.request import Request

from routing.replay import ReplayBody
from routing.runtime import Runtime
from routing.table import ClientEntry

Scope = MutableMapping[str, Any]


class DataPlaneRequest(ASGIRequest):
    """`table`: one routing table for the whole request, whatever happens meanwhile. The body is unread."""

    _read_started = False
    _stream = io.BytesIO()  # nothing: the body is `incoming`

    def __init__(self, scope: Scope, runtime: Runtime, incoming: ReplayBody) -> None:
        # Without ASGIRequest's own part, which takes 12 us for names it has spelled a thousand times.
        self.scope = scope
        self.method = scope["method"]
        self.path = self.path_info = scope["path"]
        self.META = meta_of(scope)
        self.runtime = runtime
        self.table = runtime.table
        self.incoming = incoming


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
    return cast(DataPlaneRequest, request._request)


def client_of(request: Request) -> ClientEntry:
    """Who `KeyAuthentication` found; only where `IsClient` has let the request pass."""
    return cast(ClientEntry, request.user)
