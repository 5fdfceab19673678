"""What `core.clocks` says of one time, asked of a column."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q

from orchestrators.core.clocks import SKEW


def has_come(column: str, now: datetime, longest: timedelta) -> Q:
    """Not where it is NULL."""
    furthest = now + longest + timedelta(seconds=SKEW)
    return Q(**{f"{column}__lte": now}) | Q(**{f"{column}__gt": furthest})
