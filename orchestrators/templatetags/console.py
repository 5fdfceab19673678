"""`{% load console %}`: the display functions for templates, and the icons."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orchestrators.display import amounts, charts, moments, sentences, states

register = template.Library()

register.filter("length_of_time", moments.length)
register.filter("milliseconds", moments.milliseconds)
register.filter("utc", moments.utc)
register.filter("number", amounts.count)
register.filter("money", amounts.money)
register.filter("price", amounts.price)
register.filter("per", amounts.per)
register.filter("percent_of", amounts.percent)
register.filter("tone", states.tone)
register.filter("word", states.word)
register.filter("told", sentences.told)
register.simple_tag(charts.sparkline, name="sparkline")
register.simple_tag(charts.bars, name="bars")
register.simple_tag(charts.beats, name="beats")
register.simple_tag(charts.meter, name="meter")
register.simple_tag(charts.span, name="span")
register.simple_tag(charts.strip, name="strip")


@register.filter
def when(at: datetime | None) -> SafeString | str:
    """Relative to the moment the page is made."""
    return moments.when(at, timezone.now())


@register.filter
def until(at: datetime) -> SafeString:
    return moments.until(at, timezone.now())


@register.filter
def state(word: str, told: str = "") -> SafeString:
    return states.state(str(word), told)


@register.simple_tag
def icon(name: str) -> SafeString:
    """Decoration: a word always stands beside it, or is read out."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>', static("console/icons.svg"), name
    )
