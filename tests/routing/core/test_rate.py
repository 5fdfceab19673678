"""Prices in dollars, for people: exact until the last step, and with the rate's age."""

from __future__ import annotations

from fractions import Fraction

import pytest

from orchestrators.core.price import Price
from routing.core.rate import EthRate, age, dollars, with_dollars

NOW = 1_000_000.0
RATE = EthRate(Fraction("3600.50"), NOW - 2 * 3600)


def test_a_price_is_shown_with_unit_wei_and_dollars() -> None:
    """R74"""
    shown = with_dollars(Price.parse("300 gwei/second"), RATE, NOW)
    assert shown == "300000000000 wei/second ($0.00108/second; 1 ETH = $3600.50, 2 h ago)"


def test_without_a_rate_it_says_so() -> None:
    assert (
        with_dollars(Price.parse("1 wei/pixel"), None, NOW)
        == "1 wei/pixel (in USD: unknown until a rate is set)"
    )


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (Fraction(0), "$0"),
        (Fraction(3600), "$3600"),
        (Fraction("3600.504"), "$3600.50"),
        (Fraction(1, 3), "$0.333"),
        (Fraction(1, 10**20), "$0.0000000000000000000100"),
    ],
)
def test_small_amounts_are_never_rounded_to_nothing(amount: Fraction, shown: str) -> None:
    assert dollars(amount) == shown


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-5, "0 s ago"),
        (59, "59 s ago"),
        (150, "2 min ago"),
        (7200, "2 h ago"),
        (86400, "1 d ago"),
        (5 * 86400, "5 d ago: out of date"),
    ],
)
def test_its_age_is_told(seconds: float, told: str) -> None:
    assert age(EthRate(Fraction(1), NOW - seconds), NOW) == told
