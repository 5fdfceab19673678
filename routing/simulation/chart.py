"""Results -> one SVG: success, p99 and cost of every policy in every scenario, with their numbers.

Bars start at zero except those of success, which show the failures: an empty bar is the best. Whiskers are
95 % intervals. No script, no font of its own; colours keep apart in greyscale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from routing.simulation.trials import OURS, Figure, Result

_WIDTH, _LEFT, _GAP, _BAR, _HEAD = 1080, 150, 30, 13, 34
_OURS, _OTHERS, _INK, _GREY = "#0b6e4f", "#9db4c0", "#1d2326", "#5c6b73"


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    figure: str
    factor: float
    unit: str
    decimals: int
    of_failures: bool = False

    def value(self, figure: Figure) -> float:
        return (1 - figure.mean if self.of_failures else figure.mean) * self.factor


_PANELS = (
    _Panel("failed requests", "success", 100, "%", 2, of_failures=True),
    _Panel("p99", "p99", 1000, "ms", 0),
    _Panel("cost of a success", "cost", 1e-9, "gwei", 1),
)
_ACROSS = (_WIDTH - _LEFT - _GAP * len(_PANELS)) / len(_PANELS)


def draw(results: Sequence[Result]) -> str:
    """The document."""
    parts: list[str] = []
    y = 64.0
    for scenario in dict.fromkeys(each.scenario for each in results):
        of_it = [each for each in results if each.scenario is scenario]
        parts.append(_text(16, y, f"{scenario.name}: {scenario.description}", bold=True))
        y += _HEAD
        for number, panel in enumerate(_PANELS):
            parts += _panel(panel, of_it, _LEFT + number * (_ACROSS + _GAP), y)
        parts += [
            _text(_LEFT - 8, y + row * _BAR + 10, each.policy, end=True, bold=each.policy == OURS)
            for row, each in enumerate(of_it)
        ]
        y += len(of_it) * _BAR + 26
    return "\n".join([*_frame(results, y), *parts, "</svg>\n"])


def _frame(results: Sequence[Result], height: float) -> list[str]:
    seeds = max((each.seeds for each in results), default=0)
    title = f"Policies in simulated fleets: {seeds} seed{'s' if seeds != 1 else ''} each"
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height:.0f}" fill="#ffffff"/>',
        _text(16, 30, title, bold=True, size=16),
    ]


def _panel(panel: _Panel, results: Sequence[Result], x: float, y: float) -> list[str]:
    figures = [each.figures[panel.figure] for each in results]
    most = max((panel.value(each) + each.half * panel.factor for each in figures if each), default=0.0)
    scale = (_ACROSS - 62) / most if most > 0 else 0.0
    parts = [_text(x, y - 6, f"{panel.title}, {panel.unit}", colour=_GREY)]
    for row, (result, figure) in enumerate(zip(results, figures, strict=True)):
        if figure is not None:
            parts += _bar(panel, figure, x, y + row * _BAR, scale, _OURS if result.policy == OURS else _OTHERS)
    return parts


def _bar(panel: _Panel, figure: Figure, x: float, y: float, scale: float, colour: str) -> list[str]:
    value, half = panel.value(figure), figure.half * panel.factor
    end = x + value * scale
    reach = x + (value + half) * scale
    parts = [
        f'<rect x="{x:.1f}" y="{y + 2:.1f}" width="{max(end - x, 0.5):.1f}" height="{_BAR - 3}" '
        f'fill="{colour}"/>'
    ]
    if half > 0:
        low, middle = x + max(value - half, 0.0) * scale, y + _BAR / 2 + 0.5
        parts.append(f'<path d="M{low:.1f} {middle:.1f}H{reach:.1f}" stroke="{_INK}" stroke-width="1"/>')
    return [*parts, _text(reach + 4, y + 10, f"{value:.{panel.decimals}f}")]


def _text(
    x: float, y: float, text: str, *, bold: bool = False, end: bool = False, size: int = 11, colour: str = _INK
) -> str:
    weight = ' font-weight="600"' if bold else ""
    anchor = ' text-anchor="end"' if end else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}"{weight}{anchor}>'
        f"{escape(text)}</text>"
    )
