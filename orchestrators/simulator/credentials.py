"""The Livepeer headers, read as strictly as Go reads them: padded base64, and JSON of the right types.

Keys match whatever their case; unknown keys pass. Signatures must be hex, and are not verified.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sender:
    """The `Livepeer-Eth-Address` header."""

    addr: str
    sig: str


@dataclass(frozen=True, slots=True)
class JobHeader:
    """The `Livepeer` header. `timeout`: seconds, 0 when absent. `document`: the header as it came."""

    capability: str
    request: str
    timeout: int
    sig: str
    document: Mapping[str, object]


def parse_sender(value: bytes) -> Sender | None:
    """None when it is not what an orchestrator accepts."""
    document = _decode(value)
    if document is None:
        return None
    addr, sig = _text(document, "addr"), _text(document, "sig")
    return None if addr is None or sig is None or not is_signature(sig) else Sender(addr, sig)


def parse_job(value: bytes) -> JobHeader | None:
    """None when it cannot be read; the signature is left to `is_signature`."""
    document = _decode(value)
    if document is None:
        return None
    folded = document if "timeout_seconds" in document else {key.lower(): document[key] for key in document}
    capability, request, sig = _text(folded, "capability"), _text(folded, "request"), _text(folded, "sig")
    others = [_text(folded, key) for key in ("id", "parameters", "capability_url", "sender")]
    timeout = folded.get("timeout_seconds") or 0
    if capability is None or request is None or sig is None or None in others or type(timeout) is not int:
        return None
    if abs(timeout) >= _GO_INT:
        return None
    return JobHeader(capability, request, timeout, sig, document)


def is_signature(sig: str) -> bool:
    """Hex, with or without 0x when it is 65 bytes long; the short "0x" is none."""
    try:
        bytes.fromhex(sig[2:] if len(sig) > 130 else sig)
    except ValueError:
        return False
    return True


def is_base64(value: bytes) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        return False
    return True


def details_error(request: str) -> str:
    """Why `request` is not the JSON object (or null) it must be, in Go's words; "" when it is."""
    try:
        details = json.loads(request)
    except ValueError:
        first = request.strip()[:1]
        return f"invalid character {first!r} looking for beginning of value" if first else _END
    if details is None:
        return ""
    if not isinstance(details, dict):
        return f"json: cannot unmarshal {_go_type(details)} into Go value of type byoc.JobRequestDetails"
    return "" if isinstance(details.get("stream_id") or "", str) else "json: stream_id is not a string"


_GO_INT = 2**63
_END = "unexpected end of JSON input"


def _decode(value: bytes) -> dict[str, object] | None:
    try:
        document = json.loads(base64.b64decode(value, validate=True))
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _text(document: Mapping[str, object], key: str) -> str | None:
    """A string; "" when it is absent or null, None when it is something else."""
    value = document.get(key)
    if value is None:
        return ""
    return value if isinstance(value, str) else None


def _go_type(value: object) -> str:
    return {list: "array", str: "string", bool: "bool"}.get(type(value), "number")
