"""How well a kind of work suits routing of short, repeatable units (R20, R46)."""

from __future__ import annotations

from enum import StrEnum

GOOD_SECONDS = 10.0
POOR_SECONDS = 60.0  # beyond it a job is a batch job, whatever its kind (R21)


class Fit(StrEnum):
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"


def fit_of(*, stateful: bool, seconds: float) -> Fit:
    """`seconds`: what a usual request takes."""
    if stateful or seconds > POOR_SECONDS:
        return Fit.POOR
    return Fit.GOOD if seconds <= GOOD_SECONDS else Fit.FAIR
