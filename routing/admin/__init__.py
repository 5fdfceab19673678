"""The admin of the demand side, and of supply where demand has a say.

prices      ceilings and the rate that shows them in dollars
capability  a capability's page
pipelines   paths of the stock AI gateway
callers     who may call: tiers, clients, and how much of their limits they use
keys        API keys: shown once, rotated, revoked
alerts      rules and channels of alerts
jobs        what came of it: the log of calls, one call's trace, attempts, usage
"""

from __future__ import annotations

from routing.admin import alerts, callers, capability, jobs, keys, pipelines, prices

__all__ = ["alerts", "callers", "capability", "jobs", "keys", "pipelines", "prices"]
