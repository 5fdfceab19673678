"""Trials: an offer is put through its paces before it gets traffic (R53).

    course         what is asked of it: a look, a first call, some warm ones, a few at once
    consequences   what follows: a scorecard, the offer's health as a probe would leave it, its mode
    running        which offers, when, and how many at a time: run() and watch()

The sample request is the capability's, sent through the same code as a probe's, and judged by the same
rules as live traffic. An offer that no client may pay is not called.

An offer in mode `trial` that passes, with remarks or without, becomes `active` and keeps its `share`. The
trial of an orchestrator in mode `trial` is the trial of its offers: with the first that passes it becomes
`active`, and those of its active offers that have not passed one go to `trial` themselves.

What clients may pay is decided above: `ceilings_with` says who knows.
"""

from __future__ import annotations

from orchestrators.trial.consequences import Ceilings, ceilings_with
from orchestrators.trial.running import MOST_NEW, Order, Result, Summary, run, untried, watch

__all__ = ["MOST_NEW", "Ceilings", "Order", "Result", "Summary", "ceilings_with", "run", "untried", "watch"]
