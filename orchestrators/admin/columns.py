"""Columns of lists, and read-only fields: one value of a row, written as the console writes such values.

A path leads through related rows: `moment("health.probed_at")`. A row that is not there leaves the cell empty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import ObjectDoesNotExist
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orchestrators.display import amounts, moments, sentences, states

SHORT = 12
Column = Any  # what the admin calls a column by: a function of the row


def moment(path: str, title: str = "") -> Column:
    return _column(path, lambda value: moments.when(value, timezone.now()), title)


def milliseconds(path: str, title: str = "") -> Column:
    return _column(path, moments.milliseconds, title)


def price(path: str, title: str = "") -> Column:
    return _column(path, amounts.price, title)


def money(path: str, title: str = "") -> Column:
    return _column(path, amounts.money, title)


def number(path: str, title: str = "") -> Column:
    return _column(path, amounts.count, title)


def state(path: str, title: str = "") -> Column:
    return _column(path, lambda word: states.state(str(word)), title)


def sentence(path: str, title: str = "") -> Column:
    return _column(path, sentences.told, title)


def short(path: str, title: str = "") -> Column:
    """The beginning of what is longer than people read, such as a fingerprint; all of it in the title."""
    return _column(path, cut, title)


def cut(text: str) -> SafeString:
    if len(text) <= SHORT:
        return format_html("{}", text)
    return format_html('<span title="{}">{}…</span>', text, text[:SHORT])


def two_lines(first: Any, second: Any) -> SafeString:
    """The second is small, and missing where it is empty."""
    if not second:
        return format_html("{}", first)
    return format_html("<span>{}<small>{}</small></span>", first, second)


def _column(path: str, write: Callable[[Any], Any], title: str) -> Column:
    first, *rest = path.split(".")

    def shown(row: Any) -> Any:
        value = row
        try:
            for name in (first, *rest):
                value = getattr(value, name)
        except ObjectDoesNotExist:
            return ""
        return "" if value is None or value == "" else write(value)

    shown.__name__ = path.replace(".", "_")
    described = title or (rest or [first])[-1].replace("_", " ").removesuffix(" ms")
    # Sorting follows the path; where lists must not be sorted, `sortable_by` says so.
    return admin.display(description=described, ordering=path.replace(".", "__"), empty_value="–")(shown)
