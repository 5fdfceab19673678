"""The tier's requests per minute, counted in memory (GCRA): exact within one worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.throttling import BaseThrottle

from routing.api.problems import refuse
from routing.core.refusal import Code

if TYPE_CHECKING:
    from routing.api.inference import DataPlaneView


class TierThrottle(BaseThrottle):
    """Every answer to a limited client says what is left of its rate (RateLimit-*)."""

    def allow_request(self, request: DataPlaneView, view: DataPlaneView) -> bool:  # type: ignore[override]
        rate = view.client.rate
        if rate is None:
            return True
        account = view.runtime.allowances.accounts[view.client.id]
        wait = account.admit(rate, view.arrived)
        headers = view.headers
        headers["ratelimit-limit"] = rate.told
        headers["ratelimit-remaining"] = str(account.remaining)
        headers["ratelimit-reset"] = str(account.reset)
        if wait:
            detail = f"The limit is {rate.per_minute} requests a minute, {rate.burst} at once."
            raise refuse(Code.RATE_LIMITED, detail, retry_after=wait)
        return True
