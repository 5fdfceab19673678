"""The admin of the demand side, and of supply where demand has a say.

prices      ceilings and the rate that shows them in dollars
capability  a capability's page
demand      who may call, and what came of it
pipelines   paths of the stock AI gateway
"""

from __future__ import annotations

from routing.admin import capability, demand, pipelines, prices

__all__ = ["capability", "demand", "pipelines", "prices"]
