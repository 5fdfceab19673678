"""Results -> a table for people, and a JSON object for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from routing.simulation.trials import FIGURES, ORACLE, OURS, Bar, Figure, Result

_GWEI = 10**9

# (heading, figure, factor, decimals)
_COLUMNS = (
    ("success %", "success", 100.0, 3),
    ("if ready %", "success_ready", 100.0, 3),
    ("p50 ms", "p50", 1000.0, 0),
    ("p95 ms", "p95", 1000.0, 0),
    ("p99 ms", "p99", 1000.0, 0),
    ("cost gwei", "cost", 1 / _GWEI, 1),
    ("attempts", "attempts", 1.0, 3),
    ("wasted %", "wasted", 100.0, 2),
    ("eject s", "time_to_eject", 1.0, 1),
    ("recover s", "time_to_recover", 1.0, 1),
)
_COMPARED = ("p50", "p95", "p99", "cost", "attempts")


def lines(results: Sequence[Result]) -> Iterator[str]:
    """Scenario by scenario: a line per policy, each figure with its interval; then the shares."""
    name_width = max(len(each.policy) for each in results)
    for scenario in dict.fromkeys(each.scenario for each in results):
        of_it = [each for each in results if each.scenario is scenario]
        yield f"{scenario.name}: {scenario.description} ({_runs(of_it[0])})"
        cells = [[heading for heading, *_ in _COLUMNS]]
        cells += [[_cell(each, *column) for column in _COLUMNS] for each in of_it]
        widths = [max(len(row[index]) for row in cells) for index in range(len(_COLUMNS))]
        for name, row in zip(["", *(each.policy for each in of_it)], cells, strict=True):
            padded = "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            yield f"  {name.ljust(name_width)}  {padded}"
        yield from (_notes(each, name_width) for each in of_it)
        yield ""


def bar_lines(bars: Sequence[Bar]) -> Iterator[str]:
    for bar in bars:
        yield f"{'met   ' if bar.met else 'MISSED'}  {bar.name}: {bar.found}"
        yield from (f"          {miss}" for miss in bar.misses)


def document(results: Sequence[Result], bars: Sequence[Bar]) -> dict[str, Any]:
    """All figures in seconds, wei and shares of one; `half` is half the width of the 95 % interval."""
    return {
        "scenarios": [
            {
                "name": scenario.name,
                "description": scenario.description,
                "policies": {
                    each.policy: _facts(each, _oracle(results, each))
                    for each in results
                    if each.scenario is scenario
                },
            }
            for scenario in dict.fromkeys(each.scenario for each in results)
        ],
        "bars": [
            {"name": bar.name, "met": bar.met, "found": bar.found, "misses": list(bar.misses)} for bar in bars
        ],
    }


def _facts(result: Result, oracle: Result | None) -> dict[str, Any]:
    facts: dict[str, Any] = {name: _numbers(result.figures[name]) for name in FIGURES}
    facts |= {"seeds": result.seeds, "shares": result.shares, "failures": result.failures}
    if oracle is not None:
        facts["times_the_oracle"] = {
            name: result.mean(name) / oracle.mean(name) for name in _COMPARED if oracle.mean(name)
        }
    return facts


def _oracle(results: Sequence[Result], result: Result) -> Result | None:
    found = (each for each in results if each.policy == ORACLE and each.scenario is result.scenario)
    return None if result.policy == ORACLE else next(found, None)


def _numbers(figure: Figure | None) -> dict[str, float] | None:
    return None if figure is None else {"mean": figure.mean, "half": figure.half}


def _runs(result: Result) -> str:
    requests = f"{result.mean('requests'):.0f} requests a run"
    return f"{requests}, 1 seed" if result.seeds == 1 else f"{requests}, {result.seeds} seeds, 95 % intervals"


def _cell(result: Result, heading: str, name: str, factor: float, decimals: int) -> str:
    figure = result.figures[name]
    if figure is None:
        return "-"
    text = f"{figure.mean * factor:.{decimals}f}"
    return text if result.seeds == 1 else f"{text} ±{figure.half * factor:.{decimals}f}"


def _notes(result: Result, width: int) -> str:
    shares = ", ".join(f"{name} {share:.0%}" for name, share in result.shares.items())
    failures = ", ".join(f"{why} {number}" for why, number in sorted(result.failures.items()))
    mark = "*" if result.policy == OURS else " "
    return f" {mark}{result.policy.ljust(width)}  {shares}" + (f"; failed: {failures}" if failures else "")
