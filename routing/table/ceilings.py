"""Price ceilings -> lanes: what the clients of each tier may use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from orchestrators.core.price import Price
from routing.core.selection import Refused, Why
from routing.models import PriceCeiling
from routing.table.facts import Lane
from routing.table.offers import Offers
from routing.table.policies import Plan
from routing.table.prices import price_of, stored

Row = tuple[int, str | None, str | None]  # capability, tier (None: all), price as it is stored
# Of one capability, by tier (None: all tiers): a price, or None where it was decided that there is no ceiling.
Ceilings = dict[str | None, Price | None]


def read() -> list[Row]:
    rows = PriceCeiling.objects.annotate(text=stored("price"))
    return list(rows.values_list("capability_id", "tier__slug", "text"))


def row_of(capability_id: int, ceiling: PriceCeiling) -> Row:
    """As `read` would find it, once saved."""
    tier = None if ceiling.tier is None else ceiling.tier.slug
    return capability_id, tier, None if ceiling.price is None else str(ceiling.price)


def ceilings_of(rows: Iterable[Row]) -> defaultdict[int, Ceilings]:
    """By capability."""
    found: defaultdict[int, Ceilings] = defaultdict(dict)
    for capability_id, tier, text in rows:
        # one that cannot be read allows nothing that costs anything
        found[capability_id][tier] = (price_of(text) or price_of("0 wei/second")) if text else None
    return found


def by_tier(ceilings: Ceilings) -> dict[str | None, list[Price | None]]:
    """What applies to the clients of each tier that has a ceiling of its own, and to all others (None)."""
    general = [ceilings[None]] if None in ceilings else []
    return {None: general} | {tier: [*general, price] for tier, price in ceilings.items() if tier is not None}


def payable(capability_id: int) -> tuple[Price | None, ...]:
    """What the clients of each tier, and those of none, may pay (None: any price); none: undecided.

    For the trials of new offers. Of ceilings in different units no offer passes both: the general one stands
    for them.
    """
    applying = by_tier(ceilings_of(read())[capability_id]).values()
    return tuple(_least([price for price in each if price is not None]) for each in applying if each)


def lane(plan: Plan, offers: Offers, applying: list[Price | None]) -> Lane:
    ceilings = [price for price in applying if price is not None]
    refused = [*offers.refused]
    entries = []
    for entry in offers.entries:
        verdict = _too_dear(entry.price, ceilings, plan.suggestion if not applying else None)
        if verdict is None:
            entries.append(entry)
        else:
            refused.append(Refused(entry.id, entry.orchestrator, *verdict))
    return Lane(plan.policy, tuple(entries), tuple(refused), _least(ceilings), bool(applying))


def _too_dear(price: Price, ceilings: list[Price], suggestion: str | None) -> tuple[Why, str] | None:
    """Exact: one wei above is above. `suggestion`: given when nobody has decided on a ceiling."""
    if price.wei == 0:
        return None  # in whatever unit
    if suggestion is not None:
        return Why.PRICE_CEILING, f"{price}, and no ceiling is set: its profile suggests {suggestion}"
    for ceiling in ceilings:
        if price.unit is not ceiling.unit:
            return Why.PRICE_UNIT, f"priced per {price.unit}, the ceiling is per {ceiling.unit}"
        if price > ceiling:
            return Why.PRICE_CEILING, f"{price} is above the ceiling of {ceiling}"
    return None


def _least(ceilings: list[Price]) -> Price | None:
    """Of different units none is the least: no offer passes both, and the general one is shown."""
    if len({ceiling.unit for ceiling in ceilings}) > 1:
        return ceilings[0]
    return min(ceilings, default=None)
