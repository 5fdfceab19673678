"""A container's own HTTP API, without an orchestrator in front of it.

Health is that of the AI worker API (ai-runner `/health`), and so is what it says of its GPU
(`/hardware/info`); a container without them is reachable, and only traffic can say more.
"""

from __future__ import annotations

import json

from orchestrators.core.hardware import Hardware, parse
from orchestrators.upstream.base import TRACE, Call, Reply, Sighting, Target, UpstreamError
from orchestrators.upstream.transport import Pool
from orchestrators.upstream.transport.request import Field, target_of

FORWARDED = frozenset({"accept", "accept-language", *TRACE})  # of the client's header fields
DETAIL = 500  # characters of an answer kept for the operator
_READINESS = {"OK": "ready", "IDLE": "ready", "LOADING": "loading", "ERROR": "faulty"}


class Direct:
    """`base.Upstream` over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def send(self, target: Target, call: Call) -> Reply:
        """UpstreamError; ValueError: a path or header field that cannot go into a request."""
        fields: list[Field] = []
        if call.content_type:
            fields.append((b"content-type", call.content_type.encode("latin-1")))
        for name, value in call.headers.items():
            if name.lower() in FORWARDED:
                fields.append((name.lower().encode("ascii"), value.encode("latin-1")))
        path = target_of(b"/", target.path, call.worker_path)
        origin = self._pool.origin(target)
        return await origin.send(b"POST", path, fields, call.body, timeout=call.timeout)

    async def look(self, target: Target, timeout: float) -> Sighting:
        """UpstreamError when nothing answers; any answer is a sighting."""
        async with self._pool.client(target) as client:
            response = await client.get("/health", timeout=timeout)
        readiness = _readiness(response.status_code, response.content)
        detail = "" if readiness == "ready" else response.content.decode("utf-8", "replace").strip()[:DETAIL]
        return Sighting(
            response.status_code,
            readiness=readiness,
            fingerprint=response.extensions["fingerprint"],
            detail=detail,
            hardware=await self._hardware(target, timeout) if readiness == "ready" else Hardware(),
        )

    async def _hardware(self, target: Target, timeout: float) -> Hardware:
        """Nice to know, and no trouble where a container has no such path."""
        try:
            async with self._pool.client(target) as client:
                response = await client.get("/hardware/info", timeout=timeout)
            return parse(json.loads(response.content)) if response.status_code == 200 else Hardware()
        except (UpstreamError, ValueError, RecursionError):
            return Hardware()


def _readiness(status: int, body: bytes) -> str:
    if status >= 500:
        return "faulty"
    if status != 200:
        return "reachable"
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return "reachable"
    said = document.get("status") if isinstance(document, dict) else None
    return _READINESS.get(said, "reachable") if isinstance(said, str) else "reachable"
