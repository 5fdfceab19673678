"""Demand, as rows. Decided: PriceCeiling, Pipeline, Rate, Tier, Client, ApiKey, AlertRule,
AlertChannel. Observed: Job, Attempt, Alert, and the sums UsageHour and OfferDay.

KeptCall is what clients asked to keep (see routing/keeping.py).
JournalMark is the journal's own bookkeeping (see routing/journal.py).
"""

from __future__ import annotations

from routing.models.alert import Alert, AlertChannel, AlertRule
from routing.models.ceiling import PriceCeiling
from routing.models.client import ApiKey, Client, Tier
from routing.models.job import Attempt, Chore, Job, JournalMark, OfferDay, UsageHour
from routing.models.kept import KeptCall
from routing.models.pipeline import Pipeline
from routing.models.rate import Rate

__all__ = [
    "Alert",
    "AlertChannel",
    "AlertRule",
    "ApiKey",
    "Attempt",
    "Chore",
    "Client",
    "Job",
    "JournalMark",
    "KeptCall",
    "OfferDay",
    "Pipeline",
    "PriceCeiling",
    "Rate",
    "Tier",
    "UsageHour",
]
