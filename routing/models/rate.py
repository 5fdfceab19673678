"""Rate: what one ETH is worth, as people last said. Shown beside prices; nothing is decided by it (R74)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar, cast

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import QuerySet, Subquery

from routing.core.rate import EthRate

Row = TypeVar("Row", bound=models.Model)


class Currency(models.TextChoices):
    USD = "usd", "USD"


class Rate(models.Model):
    """One row per currency."""

    currency = models.CharField(
        max_length=3,
        choices=Currency.choices,
        default=Currency.USD,
        unique=True,
        help_text="What one ETH is worth is told in it.",
    )
    # 15 digits: as many as every database keeps exactly
    per_eth = models.DecimalField(
        "for one ETH",
        max_digits=15,
        decimal_places=6,
        validators=[MinValueValidator(Decimal("0.000001"))],
        help_text="How much of the currency one ETH costs, such as 3600.50.",
    )
    as_of = models.DateTimeField(help_text="When that was so. It is shown with every amount.")

    class Meta:
        ordering = ["currency"]

    def __str__(self) -> str:
        return f"1 ETH = {self.per_eth.normalize():f} {self.currency.upper()}"


def eth_rate() -> EthRate | None:
    """Dollars for one ETH; None until somebody has said."""
    row = Rate.objects.filter(currency=Currency.USD).first()
    return None if row is None else _rate(row.per_eth, row.as_of)


def with_rate(rows: QuerySet[Row, Row]) -> QuerySet[Row, Row]:
    """Lists ask once: each row brings the rate along, for `rate_beside`."""
    usd = Rate.objects.filter(currency=Currency.USD)
    beside = {"usd": Subquery(usd.values("per_eth")), "usd_as_of": Subquery(usd.values("as_of"))}
    return cast("QuerySet[Row, Row]", rows.annotate(**beside))


def rate_beside(row: Any) -> EthRate | None:
    """Of a row of `with_rate`."""
    return _rate(row.usd, row.usd_as_of)


def _rate(usd: Decimal | None, as_of: datetime | None) -> EthRate | None:
    return None if usd is None or as_of is None else EthRate(Fraction(usd), as_of.timestamp())
