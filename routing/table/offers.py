"""Offers -> entries, or refusals with the reason: whatever is decided before any request comes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from math import inf
from typing import Any

from orchestrators.core.fit import Fit, fit_of
from orchestrators.core.price import Price
from orchestrators.models import Mode, Offer, Orchestrator
from orchestrators.models.orchestrator import ProtocolChoice
from orchestrators.upstream.base import Target
from routing.core.selection import Refused, Why
from routing.table.facts import OfferEntry
from routing.table.policies import Plan
from routing.table.prices import price_of, stored

NONE: Mapping[int, float] = {}


class Offers:
    """One capability's, sorted by what is already decided about them."""

    __slots__ = ("entries", "refused", "until", "wire_names")

    def __init__(self) -> None:
        self.entries: list[OfferEntry] = []
        self.refused: list[Refused] = []
        self.wire_names: set[str] = set()
        self.until = inf  # wall seconds: the first of those that are ignored comes back


def read_offers(
    plans: list[Plan],
    workers: int,
    reputations: Mapping[int, float],
    now: float,
    approved: Mapping[int, float] = NONE,
) -> defaultdict[int, Offers]:
    """By capability. `reputations`: 0 to 100 by orchestrator; who is missing has 100. `now`: wall seconds.
    `approved`: offers that are read as if people had let them in, and their shares.
    """
    found: defaultdict[int, Offers] = defaultdict(Offers)
    homes = {
        row[0]: row
        for row in Orchestrator.objects.order_by("id").values_list(
            "id", "name", "service_uri", "protocol", "mode", "tls", "certificate__trusted"
        )
    }
    usual = {plan.policy.id: plan for plan in plans}
    rows = (
        Offer.objects.order_by("id")
        .annotate(own_price=stored("price"), quote=stored("advert__price"))
        .values_list(
            *("id", "orchestrator_id", "capability_id", "mode", "wire_name", "path", "max_in_flight", "share"),
            *(
                "own_price",
                "quote",
                "advert__claimed",
                "advert__largest_capacity",
                "advert__falling",
                "advert__precision",
                "ignored_until",
            ),
        )
    )
    # a row without home or plan came between two of our queries
    whole = [_let_in(row, approved) for row in rows if row[1] in homes and row[2] in usual]
    burdened = {row[1] for row in whole if row[3] == Mode.ACTIVE and _is_poor(usual[row[2]])}
    for row in whole:
        plan = usual[row[2]]
        neighbourhood = {
            "poor_fit": row[1] in burdened and not _is_poor(plan),
            "reputation": reputations.get(row[1], 100.0),
        }
        home = homes[row[1]]
        if row[0] in approved:
            home = (*home[:4], Mode.ACTIVE, *home[5:])
        _place(found[row[2]], row, home, plan, workers, neighbourhood, now)
    return found


def _let_in(row: tuple[Any, ...], approved: Mapping[int, float]) -> tuple[Any, ...]:
    """The row, with the mode and the share that an approval would give it."""
    if row[0] not in approved:
        return row
    return (*row[:3], Mode.ACTIVE, *row[4:7], approved[row[0]], *row[8:14], None)


def _is_poor(plan: Plan) -> bool:
    policy = plan.policy
    return fit_of(stateful=policy.stateful, seconds=policy.typical_seconds) is Fit.POOR


def _place(
    offers: Offers,
    row: tuple[Any, ...],
    home: tuple[Any, ...],
    plan: Plan,
    workers: int,
    neighbourhood: dict[str, Any],
    now: float,
) -> None:
    (
        offer_id,
        _,
        _,
        mode,
        wire_name,
        path,
        own_seats,
        share,
        own_price,
        quote,
        claimed,
        largest,
        falling,
        precision,
        ignored_until,
    ) = row
    orchestrator_id, name, uri, protocol, home_mode, tls, trusted = home
    wire_name = wire_name or plan.policy.slug
    if Mode.RETIRED not in (mode, home_mode):
        offers.wire_names.add(wire_name)
    direct = protocol == ProtocolChoice.DIRECT
    text = own_price if direct else quote
    price = price_of(text) if text else None
    inactive = _inactive(home_mode, mode) or unpayable(protocol, price)
    if inactive is None and ignored_until is not None and (until := ignored_until.timestamp()) > now:
        offers.until = min(offers.until, until)
        inactive = Why.MODE_OFFER, f"the offer is ignored until {_minute(ignored_until)}"
    if inactive is not None or price is None:
        verdict = inactive or (Why.BAD_QUOTE, _no_price(text, direct=direct, probed=claimed is not None))
        offers.refused.append(Refused(offer_id, name, *verdict))
        return
    offers.entries.append(
        OfferEntry(
            id=offer_id,
            orchestrator=name,
            orchestrator_id=orchestrator_id,
            target=Target(uri, protocol, wire_name, path, tls, trusted or ""),
            price=price,
            claimed=direct if claimed is None else claimed,
            seats=_seats(own_seats, plan.max_in_flight, 0 if direct else largest or 0, workers),
            share=share,
            falling=bool(falling),
            precision=precision or "",
            **neighbourhood,
        )
    )


def _inactive(home_mode: str, mode: str) -> tuple[Why, str] | None:
    """The stricter of both counts: either keeps traffic away."""
    if home_mode != Mode.ACTIVE:
        return Why.MODE_ORCHESTRATOR, f"its orchestrator is {home_mode}"
    if mode != Mode.ACTIVE:
        return Why.MODE_OFFER, f"the offer is {mode}"
    return None


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def unpayable(protocol: str, price: Price | None) -> tuple[Why, str] | None:
    """A priced runner answers 402 until it is paid by ticket, which nobody here can do yet."""
    if protocol != ProtocolChoice.LIVE_RUNNER or price is None or price.wei == 0:
        return None
    return Why.PAYMENT, f"asks {price} to be paid by ticket; this gateway calls unpaid runners only"


def _no_price(text: str | None, *, direct: bool, probed: bool) -> str:
    if text:
        return f'its price "{text[:80]}" cannot be read'
    if direct:
        return "no price is set on the offer"
    return "its orchestrator quotes no usable price" if probed else "not probed yet"


def _seats(own: int | None, usual: int, largest: int, workers: int) -> int:
    """An offer's own number is obeyed, since claimed slots leak; the usual one only within the claim."""
    seats = own or (min(usual, largest) if largest else usual)
    return part(seats, workers)


def part(limit: int, workers: int) -> int:
    """This worker's share of a limit."""
    return max(1, limit // workers)
