"""Scenarios times policies times seeds -> means with 95 % intervals, and how they stand against the bars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from math import sqrt
from statistics import median

from routing.simulation.baselines import BASELINES
from routing.simulation.gateway import Gateway
from routing.simulation.metrics import Metrics, measure
from routing.simulation.numbers import Configuration
from routing.simulation.scenario import Scenario
from routing.simulation.stage import Account, Stage

OURS = Gateway.name
ORACLE = "oracle"

# Student's t at 97.5 %, by degrees of freedom; beyond the table the normal one is close enough.
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12)
_T_MORE = (2.11, 2.10, 2.09, 2.09, 2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05, 2.04)

FIGURES = tuple(each.name for each in fields(Metrics) if each.name not in ("shares", "failures"))


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over seeds, and half the width of its 95 % interval (0 of one seed)."""

    mean: float
    half: float


@dataclass(frozen=True, slots=True)
class Result:
    """`figures`: by the names of Metrics; None where no seed had anything to measure.
    `failures`: of all seeds, by why.
    """

    scenario: Scenario
    policy: str
    seeds: int
    figures: dict[str, Figure | None]
    shares: dict[str, float]
    failures: dict[str, int]

    def mean(self, name: str) -> float:
        figure = self.figures[name]
        return 0.0 if figure is None else figure.mean


@dataclass(frozen=True, slots=True)
class Bar:
    """One requirement, and how it came out. `misses`: where it is not met."""

    name: str
    met: bool
    found: str
    misses: tuple[str, ...] = ()


def play(scenario: Scenario, policy: str, seed: int, configuration: Configuration) -> Account:
    """One run."""
    numbers = configuration.numbers(scenario.profile, scenario.capability)
    stage = Stage(scenario, seed)
    player = Gateway(stage, numbers) if policy == OURS else BASELINES[policy](stage, numbers)
    return stage.run(player, seed)


def trial(scenario: Scenario, policy: str, seeds: int, configuration: Configuration) -> Result:
    """Runs of the seeds 1, 2, ... `seeds`."""
    value = configuration.numbers(scenario.profile, scenario.capability).policy.value_of_second
    runs = [measure(play(scenario, policy, seed, configuration), value) for seed in range(1, seeds + 1)]
    return Result(
        scenario,
        policy,
        seeds,
        {name: _figure([getattr(run, name) for run in runs]) for name in FIGURES},
        {name: sum(run.shares[name] for run in runs) / seeds for name in runs[0].shares},
        dict(sum((Counter(run.failures) for run in runs), Counter())),
    )


def trials(
    scenarios: Sequence[Scenario],
    against: Sequence[str],
    seeds: int,
    configuration: Configuration,
    *,
    done: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Ours and each of `against`, scenario by scenario."""
    results = []
    for scenario in scenarios:
        for policy in (OURS, *against):
            results.append(trial(scenario, policy, seeds, configuration))
            done(results[-1])
    return results


def _figure(values: list[float | None]) -> Figure | None:
    found = [value for value in values if value is not None]
    if not found:
        return None
    number, mean = len(found), sum(found) / len(found)
    if number == 1:
        return Figure(mean, 0.0)
    variance = sum((value - mean) ** 2 for value in found) / (number - 1)
    table = _T + _T_MORE
    t = table[number - 2] if number - 2 < len(table) else 1.96
    return Figure(mean, t * sqrt(variance / number))


# --- the bars ------------------------------------------------------------------------------------

LEAST_SUCCESS = 0.999
WORSE_BY = 0.0005  # 0.05 points
BETTER_IN = 3
# figure -> (median over the scenarios, worst scenario), as multiples of the oracle's
MULTIPLES = {"p99": (1.5, 2.0), "cost": (1.2, 1.4)}


def bars(results: Sequence[Result]) -> list[Bar]:
    """What our policy has to reach, over all scenarios of `results`."""
    return [*_by_success(results), *_by_baselines(results), *_by_oracle(results)]


def _by_success(results: Sequence[Result]) -> Iterator[Bar]:
    ours = [each for each in results if each.policy == OURS]
    misses = tuple(
        f"{each.scenario.name}: {each.mean('success_ready'):.3%}"
        for each in ours
        if each.mean("success_ready") < LEAST_SUCCESS
    )
    least = min((each.mean("success_ready") for each in ours), default=1.0)
    yield Bar(
        f"success at least {LEAST_SUCCESS:.1%} where a ready alternative exists",
        not misses,
        f"least {least:.3%}",
        misses,
    )


def _by_baselines(results: Sequence[Result]) -> Iterator[Bar]:
    for policy in sorted({each.policy for each in results} - {OURS, ORACLE}):
        pairs = list(_pairs(results, policy))
        ahead = [(name, ours.mean("success") - theirs.mean("success")) for name, ours, theirs in pairs]
        misses = tuple(f"{name}: {by:+.3%}" for name, by in ahead if by < -WORSE_BY)
        yield Bar(
            f"not below {policy} by more than 0.05 points of success anywhere",
            not misses,
            f"worst {min(by for _, by in ahead):+.3%}",
            misses,
        )
        above = [name for name, by in ahead if by > WORSE_BY]
        if len(pairs) >= BETTER_IN:  # of fewer scenarios it says nothing
            yield Bar(
                f"above {policy} in at least {BETTER_IN} scenarios",
                len(above) >= BETTER_IN,
                f"in {len(above)} of {len(pairs)}",
            )


def _by_oracle(results: Sequence[Result]) -> Iterator[Bar]:
    pairs = list(_pairs(results, ORACLE))
    if not pairs:
        return
    for figure, (usual, worst) in MULTIPLES.items():
        times = [(name, ours.mean(figure) / (theirs.mean(figure) or 1.0)) for name, ours, theirs in pairs]
        middle = median(multiple for _, multiple in times)
        yield Bar(
            f"{figure} within {usual:g} x of the oracle's, median over scenarios",
            middle <= usual,
            f"{middle:.2f} x",
        )
        misses = tuple(f"{name}: {multiple:.2f} x" for name, multiple in times if multiple > worst)
        yield Bar(
            f"{figure} within {worst:g} x of the oracle's in the worst",
            not misses,
            f"{max(multiple for _, multiple in times):.2f} x",
            misses,
        )


def _pairs(results: Sequence[Result], policy: str) -> Iterator[tuple[str, Result, Result]]:
    theirs = {each.scenario.name: each for each in results if each.policy == policy}
    for each in results:
        if each.policy == OURS and each.scenario.name in theirs:
            yield each.scenario.name, each, theirs[each.scenario.name]
