"""API keys -> clients, from the routing table alone: no query, no cache, no thread."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission

from routing.api.problems import refuse
from routing.api.request import from_door
from routing.core.refusal import Code
from routing.models import ApiKey
from routing.table import ClientEntry

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

MISSING = "Send your API key as 'Authorization: Bearer byoc_...'."


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer byoc_...`. The digest is looked up, so nothing compares secrets byte by byte."""

    def authenticate(self, request: Request) -> tuple[ClientEntry, str]:
        scheme, _, secret = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise refuse(Code.UNAUTHENTICATED, MISSING)
        digest = ApiKey.digest_of(secret.strip())
        key = from_door(request).table.keys.get(digest)
        if key is None:
            raise refuse(Code.UNAUTHENTICATED, "This API key is unknown, or it was revoked.")
        if key.expires_at is not None and key.expires_at <= time.time():
            raise refuse(Code.UNAUTHENTICATED, "This API key has expired.")
        return key.client, digest

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="byocgw"'


class IsClient(BasePermission):
    """Authenticated. Whether it may call a capability is asked when the capability is known."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.user, ClientEntry)
