"""Amounts of money as people write them: exact in both directions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrators.core.amount import LIMIT, AmountError, parse, shown


@pytest.mark.parametrize(
    ("text", "wei"),
    [
        ("0 wei", 0),
        ("1000 wei", 1000),
        ("0.02 eth", 2 * 10**16),
        ("  300GWEI ", 300 * 10**9),
        ("0.000000000000000001 ETH", 1),
        ("12.5 gwei", 12_500_000_000),
    ],
)
def test_an_amount_is_whole_wei(text: str, wei: int) -> None:
    assert parse(text) == wei


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no amount"),
        ("1000", "no amount"),
        ("-1 wei", "no amount"),
        ("1e3 wei", "no amount"),
        ("1 wei/second", "no amount"),
        ("0.5 wei", "whole number"),
        ("0.0000000001 gwei", "whole number"),
        (f"{10**18} eth", "more ether"),
    ],
)
def test_anything_else_is_refused_with_the_remedy(text: str, says: str) -> None:
    with pytest.raises(AmountError, match=says):
        parse(text)


@pytest.mark.parametrize(
    ("wei", "text"),
    [(0, "0 wei"), (999, "999 wei"), (2 * 10**16, "0.02 eth"), (300 * 10**9, "300 gwei"), (10**18, "1 eth")],
)
def test_it_is_shown_in_the_denomination_that_is_shortest(wei: int, text: str) -> None:
    assert shown(wei) == text


@given(st.integers(0, LIMIT - 1))
def test_what_is_shown_reads_back(wei: int) -> None:
    assert parse(shown(wei)) == wei
