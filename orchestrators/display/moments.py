"""Moments and lengths of time."""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

MINUTE, HOUR, DAY = 60, 3600, 86400
NONE = "–"


def utc(at: datetime) -> str:
    """To the second, with its zone: what a log line can be compared with."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def when(at: datetime | None, now: datetime) -> SafeString | str:
    """A moment as its distance from `now`, with the exact one in `datetime` and `title`."""
    if at is None:
        return NONE
    seconds = (now - at).total_seconds()
    text = (
        _("just now")
        if abs(seconds) < 1
        else _("%(length)s ago") % {"length": rough(seconds)}
        if seconds > 0
        else _("in %(length)s") % {"length": rough(-seconds)}
    )
    return _marked(at, text)


def until(at: datetime, now: datetime) -> SafeString:
    """The end of a state, as what is left of it; `when` tells a moment by itself."""
    seconds = (at - now).total_seconds()
    form = _("for another %(length)s") if seconds > 0 else _("until %(length)s ago")
    return _marked(at, form % {"length": rough(abs(seconds))})


def _marked(at: datetime, text: str) -> SafeString:
    exact = f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return format_html('<time datetime="{}" title="{}">{}</time>', exact, utc(at), text)


def rough(seconds: float) -> str:
    """The largest unit that fits, and no other."""
    for size, unit in ((DAY, _("d")), (HOUR, _("h")), (MINUTE, _("min"))):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} {_('s')}"


def length(seconds: float | None) -> str:
    """A length of time in the two units that matter: 36 ms, 1.2 s, 3 min 20 s, 2 h 5 min."""
    if seconds is None:
        return NONE
    if seconds < 1:
        return f"{number_format(round(seconds * 1000), force_grouping=True)} ms"
    if seconds < 10:
        return f"{number_format(round(seconds, 1), 1)} {_('s')}"
    if seconds < MINUTE:
        return f"{round(seconds)} {_('s')}"
    whole = round(seconds)
    for size, unit, part, small in (
        (DAY, _("d"), HOUR, _("h")),
        (HOUR, _("h"), MINUTE, _("min")),
        (MINUTE, _("min"), 1, _("s")),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {small}" if rest else f"{whole // size} {unit}"
    return f"{whole} {_('s')}"


def milliseconds(value: float | str | None) -> str:
    """A length of time that was measured in milliseconds; a template's missing value is an empty text."""
    return NONE if value is None or isinstance(value, str) else length(value / 1000)
