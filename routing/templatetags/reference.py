"""`{% load reference %}`: for the page of the client API."""

from __future__ import annotations

from itertools import zip_longest

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def with_code(text: str | None) -> SafeString:
    """Text with what stands between backticks as code; everything escaped."""
    text = text or ""
    words, codes = text.split("`")[::2], text.split("`")[1::2]
    pairs = zip_longest(words, (format_html("<code>{}</code>", code) for code in codes), fillvalue="")
    return format_html_join("", "{}{}", pairs)
