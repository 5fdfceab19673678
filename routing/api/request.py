"""The request as the door makes it: Django's, with what the views of the data plane need at hand."""

from __future__ import annotations

import io
from collections.abc import MutableMapping
from typing import Any, cast

from django.core.handlers.asgi import ASGIRequest
from rest_framework.request import Request

from routing.replay import ReplayBody
from routing.runtime import Runtime
from routing.table import ClientEntry

Scope = MutableMapping[str, Any]


class DataPlaneRequest(ASGIRequest):
    """`table`: one routing table for the whole request, whatever happens meanwhile. The body is unread."""

    def __init__(self, scope: Scope, runtime: Runtime, incoming: ReplayBody) -> None:
        super().__init__(scope, io.BytesIO())
        self.runtime = runtime
        self.table = runtime.table
        self.incoming = incoming


def from_door(request: Request) -> DataPlaneRequest:
    """The door's request inside DRF's."""
    return cast(DataPlaneRequest, request._request)


def client_of(request: Request) -> ClientEntry:
    """Who `KeyAuthentication` found; only where `IsClient` has let the request pass."""
    return cast(ClientEntry, request.user)
