"""API keys and networks -> clients, from the routing table alone: no query, no cache, no thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission

from orchestrators.core.addresses import Address, caller, is_within
from routing.api.problems import refuse
from routing.core.refusal import Code
from routing.models import ApiKey
from routing.table import ClientEntry, KeyEntry, RoutingTable

if TYPE_CHECKING:
    from routing.api.inference import DataPlaneView

REMEMBERED = 128  # bytes of a header field, which may be written in many ways
MISSING = "Send your API key as 'Authorization: Bearer byoc_...'."


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer byoc_...`. Digests are looked up, so nothing compares secrets byte by byte.

    Without the header, a client may be known by the network that it calls from: stock clients send no key.
    """

    def authenticate(self, request: DataPlaneView) -> tuple[ClientEntry, KeyEntry | None]:  # type: ignore[override]
        header = request.fields.get(b"authorization")
        if not header:
            return _by_network(request), None
        digest, key = request.table.shown.get(header) or _shown(request.table, header)
        if key.expires_at is not None and key.expires_at <= request.at:
            raise refuse(Code.UNAUTHENTICATED, "This API key has expired.")
        if key.networks is not None and not is_within(_address(request), key.networks):
            raise refuse(Code.KEY_NOT_ALLOWED, "This API key may not be used from this network.")
        request.runtime.keys_used[digest] = request.at
        return key.client, key

    def authenticate_header(self, request: DataPlaneView) -> str:  # type: ignore[override]
        return 'Bearer realm="byocgw"'


class IsClient(BasePermission):
    """Known by its network, or by a key whose scope the view is in. Which capabilities it may call is asked
    later."""

    def has_permission(self, request: DataPlaneView, view: DataPlaneView) -> bool:  # type: ignore[override]
        key, scope = view.key, view.key_scope
        if key is not None and scope is not None and key.scope != scope and key.scope != "all":
            raise refuse(Code.KEY_NOT_ALLOWED, f"This API key is for {key.scope} alone.")
        return True


def _shown(table: RoutingTable, header: bytes) -> tuple[str, KeyEntry]:
    """Digest and key, remembered with the table, so that a key is hashed once and not for each request."""
    scheme, _, secret = header.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise refuse(Code.UNAUTHENTICATED, MISSING)
    for digest in ApiKey.digests_of(secret.strip()):
        key = table.keys.get(digest)
        if key is not None:
            if len(header) <= REMEMBERED and len(table.shown) < 2 * len(table.keys):
                table.shown[header] = digest, key
            return digest, key
    raise refuse(Code.UNAUTHENTICATED, "This API key is unknown, or it was revoked.")


def _by_network(request: DataPlaneView) -> ClientEntry:
    address = _address(request) if request.table.networks else None
    client = None if address is None else request.table.client_at(address)
    if client is None:
        raise refuse(Code.UNAUTHENTICATED, MISSING)
    return client


def _address(request: DataPlaneView) -> Address | None:
    """Of the client, or of the proxy in front that is not in FORWARDED_ALLOW_IPS. None on a Unix socket."""
    return caller((request.scope.get("client") or [""])[0])
