"""Who would serve a capability now, and why not the others: the functions of live traffic, without a call."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings

from orchestrators.models import OfferHealth
from orchestrators.scoreboard import Scoreboard
from routing import table as tables
from routing.candidates import evidence, view
from routing.core.rate import with_dollars
from routing.core.selection import Candidate, Refused, choose
from routing.decisions import pack, unpack
from routing.models import Tier
from routing.models.rate import eth_rate
from routing.table import Lane

CHEAPEST = (0.0, 0.0, 0.0)  # draws that take the cheapest of the best class


class NotConfigured(LookupError):
    """There is no such capability, or no such tier. The text is a sentence for a person."""


def explain_now(slug: str, tier: str | None = None, board: Scoreboard | None = None) -> dict[str, Any]:
    """The decision for a request that came now, from a client of this tier (None: of none).

    Built from the database, as a gateway starting now would; `board`: what one that runs has seen, and nobody
    changes any more. Raises NotConfigured, django.db.Error.
    """
    table = tables.build(settings.WEB_CONCURRENCY)
    lane = table.lane(slug, tier)
    if lane is None:
        known = ", ".join(sorted(table.policies)) or "none"
        raise NotConfigured(f"There is no capability {slug!r}. Known: {known}.")
    if tier is not None and not Tier.objects.filter(slug=tier).exists():
        raise NotConfigured(f"There is no tier {tier!r}.")
    now = time.time()
    found = explain(lane, board or stored_board(), revision=table.revision, now=now)
    shown = with_dollars(lane.ceiling, eth_rate(), now) if lane.ceiling else found["ceiling"]
    return found | {"ceiling_shown": shown}


def stored_board() -> Scoreboard:
    """What the database knows of the offers' health; a gateway's own averages are finer."""
    board = Scoreboard(lambda: 0.0)
    board.adopt(OfferHealth.objects.all())
    return board


def chosen(
    lane: Lane, board: Scoreboard, *, revision: int, now: float
) -> tuple[list[Candidate], list[Refused]]:
    """Whom one request of this lane would ask, best first, and why not the others. `now`: wall seconds."""
    ranked, refused = choose(
        view(lane, board, policy_number=revision, now=now),
        now=now,
        stateful=lane.policy.stateful,
        draws=CHEAPEST,
    )
    return ranked, [*lane.refused, *refused]


def explain(lane: Lane, board: Scoreboard, *, revision: int, now: float) -> dict[str, Any]:
    """The decision for one request of this lane. `now`: wall seconds.

    The dice are set to the cheapest of the best class; live traffic draws two and takes the cheaper.
    """
    policy = lane.policy
    ranked, refused = chosen(lane, board, revision=revision, now=now)
    told = unpack(pack(ranked, refused, CHEAPEST))
    offers = {offer.id: offer for offer in lane.offers}
    for each, shown in zip(ranked, told["candidates"], strict=True):
        shown["evidence"] = evidence(offers[each.offer_id], policy, board.live(each.offer_id), now)
    return {
        "capability": policy.slug,
        "revision": revision,
        "ceiling": str(lane.ceiling)
        if lane.ceiling
        else "none"
        if lane.ceiling_decided
        else "free offers only",
        "ceiling_excludes": dict(zip(("offers", "of"), lane.ceiling_excluded, strict=True)),
        "chosen": ranked[0].orchestrator if ranked else None,
        **told,
    }
