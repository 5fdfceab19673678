"""Offers -> entries, or refusals with the reason: whatever is decided before any request comes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
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

_OFFER = (
    *("id", "orchestrator_id", "capability_id", "mode", "wire_name", "path", "max_in_flight", "share"),
    *("own_price", "quote", "advert__claimed", "advert__largest_capacity", "advert__falling"),
    *("advert__precision", "ignored_until"),
)


class Offers:
    """One capability's, sorted by what is already decided about them."""

    __slots__ = ("entries", "refused", "until", "wire_names")

    def __init__(self) -> None:
        self.entries: list[OfferEntry] = []
        self.refused: list[Refused] = []
        self.wire_names: set[str] = set()
        self.until = inf  # wall seconds: the first of those that are ignored comes back


def read_homes() -> list[Any]:
    named = ("id", "name", "service_uri", "protocol", "mode", "tls", "certificate__trusted")
    return list(Orchestrator.objects.order_by("id").values_list(*named, named=True))


def read() -> list[Any]:
    rows = Offer.objects.order_by("id").annotate(own_price=stored("price"), quote=stored("advert__price"))
    return list(rows.values_list(*_OFFER, named=True))


def sort(
    plans: list[Plan],
    homes: Iterable[Any],
    rows: Iterable[Any],
    workers: int,
    reputations: Mapping[int, float],
    now: float,
) -> defaultdict[int, Offers]:
    """By capability. `now`: wall seconds."""
    found: defaultdict[int, Offers] = defaultdict(Offers)
    usual, owners = {plan.policy.id: plan for plan in plans}, {home.id: home for home in homes}
    # a row without home or plan came between two of our queries
    whole = [row for row in rows if row.orchestrator_id in owners and row.capability_id in usual]
    burdened = {
        row.orchestrator_id for row in whole if row.mode == Mode.ACTIVE and _is_poor(usual[row.capability_id])
    }
    for row in whole:
        plan, home = usual[row.capability_id], owners[row.orchestrator_id]
        neighbourhood = {
            "poor_fit": home.id in burdened and not _is_poor(plan),
            "reputation": reputations.get(home.id, 100.0),
        }
        _place(found[row.capability_id], row, home, plan, workers, neighbourhood, now)
    return found


def _is_poor(plan: Plan) -> bool:
    policy = plan.policy
    return fit_of(stateful=policy.stateful, seconds=policy.typical_seconds) is Fit.POOR


def _place(
    offers: Offers,
    row: Any,
    home: Any,
    plan: Plan,
    workers: int,
    neighbourhood: dict[str, Any],
    now: float,
) -> None:
    wire_name, claimed = row.wire_name or plan.policy.slug, row.advert__claimed
    if Mode.RETIRED not in (row.mode, home.mode):
        offers.wire_names.add(wire_name)
    direct = home.protocol == ProtocolChoice.DIRECT
    text = row.own_price if direct else row.quote
    price = price_of(text) if text else None
    inactive = _inactive(home.mode, row.mode) or unpayable(home.protocol, price)
    ignored = row.ignored_until
    if inactive is None and ignored is not None and (until := ignored.timestamp()) > now:
        offers.until = min(offers.until, until)
        inactive = Why.MODE_OFFER, f"the offer is ignored until {_minute(ignored)}"
    if inactive is not None or price is None:
        verdict = inactive or (Why.BAD_QUOTE, _no_price(text, direct=direct, probed=claimed is not None))
        offers.refused.append(Refused(row.id, home.name, *verdict))
        return
    largest = 0 if direct else row.advert__largest_capacity or 0
    trusted = home.certificate__trusted or ""
    offers.entries.append(
        OfferEntry(
            id=row.id,
            orchestrator=home.name,
            orchestrator_id=home.id,
            target=Target(home.service_uri, home.protocol, wire_name, row.path, home.tls, trusted),
            price=price,
            claimed=direct if claimed is None else claimed,
            seats=_seats(row.max_in_flight, plan.max_in_flight, largest, workers),
            share=row.share,
            falling=bool(row.advert__falling),
            precision=row.advert__precision or "",
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
