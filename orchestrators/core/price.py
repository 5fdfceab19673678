"""What an orchestrator asks, and what a ceiling allows: wei for so many units of work, exactly.

A price is a ratio of two integers and stays one. Prices are compared by cross-multiplying, as the
network itself does, so that one wei above a ceiling is above it at every magnitude. Seconds, pixels
and requests have no rate of exchange: comparing prices of different units is an error, never a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import total_ordering
from math import gcd

from orchestrators.core.amount import WEI_IN


class Unit(StrEnum):
    __hash__ = str.__hash__  # see OutcomeClass

    SECOND = "second"
    PIXEL = "pixel"
    REQUEST = "request"


class PriceError(ValueError):
    """Not a price. The text is a sentence for the person who wrote it."""


class UnitMismatch(PriceError):
    """Two prices that have no common unit."""


# Far above all ether there is, and small enough that no text makes us calculate for long.
_LIMIT = 10**36
# More decimals than this are harder to read than a fraction.
_MOST_PLACES = 18
_TEXT = re.compile(
    r"\s*(?P<amount>[0-9]{1,36}(?:\.[0-9]{1,36}|/[0-9]{1,36})?)"
    r"\s*(?P<denomination>wei|gwei|eth)\s*/\s*(?P<unit>second|pixel|request)\s*",
    re.IGNORECASE | re.ASCII,
)


@total_ordering
@dataclass(frozen=True, slots=True)
class Price:
    """`wei` for every `units` of `unit`, in lowest terms: `Price(10, 4, PIXEL) == Price(5, 2, PIXEL)`.

    Raises PriceError for a negative amount, less than one unit, or numbers of 10**36 and more.
    """

    wei: int
    units: int
    unit: Unit

    def __post_init__(self) -> None:
        if not 0 <= self.wei < _LIMIT or not 1 <= self.units < _LIMIT:
            raise PriceError("A price is at least 0 wei for at least 1 unit, and both are below 10**36.")
        common = gcd(self.wei, self.units)
        object.__setattr__(self, "wei", self.wei // common)
        object.__setattr__(self, "units", self.units // common)

    @classmethod
    def parse(cls, text: str) -> Price:
        """Read "1000 wei/second", "0.3 gwei/second", "1/3 wei/pixel"; raises PriceError."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise PriceError(
                f'"{text[:80]}" is not a price; write an amount, wei, gwei or eth, and second, pixel'
                ' or request, such as "0.3 gwei/second".'
            )
        try:
            amount = Fraction(match["amount"]) * WEI_IN[match["denomination"].lower()]
        except ZeroDivisionError:
            raise PriceError(f'"{text[:80]}" is not a price: it divides by zero.') from None
        return cls(amount.numerator, amount.denominator, Unit(match["unit"].lower()))

    @property
    def per_unit(self) -> Fraction:
        """Wei for one unit."""
        return Fraction(self.wei, self.units)

    def __lt__(self, other: Price) -> bool:
        if self.unit is not other.unit:
            raise UnitMismatch(f"A price per {self.unit} cannot be compared with one per {other.unit}.")
        return self.wei * other.units < other.wei * self.units

    def __str__(self) -> str:
        return f"{_exact(self.per_unit)} wei/{self.unit}"


def _exact(amount: Fraction) -> str:
    """A decimal where one is exact and short, a fraction where not."""
    for places in range(_MOST_PLACES + 1):
        scaled = amount * 10**places
        if scaled.denominator == 1:
            digits = str(scaled.numerator).rjust(places + 1, "0")
            return f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return str(amount)
