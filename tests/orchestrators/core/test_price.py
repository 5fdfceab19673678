"""Prices: exact, compared by cross-multiplying, read and shown without loss."""

from __future__ import annotations

from fractions import Fraction

import pytest

from orchestrators.core.price import Price, PriceError, Unit, UnitMismatch


@pytest.mark.parametrize(
    ("text", "wei", "units", "unit"),
    [
        ("1000 wei/second", 1000, 1, Unit.SECOND),
        ("0.3 gwei/second", 300_000_000, 1, Unit.SECOND),
        ("1/3 wei/pixel", 1, 3, Unit.PIXEL),
        ("0.000001 eth/request", 10**12, 1, Unit.REQUEST),
        ("0 wei/second", 0, 1, Unit.SECOND),
        ("  2.50GWEI / Pixel ", 2_500_000_000, 1, Unit.PIXEL),
        ("0.1 wei/second", 1, 10, Unit.SECOND),
    ],
)
def test_it_reads_what_people_write(text: str, wei: int, units: int, unit: Unit) -> None:
    price = Price.parse(text)
    assert (price.wei, price.units, price.unit) == (wei, units, unit)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1000",
        "1000 wei",
        "1000 wei/minute",
        "-1 wei/second",
        "1e9 wei/second",
        "1_000 wei/second",
        "1,000 wei/second",
        "٣ wei/second",
        "0.5/2 wei/second",
        "nan wei/second",
        "1/0 wei/second",
        "1" * 37 + " wei/second",
        "9" * 36 + " eth/second",
    ],
)
def test_it_refuses_what_is_no_price(text: str) -> None:
    with pytest.raises(PriceError, match=r"\.$"):
        Price.parse(text)


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (Price(1000, 1, Unit.SECOND), "1000 wei/second"),
        (Price(3, 10, Unit.SECOND), "0.3 wei/second"),
        (Price(1, 3, Unit.PIXEL), "1/3 wei/pixel"),
        (Price(101_2, 2, Unit.REQUEST), "506 wei/request"),
        (Price(5, 4, Unit.PIXEL), "1.25 wei/pixel"),
        (Price(0, 7, Unit.SECOND), "0 wei/second"),
        (Price(1, 10**18, Unit.PIXEL), "0.000000000000000001 wei/pixel"),
        (Price(1, 10**19, Unit.PIXEL), "1/10000000000000000000 wei/pixel"),
        (Price(10**36 - 1, 10**36 - 2, Unit.SECOND), f"{10**36 - 1}/{10**36 - 2} wei/second"),
    ],
)
def test_it_shows_what_it_reads_back(price: Price, text: str) -> None:
    """R74"""
    assert str(price) == text
    assert Price.parse(text) == price


def test_it_stands_in_lowest_terms() -> None:
    assert Price(10, 4, Unit.PIXEL) == Price(5, 2, Unit.PIXEL)
    assert hash(Price(10, 4, Unit.PIXEL)) == hash(Price(5, 2, Unit.PIXEL))
    assert Price(5, 2, Unit.PIXEL).per_unit == Fraction(5, 2)


@pytest.mark.parametrize(("wei", "units"), [(-1, 1), (1, 0), (1, -1), (10**36, 1), (1, 10**36)])
def test_it_is_never_negative_nor_divided_by_nothing(wei: int, units: int) -> None:
    with pytest.raises(PriceError):
        Price(wei, units, Unit.SECOND)


def test_one_wei_above_is_above() -> None:
    """R13: exact at magnitudes where a float sees no difference."""
    ceiling = Price(10**30, 1, Unit.SECOND)
    above = Price(10**30 + 1, 1, Unit.SECOND)
    assert float(ceiling.per_unit) == float(above.per_unit)
    assert above > ceiling and above >= ceiling
    assert ceiling < above and ceiling <= above
    assert ceiling <= Price(2 * 10**30, 2, Unit.SECOND)
    assert not ceiling < Price(2 * 10**30, 2, Unit.SECOND)


def test_a_third_is_more_than_its_decimals() -> None:
    assert Price(1, 3, Unit.PIXEL) > Price.parse("0.333333333333333333 wei/pixel")


def test_it_compares_no_seconds_with_pixels() -> None:
    second, pixel = Price(1, 1, Unit.SECOND), Price(1, 1, Unit.PIXEL)
    assert second != pixel
    for compare in (Price.__lt__, Price.__le__, Price.__gt__, Price.__ge__):
        with pytest.raises(UnitMismatch, match="per second cannot be compared with one per pixel"):
            compare(second, pixel)
