"""Numbers, shares and money. Exact as long as they are computed with; rounded only here, for the eye."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from orchestrators.core.price import Price, Unit
from orchestrators.display.moments import NONE

_DIGITS = Context(prec=4, rounding=ROUND_HALF_EVEN)
# The first that the amount reaches; below a million wei the number itself is short enough.
_DENOMINATIONS: tuple[tuple[int, int, str], ...] = (
    (10**15, 10**18, "ETH"),
    (10**6, 10**9, "gwei"),
    (0, 1, "wei"),
)


def count(number: int | None) -> str:
    return NONE if number is None else number_format(number, force_grouping=True)


def percent(part: float, whole: float) -> str:
    """One decimal; a dash where there is nothing to be a share of. Never 100 % while one is missing."""
    if not whole:
        return NONE
    tenths = Decimal(round(1000 * part / whole)) / 10
    if tenths == 100 and part < whole:
        tenths = Decimal("99.9")
    if tenths == 0 and part > 0:
        tenths = Decimal("0.1")
    return f"{number_format(tenths, 0 if tenths in (0, 100) else 1)} %"


def amount(wei: int | Fraction) -> str:
    """Four significant digits, in the unit that keeps them short: 1,000 wei, 0.3 gwei, 0.041 ETH."""
    exact = Fraction(wei)
    size, name = next((size, name) for least, size, name in _DENOMINATIONS if abs(exact) >= least)
    value = exact / size
    rounded = _DIGITS.divide(Decimal(value.numerator), Decimal(value.denominator))
    text = f"{rounded.normalize():f}"
    places = len(text.partition(".")[2])
    return f"{number_format(Decimal(text), places, force_grouping=True)} {name}"


def dollars(text: str) -> str:
    """An amount such as $3600.50, in the reader's figures."""
    number = text.removeprefix("$")
    return f"${number_format(Decimal(number), len(number.partition('.')[2]))}"


def money(wei: int | None) -> SafeString | str:
    """An amount, with every wei of it in the title."""
    if wei is None:
        return NONE
    return format_html('<span class="money" title="{} wei">{}</span>', f"{wei:,}", amount(wei))


def price(value: Price | None) -> SafeString | str:
    """What a unit of work costs, with the exact price in the title."""
    if value is None:
        return NONE
    return format_html('<span class="money" title="{}">{}</span>', value, price_in_words(value))


def price_in_words(value: Price) -> str:
    """For sentences."""
    unit = {Unit.SECOND: _("s"), Unit.PIXEL: _("pixel"), Unit.REQUEST: _("request")}[value.unit]
    return f"{amount(value.per_unit)}/{unit}"


def per(unit: Unit) -> str:
    return {Unit.SECOND: _("per second"), Unit.PIXEL: _("per pixel"), Unit.REQUEST: _("per request")}[unit]
