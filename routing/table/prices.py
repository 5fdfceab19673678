"""Prices on their way from a column into a table."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.db.models import CharField, ExpressionWrapper, F

from orchestrators.core.price import Price, PriceError


def stored(column: str) -> ExpressionWrapper[Any]:
    """A price as it is stored: read into a Price here, each text once, and without raising."""
    return ExpressionWrapper(F(column), output_field=CharField())


@lru_cache(maxsize=65536)
def price_of(text: str) -> Price | None:
    try:
        return Price.parse(text)
    except PriceError:
        return None
