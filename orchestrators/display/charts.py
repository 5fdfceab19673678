"""Small charts as SVG: no script, no inline style; colour comes from the class, the numbers stand beside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import groupby

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

Values = Sequence[float | None]
PAD = 2.0


def sparkline(
    values: Values, title: str, *, top: float | None = None, width: int = 120, height: int = 28
) -> SafeString:
    """A line from 0 to `top` (default: the largest value). None leaves a gap: nothing was measured then."""
    highest = max((value for value in values if value is not None), default=0.0)
    scale = (height - 2 * PAD) / ((top or highest) or 1)
    step = (width - 2 * PAD) / max(len(values) - 1, 1)
    points = [
        (PAD + place * step, None if value is None else height - PAD - value * scale)
        for place, value in enumerate(values)
    ]
    runs = [list(run) for known, run in groupby(points, lambda point: point[1] is not None) if known]
    lines = format_html_join("", '<polyline points="{}"/>', ((_path(run),) for run in runs if len(run) > 1))
    dots = format_html_join(
        "", '<circle cx="{}" cy="{}" r="1.5"/>', (_at(*run[0]) for run in runs if len(run) == 1)
    )
    return _drawing("spark", width, height, title, lines + dots)


def bars(values: Values, title: str, *, width: int = 120, height: int = 28) -> SafeString:
    """A bar for each value; None and 0 leave their place empty."""
    highest = max((value for value in values if value is not None), default=0.0) or 1
    step = width / max(len(values), 1)
    drawn = (
        (f"{place * step:.1f}", f"{height - tall:.1f}", f"{max(step - 1, 1):.1f}", f"{tall:.1f}")
        for place, value in enumerate(values)
        if value
        for tall in [max(value / highest * height, 1.0)]
    )
    body = format_html_join("", '<rect x="{}" y="{}" width="{}" height="{}" rx="1"/>', drawn)
    return _drawing("bars", width, height, title, body)


def beats(tones: Iterable[str], title: str, *, places: int = 40, width: int = 160) -> SafeString:
    """The last so many looks, oldest first: tall where all was well, short where not; aligned at the end."""
    latest = list(tones)[-places:]
    step = width / places
    first = places - len(latest)
    drawn = (
        (each, f"{(first + place) * step:.1f}", *(("2", "18") if each == "good" else ("8", "12")))
        for place, each in enumerate(latest)
    )
    body = format_html_join(
        "", f'<rect class="{{}}" x="{{}}" y="{{}}" width="{step * 0.65:.1f}" height="{{}}" rx="1"/>', drawn
    )
    return _drawing("beats", width, 20, title, body)


def meter(part: float, whole: float, title: str, *, width: int = 96) -> SafeString:
    """How much of something is used: over the whole it is full, and of the class `over`."""
    share = min(max(part / whole, 0.0), 1.0) if whole else 0.0
    kind = "meter over" if whole and part > whole else "meter"
    body = format_html(
        '<rect class="all" width="{}" height="6" rx="3"/><rect class="part" width="{}" height="6" rx="3"/>',
        width,
        f"{share * width:.1f}",
    )
    return _drawing(kind, width, 6, title, body)


def span(start: float, length: float, whole: float, title: str, colour: str = "idle") -> SafeString:
    """A piece of a whole, where it lies in it: a line of a waterfall. As wide as its place."""
    scale = 100 / whole if whole else 0.0
    wide = max(length * scale, 0.6)
    body = format_html(
        '<rect class="all" width="100" height="14"/><rect class="{}" x="{}" width="{}" height="14"/>',
        colour,
        f"{min(start * scale, 100 - wide):.2f}",
        f"{wide:.2f}",
    )
    head = '<svg class="span" viewBox="0 0 100 14" preserveAspectRatio="none" role="img" aria-label="{}">'
    return format_html(head + "<title>{}</title>{}</svg>", title, title, body)


def strip(
    points: Sequence[tuple[Fraction, str]], lines: Sequence[tuple[Fraction, str]], title: str
) -> SafeString:
    """Values on a line from 0, each in its colour, and limits across it. As wide as its place."""
    width, height, middle = 1000, 44, 22
    top = max((value for value, _kind in (*points, *lines)), default=Fraction(0)) * Fraction(105, 100) or 1

    def at(value: Fraction) -> str:
        return f"{float(value / top) * (width - 16) + 8:.1f}"

    body = format_html('<path class="track" d="M0 {}H{}"/>', middle, width)
    body += format_html_join(
        "", '<path class="{}" d="M{} 2V{}"/>', ((kind, at(value), height - 2) for value, kind in lines)
    )
    body += format_html_join(
        "",
        '<path class="mark {}" d="M{} {}h0"/>',
        ((kind, at(value), middle) for value, kind in points),
    )
    head = '<svg class="strip" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
    return format_html(head + "<title>{}</title>{}</svg>", width, height, title, title, body)


def _drawing(kind: str, width: int, height: int, title: str, body: SafeString) -> SafeString:
    """Without a title it is decoration: the number stands beside it."""
    head = format_html(
        '<svg class="{}" width="{}" height="{}" viewBox="0 0 {} {}"', kind, width, height, width, height
    )
    if not title:
        return format_html('{} aria-hidden="true">{}</svg>', head, body)
    return format_html('{} role="img" aria-label="{}"><title>{}</title>{}</svg>', head, title, title, body)


def _path(run: list[tuple[float, float | None]]) -> str:
    return " ".join("{},{}".format(*_at(*point)) for point in run)


def _at(x: float, y: float | None) -> tuple[str, str]:
    return f"{x:.1f}", f"{y or 0.0:.1f}"
