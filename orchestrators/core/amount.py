"""Amounts of money: whole wei, written as people write them.

An amount is an int of wei everywhere; the text is for forms, files and screens alone.
"""

from __future__ import annotations

import re
from fractions import Fraction

WEI_IN = {"wei": 1, "gwei": 10**9, "eth": 10**18}
# Far above all ether there is, and what the widest column of wei holds.
LIMIT = 10**36

_TEXT = re.compile(
    r"\s*(?P<amount>[0-9]{1,36}(?:\.[0-9]{1,36})?)\s*(?P<denomination>wei|gwei|eth)\s*",
    re.IGNORECASE | re.ASCII,
)


class AmountError(ValueError):
    """Not an amount. The text is a sentence for the person who wrote it."""


def parse(text: str) -> int:
    """Wei. `0.02 eth`, `300 gwei` and `1000 wei` are amounts. AmountError for anything else."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise AmountError(f"{text[:40]!r} is no amount; write it as 0.02 eth, 300 gwei or 1000 wei.")
    wei = Fraction(match["amount"]) * WEI_IN[match["denomination"].lower()]
    if wei.denominator != 1:
        raise AmountError(f"{text[:40]!r} is not a whole number of wei.")
    if wei >= LIMIT:
        raise AmountError(f"{text[:40]!r} is more ether than there is.")
    return wei.numerator


def shown(wei: int) -> str:
    """The shortest exact text that `parse` reads back: 20000000000000000 is `0.02 eth`."""
    return min((_in(wei, name) for name in WEI_IN), key=len)


def _in(wei: int, name: str) -> str:
    size = WEI_IN[name]
    whole, rest = divmod(wei, size)
    decimals = str(rest).zfill(len(str(size)) - 1).rstrip("0") if rest else ""
    return f"{whole}{'.' if decimals else ''}{decimals} {name}"
