"""What machines ask of a worker: is it alive, is it ready. No key, no view, no query; never turned away.

GET /healthz   200 as long as the process answers
GET /readyz    200, or 503 when calls should go elsewhere; each check as JSON (see `readiness`)
GET /metrics   for Prometheus; only from BYOCGW_METRICS_ALLOW, or with BYOCGW_METRICS_TOKEN
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from django.conf import settings

from orchestrators.core.addresses import Network, caller, is_within
from routing import readiness
from routing.metrics import page, sharing
from routing.runtime import Runtime

log = logging.getLogger(__name__)

BEAT = 1.0  # seconds
NOT_FOR_YOU = (
    b"/metrics is told to the networks in BYOCGW_METRICS_ALLOW, "
    b"and to who sends BYOCGW_METRICS_TOKEN as a bearer token.\n"
)
# Where these fail they say so themselves, with the reason.
SPEAK_FOR_THEMSELVES = frozenset({"table", "database", "journal"})

Send = Callable[[dict[str, Any]], Awaitable[None]]
Answer = tuple[int, str, bytes]  # status, content type, body
PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


class Status:
    """The answers of one worker to the paths in `PATHS`."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._before: dict[str, readiness.State] = {}

    async def answer(self, scope: Mapping[str, Any], send: Send) -> None:
        status, content_type, body = await self._told(scope)
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _told(self, scope: Mapping[str, Any]) -> Answer:
        if scope["path"] == "/healthz":
            return 200, "text/plain", b"ok\n"
        if scope["path"] == "/readyz":
            return self._readyz()
        if not may_read_metrics(scope, settings.BYOCGW_METRICS_ALLOW, settings.BYOCGW_METRICS_TOKEN):
            return 403, "text/plain", NOT_FOR_YOU
        if not self.runtime.started:
            return 503, "text/plain", b"This worker has not started.\n"
        return 200, page.CONTENT_TYPE, await page.text(self.runtime, most_offers=settings.BYOCGW_METRICS_OFFERS)

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

    async def watch(self) -> None:
        """Once a second: leave this worker's samples to the others; a log line for each check that changed."""
        try:
            while True:
                self._beat()
                await asyncio.sleep(BEAT)
        finally:
            self._beat()  # what was counted since the last one

    def _beat(self) -> None:
        try:
            sharing.share(page.own(self.runtime), time.time())
            self._tell_changes(readiness.checks(self.runtime, time.monotonic(), time.time()))
        except Exception:  # a bug in one must not end all later ones
            log.exception("this worker's state could not be told")

    def _tell_changes(self, found: Mapping[str, readiness.Check]) -> None:
        for name, check in found.items():
            if (
                check.state is not self._before.get(name, readiness.State.OK)
                and name not in SPEAK_FOR_THEMSELVES
            ):
                level = logging.INFO if check.state is readiness.State.OK else logging.WARNING
                log.log(level, "readiness: %s is %s: %s", name, check.state, dict(check.figures))
        self._before = {name: check.state for name, check in found.items()}


def may_read_metrics(
    scope: Mapping[str, Any],
    networks: Collection[Network],
    token: str,
) -> bool:
    """From one of these networks, or with this token. Without an address (a Unix socket) the token decides."""
    if token:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if secrets.compare_digest(given, b"Bearer " + token.encode()):
            return True
    return is_within(caller((scope.get("client") or ("",))[0]), networks)
