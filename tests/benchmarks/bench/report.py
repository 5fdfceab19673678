"""What was seen, for people and for machines: Markdown tables, JSON, one SVG."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tests.benchmarks.bench.load import closed_by
from tests.benchmarks.bench.targets import Seen, Target, judged

COLOURS = {"stretch": "#0b6e4f", "must": "#4c9f70", "missed": "#c8553d", "not measured": "#9a9a9a"}
PACKAGES = ("Django", "djangorestframework", "gunicorn", "uvicorn", "uvloop", "httptools", "msgspec")


def machine() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {versions}; load by {closed_by()}"


def text(figures: Mapping[str, Seen], tables: Mapping[str, list[list[str]]], skipped: Mapping[str, str]) -> str:
    """Markdown. `tables`: title -> rows, the first of them the heading."""
    parts = [f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {machine()}."]
    parts += [f"Skipped: {name}: {why}." for name, why in skipped.items()]
    rows = [["metric", "must", "stretch", "seen", "least .. most of the rounds", "verdict"]]
    for target, seen, verdict in judged(figures):
        spread = f"{number(seen.least)} .. {number(seen.most)}" if seen.median is not None else seen.why
        bounds = [f"{number(bound)} {target.unit}".strip() for bound in (target.must, target.stretch)]
        shown = "-" if seen.median is None else f"{number(seen.median)} {target.unit}".strip()
        rows.append([target.what, *bounds, shown, spread, verdict])
    parts.append(table(rows))
    parts += [f"### {title}\n\n{table(rows)}" for title, rows in tables.items()]
    return "\n\n".join(parts) + "\n"


def table(rows: Iterable[list[str]]) -> str:
    heading, *others = rows
    lines = [heading, ["---"] * len(heading), *others]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def document(figures: Mapping[str, Seen], rounds: Any, skipped: Mapping[str, str]) -> str:
    return json.dumps(
        {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "skipped": dict(skipped),
            "targets": [
                {**asdict(target), "seen": asdict(seen), "verdict": verdict}
                for target, seen, verdict in judged(figures)
            ],
            "rounds": rounds,
        },
        indent=1,
    )


def chart(figures: Mapping[str, Seen]) -> str:
    """A bar for each target: how far it got between nothing, must (the line) and stretch (twice as far)."""
    rows = judged(figures)
    height = 26 * len(rows) + 58
    shapes = [
        '<text x="16" y="24" font-size="15" font-weight="600">byocgw against its targets</text>',
        f'<line x1="560" y1="38" x2="560" y2="{height - 14}" stroke="#555" stroke-dasharray="3 3"/>',
        f'<line x1="720" y1="38" x2="720" y2="{height - 14}" stroke="#555" stroke-dasharray="3 3"/>',
        '<text x="560" y="34" font-size="11" text-anchor="middle">must</text>',
        '<text x="720" y="34" font-size="11" text-anchor="middle">stretch</text>',
    ]
    for place, (target, seen, verdict) in enumerate(rows):
        y = 44 + 26 * place
        width = 0.0 if seen.median is None else min(progress(target, seen.median), 2.4) * 160
        said = verdict if seen.median is None else f"{number(seen.median)} {target.unit}".strip()
        shapes.append(
            f'<text x="390" y="{y + 14}" font-size="11" text-anchor="end">{escape(target.what[:66])}</text>'
        )
        shapes.append(f'<rect x="400" y="{y + 2}" width="{width:.1f}" height="17" fill="{COLOURS[verdict]}"/>')
        shapes.append(f'<text x="{400 + width + 6:.1f}" y="{y + 15}" font-size="11">{escape(said)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="900" height="{height}" viewBox="0 0 900 {height}" '
        f'font-family="system-ui, sans-serif" role="img" aria-label="byocgw against its targets">'
        f'<rect width="900" height="{height}" fill="#fff"/>{"".join(shapes)}</svg>\n'
    )


def progress(target: Target, seen: float) -> float:
    """0 at nothing, 1 at must, 2 at stretch; straight between them."""
    if target.most:
        if seen <= target.must:
            return 1 + (target.must - seen) / (target.must - target.stretch)
        return target.must / seen
    if seen >= target.must:
        return 1 + (seen - target.must) / (target.stretch - target.must)
    return seen / target.must


def write(folder: Path, words: str, data: str, picture: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.md").write_text(words)
    (folder / "bench.json").write_text(data)
    (folder / "bench.svg").write_text(picture)
