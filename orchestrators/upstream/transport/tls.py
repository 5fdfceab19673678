"""Whose certificate is good enough: contexts built once a process, and the order to try them in.

`verify` wants a chain that ends at a known authority, `insecure` wants nothing. `pin` wants the
stored fingerprint or such a chain: OpenSSL cannot be asked about a chain after the handshake, so a
certificate that is not the stored one is tried again by a handshake that verifies.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Way:
    """One handshake to try. `context`: None without TLS. `wanted`: the fingerprint, "" for any."""

    context: ssl.SSLContext | None
    wanted: str = ""


def ways(*, secure: bool, tls: str, fingerprint: str) -> tuple[Way, ...]:
    """In order: a fingerprint that does not match leads to the next one. ValueError: unknown `tls`."""
    if not secure:
        return (Way(None),)
    if tls == "verify" or (tls == "pin" and not fingerprint):
        return (Way(verifying()),)
    if tls == "pin":
        return Way(unverifying(), fingerprint), Way(verifying())
    if tls == "insecure":
        return (Way(unverifying()),)
    raise ValueError(f"{tls!r} is none of verify, pin, insecure")


def fingerprint_of(certificate: bytes) -> str:
    """SHA-256 of a DER certificate in lower-case hex."""
    return hashlib.sha256(certificate).hexdigest()


@cache
def verifying() -> ssl.SSLContext:
    return _http_only(ssl.create_default_context())


@cache
def unverifying() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _http_only(context)


def _http_only(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_alpn_protocols(["http/1.1"])  # the orchestrator's port speaks h2 to those who ask
    return context
