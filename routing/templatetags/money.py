"""`{% load money %}`: wei in dollars, for the eye, never without the rate's age (R74)."""

from __future__ import annotations

import time
from fractions import Fraction

from django import template
from django.utils.translation import gettext as _

from orchestrators.display import amounts
from orchestrators.display.moments import NONE
from orchestrators.display.sentences import told
from routing.core.rate import EthRate, age, dollars, worth

register = template.Library()


@register.simple_tag
def usd(wei: int, rate: EthRate | None) -> str:
    return (
        _("in USD: unknown until a rate is set") if rate is None else amounts.dollars(dollars(worth(wei, rate)))
    )


@register.simple_tag
def rate_of(rate: EthRate | None) -> str:
    return "" if rate is None else told(f"1 ETH = {dollars(rate.usd)}, {age(rate, time.time())}")


@register.simple_tag
def average(wei: int, calls: int) -> str:
    return amounts.amount(Fraction(wei, calls)) if calls else NONE
