"""PriceCeiling: the most a capability may cost. Hard: an offer above it is never called (R13)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from django.db import models

from orchestrators.core.price import Price
from orchestrators.models import Capability
from orchestrators.models.fields import PriceField
from routing.models.client import Tier


class PriceCeiling(models.Model):
    """Per capability, for one tier or for all; the least that applies counts.

    No row at all: only free offers are called. A row without a price: decided that there is no ceiling.
    """

    capability = models.ForeignKey(Capability, on_delete=models.CASCADE, related_name="ceilings")
    tier = models.ForeignKey(
        Tier, null=True, blank=True, on_delete=models.CASCADE, related_name="ceilings", help_text="Empty: all."
    )
    price = PriceField(
        null=True,
        blank=True,
        help_text="Such as 1000 wei/second or 0.3 gwei/second. 0 wei/second: only free. Empty: no ceiling.",
    )

    class Meta:
        ordering = ["capability", "tier"]
        constraints = [
            models.UniqueConstraint(
                fields=["capability", "tier"],
                name="one_ceiling_per_tier",
                violation_error_message="This capability already has a ceiling for this tier.",
            ),
            # NULL is never equal to NULL in a unique index, so "all tiers" needs its own
            models.UniqueConstraint(
                fields=["capability"],
                condition=models.Q(tier=None),
                name="one_ceiling_for_all_tiers",
                violation_error_message="This capability already has a ceiling for all tiers.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.capability} at most {self.price or 'any price'}"


def about_ceilings(capability: Capability) -> Iterator[str]:
    chain = [capability, *capability.parts.all()]
    rows = PriceCeiling.objects.filter(capability__in=chain, tier=None)
    prices = {row.capability_id: row.price for row in rows}
    return about_chain(capability.slug, {each.slug: prices.get(each.pk) for each in chain})


def about_chain(slug: str, ceilings: Mapping[str, Price | None]) -> Iterator[str]:
    """R44: a chain does the work of all its parts. `ceilings`: of them and of itself, for all tiers."""
    own, parts = ceilings[slug], {name: price for name, price in ceilings.items() if name != slug}
    prices = [price for price in parts.values() if price is not None]
    combined = _together(prices) if len(prices) == len(parts) else None
    if own is not None and _is_less(own, combined):
        yield (
            f"{slug} chains {', '.join(parts)}, whose ceilings add up to {combined}; its own of {own} is lower."
        )


def suggested(capability: Capability) -> Price:
    """The ceiling to think of where none is decided: its profile's, or that of its parts together (R44).

    The higher of the two. Of a part counts what is decided for all tiers, else what its own profile suggests.
    """
    own: Price = capability.profile.suggested_ceiling
    combined = _together(
        [_for_all_tiers(part) or part.profile.suggested_ceiling for part in capability.parts.all()]
    )
    return combined if combined is not None and _is_less(own, combined) else own


def _for_all_tiers(capability: Capability) -> Price | None:
    ceilings: Iterable[PriceCeiling] = capability.ceilings.all()
    return next((each.price for each in ceilings if each.tier_id is None), None)


def _together(prices: Sequence[Price]) -> Price | None:
    """None of prices that cannot be added: of different units, or of none."""
    if len({price.unit for price in prices}) != 1:
        return None
    total = sum((price.per_unit for price in prices), Fraction())
    return Price(total.numerator, total.denominator, prices[0].unit)


def _is_less(price: Price, other: Price | None) -> bool:
    return other is not None and price.unit is other.unit and price < other
