"""The tier's requests per minute, counted in memory (GCRA): exact within one worker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rest_framework.throttling import BaseThrottle

from routing.api.problems import refuse
from routing.api.request import client_of, from_door
from routing.core.limits import admit
from routing.core.refusal import Code

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView


class TierThrottle(BaseThrottle):
    """`runtime.arrivals` holds each limited client's theoretical arrival time, on the monotonic clock."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        client = client_of(request)
        rate = client.rate
        if rate is None:
            return True
        arrivals = from_door(request).runtime.arrivals
        admitted, tat, wait = admit(arrivals.get(client.id, 0.0), rate, time.monotonic())
        if not admitted:
            detail = f"The limit is {rate.per_minute} requests a minute, {rate.burst} at once."
            raise refuse(Code.RATE_LIMITED, detail, retry_after=wait)
        arrivals[client.id] = tat
        return True
