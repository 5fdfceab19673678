"""Who we are to an orchestrator, and what a signature of it covers.

A signature is `lp-sign`: secp256k1 over EIP-191 over keccak256 of a message. The message differs:
V0 (master) binds the two texts alone, V1 (branches in the field) the whole job. Neither scheme
accepts the other's. Orchestrators off-chain do not look: an empty signature is right for them, and
that is what `Offline` says; a signer with a key picks its scheme from `SCHEMES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

_V1_TAG = b"LP_BYOC_JOB_V1\0\0"


class Signer(Protocol):
    """Address and signatures as the wire has them: "0x" and hex, or "" for no signature."""

    @property
    def sender(self) -> str: ...

    def address_proof(self) -> tuple[str, str]:
        """The address and the signature of its text. It never changes: no time or host is bound."""

    def sign_job(
        self, request: str, parameters: str, *, job_id: str, capability: str, timeout_seconds: int
    ) -> str: ...


class Scheme(Protocol):
    """The bytes whose hash is signed for one job."""

    def __call__(
        self, request: str, parameters: str, *, job_id: str, capability: str, timeout_seconds: int
    ) -> bytes: ...


def v0_message(request: str, parameters: str, *, job_id: str, capability: str, timeout_seconds: int) -> bytes:
    """go-livepeer `byoc/utils.go:gatewayJob.sign`: the texts alone, one behind the other."""
    return (request + parameters).encode()


def v1_message(request: str, parameters: str, *, job_id: str, capability: str, timeout_seconds: int) -> bytes:
    """go-livepeer branches `feat/byoc-v1-signing`: tag, timeout, then every text with its length.

    OverflowError: `timeout_seconds` outside 0 .. 2**32 - 1.
    """
    texts = (job_id, capability, request, parameters)
    return _V1_TAG + _u32(timeout_seconds) + b"".join(_with_length(text.encode()) for text in texts)


SCHEMES: Mapping[str, Scheme] = {"v0": v0_message, "v1": v1_message}


@dataclass(frozen=True, slots=True)
class Offline:
    """A sender without a key, for orchestrators that are not on a chain."""

    sender: str

    def address_proof(self) -> tuple[str, str]:
        return self.sender, ""

    def sign_job(
        self, request: str, parameters: str, *, job_id: str, capability: str, timeout_seconds: int
    ) -> str:
        return ""


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def _with_length(text: bytes) -> bytes:
    return _u32(len(text)) + text
