"""Ceilings against the offers' prices, as a picture: what may be paid, what is asked, who is left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from orchestrators.core.price import Price
from routing.dashboard import current_table
from routing.models.rate import eth_rate
from routing.table import Lane, OfferEntry, RoutingTable


@dataclass(frozen=True, slots=True)
class Asked:
    """An offer's price. `allowed`: at or below the ceiling for everybody."""

    orchestrator: str
    offer_id: int
    price: Price
    allowed: bool


@dataclass(frozen=True, slots=True)
class Priced:
    """A capability. `asked`: its active offers, the cheapest first. `tiers`: ceilings of their own.

    `strange`: offers whose price is per another unit than the ceiling.
    """

    id: int
    slug: str
    ceiling: Price | None
    decided: bool
    tiers: list[tuple[str, Price | None, int]]
    asked: list[Asked]
    strange: int

    @property
    def allowed(self) -> int:
        return sum(each.allowed for each in self.asked)

    @property
    def points(self) -> list[tuple[Fraction, str]]:
        """For the picture, the ones left out above the others."""
        return [(each.price.per_unit, "good" if each.allowed else "bad") for each in self.asked]

    @property
    def lines(self) -> list[tuple[Fraction, str]]:
        own = [(self.ceiling.per_unit, "ceiling")] if self.ceiling else []
        return [*own, *((price.per_unit, "tier") for _tier, price, _allowed in self.tiers if price)]

    @property
    def told(self) -> str:
        words = {"slug": self.slug, "allowed": self.allowed, "all": len(self.asked), "ceiling": self.ceiling}
        if self.ceiling is None:
            return _("%(slug)s: %(allowed)s of %(all)s offers may be asked") % words
        return _("%(slug)s: %(allowed)s of %(all)s offers are within %(ceiling)s") % words


def prices(site: AdminSite, request: HttpRequest) -> HttpResponse:
    context = site.each_context(request) | {
        "title": _("Prices"),
        "rows": list(priced(current_table())),
        "rate": eth_rate(),
    }
    return TemplateResponse(request, "admin/prices.html", context)


def priced(table: RoutingTable) -> Iterator[Priced]:
    for slug, policy in table.policies.items():
        lane = table.lanes[slug, None]
        offers = table.offers_of(slug)
        unit = lane.ceiling.unit if lane.ceiling else offers[0].price.unit if offers else None
        alike = [offer for offer in offers if offer.price.unit is unit]
        yield Priced(
            id=policy.id,
            slug=slug,
            ceiling=lane.ceiling,
            decided=lane.ceiling_decided,
            tiers=[
                (tier, each.ceiling, len(each.offers))
                for (name, tier), each in table.lanes.items()
                if name == slug and tier is not None
            ],
            asked=_asked(lane, alike),
            strange=len(offers) - len(alike),
        )


def _asked(lane: Lane, offers: list[OfferEntry]) -> list[Asked]:
    allowed = {offer.id for offer in lane.offers}
    rows = [Asked(offer.orchestrator, offer.id, offer.price, offer.id in allowed) for offer in offers]
    return sorted(rows, key=lambda row: (row.price.per_unit, row.orchestrator))
