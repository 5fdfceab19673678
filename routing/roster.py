"""The fleet as others may use it: orchestrators that are well and within the ceilings, in formats of the field.

A stock gateway that takes its `-orchWebhookUrl` from here is spared the ones that are down, dear or not
approved. An offer is on the roster while traffic would be sent to it for its own sake: not on probation,
not as a last resort, and not to find out how it fares.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from orchestrators.core.health import State
from orchestrators.core.price import Unit
from orchestrators.models.orchestrator import ProtocolChoice
from orchestrators.scoreboard import Scoreboard
from routing.core.selection import Rank
from routing.explain import chosen, stored_board
from routing.table import Lane, OfferEntry, RoutingTable

BYOC = 37  # go-livepeer core.Capability_BYOC
# go-livepeer keeps scores between untrusted (0) and trusted (1) out of both of its transcoding pools; who is
# on the roster was approved by an operator.
TRUSTED = 1.0
_WELL = frozenset({State.HEALTHY, State.DEGRADED})


@dataclass(slots=True)
class Member:
    """`serves`: by wire name."""

    service_uri: str
    serves: dict[str, OfferEntry] = field(default_factory=dict)


def roster(table: RoutingTable, slugs: Collection[str], *, now: float, tier: str | None = None) -> list[Member]:
    """Best first within a capability; containers served directly are no orchestrators. `now`: wall seconds.

    Raises django.db.Error.
    """
    board = stored_board()
    found: dict[str, Member] = {}
    for slug in slugs:
        lane = table.lane(slug, tier)
        for offer in _well(lane, board, table.revision, now) if lane else ():
            uri = offer.target.service_uri
            found.setdefault(uri, Member(uri)).serves[offer.target.wire_name] = offer
    return list(found.values())


def _well(lane: Lane, board: Scoreboard, revision: int, now: float) -> Iterator[OfferEntry]:
    ranked, _ = chosen(lane, board, revision=revision, now=now)
    offers = {offer.id: offer for offer in lane.offers if offer.target.protocol != ProtocolChoice.DIRECT}
    for each in ranked:
        if each.rank <= Rank.SECOND and each.state in _WELL and each.offer_id in offers:
            yield offers[each.offer_id]


def as_addresses(members: list[Member]) -> list[dict[str, Any]]:
    """`-orchWebhookUrl`: the score is a number there, and other keys are ignored."""
    return [_listed(each) for each in members]


def _listed(member: Member) -> dict[str, Any]:
    """Runners as an orchestrator's own list has them; their prices are its to say."""
    runners = [
        {"url": f"{member.service_uri}/{offer.target.path.strip('/')}", "app": name, "mode": "single-shot"}
        for name, offer in sorted(member.serves.items())
        if offer.target.protocol == ProtocolChoice.LIVE_RUNNER
    ]
    listed = {"address": member.service_uri, "score": TRUSTED, "capabilities": sorted(member.serves)}
    return listed | ({"runners": runners} if runners else {})


def as_network(members: list[Member]) -> dict[str, Any]:
    """`getNetworkCapabilities`: BYOC prices by the second, and nothing that this gateway does not know."""
    return {
        "capabilities_names": {str(BYOC): "byoc"},
        "orchestrators": [
            {
                "address": "",
                "local_address": "",
                "orch_uri": each.service_uri,
                "capabilities_prices": [
                    {
                        "pricePerUnit": offer.price.wei,
                        "pixelsPerUnit": offer.price.units,
                        "capability": BYOC,
                        "constraint": name,
                    }
                    for name, offer in sorted(each.serves.items())
                    if offer.target.protocol == ProtocolChoice.BYOC and offer.price.unit is Unit.SECOND
                ],
            }
            for each in members
        ],
    }
