"""Demand, as rows. Decided: PriceCeiling, Pipeline, Rate, Tier, Client, ApiKey. Observed: Job, Attempt, and
the sums UsageHour and OfferDay.

KeptCall is what clients asked to keep (see routing/keeping.py).
JournalMark is the journal's own bookkeeping (see routing/journal.py).
"""

from __future__ import annotations

from routing.models.ceiling import PriceCeiling
from routing.models.client import ApiKey, Client, Tier
from routing.models.job import Attempt, Chore, Job, JournalMark, OfferDay, UsageHour
from routing.models.kept import KeptCall
from routing.models.pipeline import Pipeline
from routing.models.rate import Rate

__all__ = [
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
