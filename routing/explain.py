"""Who would serve a capability now, and why not the others: the functions of live traffic, without a call."""

from __future__ import annotations

from typing import Any

from orchestrators.models import OfferHealth
from orchestrators.scoreboard import Scoreboard
from routing.candidates import decision_record, view
from routing.core.selection import last_resort, rank, sift
from routing.table import Lane


def stored_board() -> Scoreboard:
    """What the database knows of the offers' health; a gateway's own averages are finer."""
    board = Scoreboard(lambda: 0.0)
    board.adopt(OfferHealth.objects.all())
    return board


def explain(lane: Lane, board: Scoreboard, *, revision: int, now: float) -> dict[str, Any]:
    """The decision for one request of this lane. `now`: wall seconds.

    The dice are set to the cheapest of the best class; live traffic draws two and takes the cheaper.
    """
    policy = lane.policy
    candidates = view(lane, board, policy_number=revision, now=now)
    kept, refused = sift(candidates, tried=frozenset(), include=(), exclude=(), now=now)
    resort = None if kept else last_resort(candidates, refused)
    ranked = rank(
        kept if resort is None else [resort],
        value_of_second=policy.value_of_second,
        typical_seconds=policy.typical_seconds,
        draws=(0.0, 0.0, 0.0),
        last_resort=resort is not None,
    )
    return {
        "capability": policy.slug,
        "revision": revision,
        "ceiling": str(lane.ceiling)
        if lane.ceiling
        else "none"
        if lane.ceiling_decided
        else "free offers only",
        "chosen": ranked[0].candidate.orchestrator if ranked else None,
        **decision_record(ranked, [*lane.refused, *refused]),
    }
