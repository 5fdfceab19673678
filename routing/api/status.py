"""What machines ask of a worker: is it alive, is it ready. No key, no view, no query; never turned away.

GET /healthz   200 as long as the process answers
GET /readyz    200, or 503 when calls should go elsewhere; each check as JSON (see `readiness`)
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from routing import readiness
from routing.runtime import Runtime

Send = Callable[[dict[str, Any]], Awaitable[None]]
Answer = tuple[int, str, bytes]  # status, content type, body
PATHS = frozenset({"/healthz", "/readyz"})


class Status:
    """The answers of one worker to the paths in `PATHS`."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    async def answer(self, scope: Mapping[str, Any], send: Send) -> None:
        status, content_type, body = self._healthz() if scope["path"] == "/healthz" else self._readyz()
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _healthz(self) -> Answer:
        return 200, "text/plain", b"ok\n"

    def _readyz(self) -> Answer:
        found = readiness.checks(self.runtime, time.monotonic(), time.time())
        state = readiness.overall(found)
        document = {
            "status": state.value,
            "checks": {name: check.document() for name, check in found.items()},
        }
        return (
            503 if state is readiness.State.NOT_READY else 200,
            "application/json",
            json.dumps(document).encode(),
        )
