"""Every origin of one process or one command, made when first called. One pool belongs to one event loop."""

from __future__ import annotations

import asyncio

import httpx
from django.conf import settings

from orchestrators.core.addresses import Network
from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import NotConnected, Target
from orchestrators.upstream.transport.face import OriginTransport
from orchestrators.upstream.transport.limits import DEFAULT, Limits
from orchestrators.upstream.transport.origin import Address, Origin
from orchestrators.upstream.transport.tls import ways

FEW = 1000  # origins, 2.6 KB each


class Pool:
    """Origins by service URI, trust and fingerprint: a certificate trusted anew is a new origin. They come and
    go, so those without a connection are forgotten whenever their number has doubled.

    `allowed`: networks beside the public internet, None for those of the settings.
    """

    def __init__(self, limits: Limits = DEFAULT, allowed: tuple[Network, ...] | None = None) -> None:
        self._limits = limits
        self._allowed = settings.BYOCGW_ALLOWED_NETWORKS if allowed is None else allowed
        self._origins: dict[tuple[str, str, str], Origin] = {}
        self._most = FEW

    def __repr__(self) -> str:
        return f"<Pool {list(self._origins.values())}>"

    def origin(self, target: Target) -> Origin:
        """For live traffic. NotConnected: a service URI or a trust that means nothing."""
        key = (target.service_uri, target.tls, target.fingerprint)
        return self._origins.get(key) or self._origin(*key)

    def client(self, target: Target) -> httpx.AsyncClient:
        """For a look; the caller closes it. At first sight, with nothing pinned, any certificate will do."""
        first_sight = target.tls == "pin" and not target.fingerprint
        tls = "insecure" if first_sight else target.tls
        origin = self._origin(target.service_uri, tls, target.fingerprint)
        return httpx.AsyncClient(
            base_url=target.service_uri, transport=OriginTransport(origin), trust_env=False
        )

    def _origin(self, service_uri: str, tls: str, fingerprint: str) -> Origin:
        key = (service_uri, tls, fingerprint)
        origin = self._origins.get(key)
        if origin is None:
            try:
                address = Address.of(service_uri)
                trusted = ways(secure=address.secure, tls=tls, fingerprint=fingerprint)
            except ValueError as error:
                raise NotConnected(Fault.UNREACHABLE, str(error)) from error
            if len(self._origins) >= self._most:
                self._origins = {of: each for of, each in self._origins.items() if each.is_in_use}
                self._most = max(FEW, 2 * len(self._origins))
            origin = self._origins[key] = Origin(address, trusted, self._limits, self._allowed)
        return origin

    async def aclose(self) -> None:
        """Aborts what is under way; a later call begins anew."""
        origins, self._origins = list(self._origins.values()), {}
        await asyncio.gather(*(origin.aclose() for origin in origins))
