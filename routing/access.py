"""A log line per finished call, for a share of them. The journal has them all; this is for a log stack."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from routing.decisions import is_sampled
from routing.journal import JobRecord

log = logging.getLogger(__name__)

MOST = 100  # lines a second and worker: beyond that logging would be the load


class AccessLog:
    """`share`: of the calls, 0 to 1. `clock`: monotonic seconds."""

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.share = share
        self._clock = clock
        self._second = 0
        self._written = 0

    def note(self, record: JobRecord) -> None:
        if is_sampled(record.request_id, self.share) and self._has_room():
            log.info("call", extra=_fields(record))

    def _has_room(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second, self._written = second, 0
        self._written += 1
        return self._written <= MOST


def _fields(record: JobRecord) -> dict[str, object]:
    return {
        "request": record.request_id,
        "client": record.client,
        "capability": record.capability,
        "code": record.code,
        "status": record.status,
        "ms": record.ms,
        "attempts": [each.outcome for each in record.attempts],
        "orchestrator": record.orchestrator,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
    }
