"""The tier's requests per minute, counted in memory (GCRA): exact within one worker."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rest_framework.throttling import BaseThrottle

from routing.api.problems import refuse
from routing.core.refusal import Code

if TYPE_CHECKING:
    from routing.api.inference import DataPlaneView
    from routing.api.request import DataPlaneRequest


class TierThrottle(BaseThrottle):
    """Every answer to a limited client says what is left of its rate (RateLimit-*)."""

    def allow_request(self, request: DataPlaneRequest, view: DataPlaneView) -> bool:  # type: ignore[override]
        rate = view.client.rate
        if rate is None:
            return True
        pace = view.runtime.allowances.pace(view.client, rate, view.arrived)
        view.headers |= {
            "ratelimit-limit": str(rate.per_minute),
            "ratelimit-remaining": str(pace.remaining),
            "ratelimit-reset": str(math.ceil(pace.reset)),
        }
        if pace.wait:
            detail = f"The limit is {rate.per_minute} requests a minute, {rate.burst} at once."
            raise refuse(Code.RATE_LIMITED, detail, retry_after=pace.wait)
        return True
