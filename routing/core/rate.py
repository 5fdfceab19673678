"""What a price is in dollars, for people: exact ratios until the last step, and never without the rate's age.

Nothing is decided by it: prices and ceilings are wei.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from orchestrators.core.price import Price

_WEI_PER_ETH = 10**18
_DIGITS = 3  # significant ones of less than a dollar
_STALE = 48 * 3600.0
_AGES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


@dataclass(frozen=True, slots=True)
class EthRate:
    """`usd`: dollars for one ETH. `as_of`: wall seconds."""

    usd: Fraction
    as_of: float


def with_dollars(price: Price, rate: EthRate | None, now: float) -> str:
    """Unit, wei and dollars: "1000 wei/second ($0.00000000000360/second; 1 ETH = $3600, 2 h ago)"."""
    return f"{price} ({about_dollars(price, rate, now)})"


def about_dollars(price: Price, rate: EthRate | None, now: float) -> str:
    """What stands in the brackets."""
    if rate is None:
        return "in USD: unknown until a rate is set"
    amount = dollars(worth(price.per_unit, rate))
    return f"{amount}/{price.unit}; 1 ETH = {dollars(rate.usd)}, {age(rate, now)}"


def worth(wei: int | Fraction, rate: EthRate) -> Fraction:
    """Dollars, exactly."""
    return Fraction(wei) * rate.usd / _WEI_PER_ETH


def dollars(amount: Fraction) -> str:
    """To the cent; below a dollar three significant digits, never rounded to nothing."""
    places = 2
    while 0 < amount < 1 and amount * 10**places < 10 ** (_DIGITS - 1):
        places += 1
    text = f"{round(amount * 10**places)}".rjust(places + 1, "0")
    return f"${text[:-places]}.{text[-places:]}".removesuffix(".00")


def age(rate: EthRate, now: float) -> str:
    """How old the rate is, in words; old ones say that they are."""
    seconds = max(now - rate.as_of, 0.0)
    length, unit = next((each for each in _AGES if seconds >= each[0]), (1.0, "s"))
    told = f"{seconds / length:.0f} {unit} ago"
    return f"{told}: out of date" if seconds > _STALE else told
