"""One account -> its numbers. Only what was requested after the warm-up counts.

`time_to_eject`: from a fault's first victim to its last before the policy leaves the offer alone for
5 s; the whole rest of the fault where it never does. 0: one victim was enough.
`time_to_recover`: from a fault's end to the next good answer there, or to the end of the run; only of
offers that were in use before the fault (a fifth of a fair share, in as long a time).
Both are means over the faults of a run, None where there was none to measure. A fault that comes and goes
(`every`) is one fault; `slow` and `evicted` answer rightly and are not measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from routing.simulation.scenario import Script
from routing.simulation.stage import Account, Attempt, Request

LEFT_ALONE = 5.0


@dataclass(frozen=True, slots=True)
class Metrics:
    """Shares from 0 to 1, seconds, wei.

    `success`: of all requests. `success_ready`: of those with a ready alternative. `cost`: wei per success,
    failed attempts included. `wasted`: the part of the money that bought no good answer. `adjusted`: cost plus
    the value of the seconds waited. `probes`: wei spent on sample requests in the whole run.
    `shares`: of the successes, by orchestrator. `failures`: how many requests failed, by why.
    """

    requests: int
    success: float
    success_ready: float
    p50: float
    p95: float
    p99: float
    cost: float
    adjusted: float
    attempts: float
    wasted: float
    probes: float
    time_to_eject: float | None
    time_to_recover: float | None
    shares: dict[str, float]
    failures: dict[str, int]


def measure(account: Account, value_of_second: int) -> Metrics:
    scenario = account.scenario
    counted = [each for each in account.requests if each.at >= scenario.warm_up]
    numbers = {each.number for each in counted}
    attempts = [each for each in account.attempts if each.request in numbers]
    good = [each for each in counted if each.good]
    ready = [each for each in counted if each.ready]
    waited = sorted(each.seconds for each in good)
    wei, served = sum(each.wei for each in attempts), max(len(good), 1)
    useful = {each.number for each in good}
    well_spent = sum(each.wei for each in attempts if each.good and each.request in useful)
    return Metrics(
        requests=len(counted),
        success=_share(len(good), len(counted)),
        success_ready=_share(sum(each.good for each in ready), len(ready)),
        p50=quantile(waited, 0.5),
        p95=quantile(waited, 0.95),
        p99=quantile(waited, 0.99),
        cost=wei / served,
        adjusted=wei / served + value_of_second * sum(waited) / served,
        attempts=len(attempts) / served,
        wasted=_share(wei - well_spent, wei, nothing=0.0),
        probes=float(sum(each.wei for each in account.attempts if each.request < 0)),
        time_to_eject=_mean(_ejections(account, attempts)),
        time_to_recover=_mean(_recoveries(account, attempts)),
        shares=_shares(account, good),
        failures=dict(Counter(each.failure for each in counted if each.failure)),
    )


def quantile(ordered: Sequence[float], part: float) -> float:
    """The nearest rank; 0 of nothing."""
    return ordered[max(0, ceil(part * len(ordered)) - 1)] if ordered else 0.0


def _ejections(account: Account, attempts: list[Attempt]) -> list[float]:
    found = []
    for script, box in _troubles(account):
        victims = [each.at for each in attempts if each.box == box and script.covers(each.at) and not each.good]
        if victims:
            end = min(script.end, account.scenario.duration)
            contacts = [each.at for each in attempts if each.box == box and victims[0] <= each.at < end]
            found.append(_left_alone(contacts, end) - victims[0])
    return found


def _left_alone(contacts: list[float], end: float) -> float:
    for at, following in zip(contacts, [*contacts[1:], end], strict=True):
        if following - at >= LEFT_ALONE:
            return at
    return end


def _recoveries(account: Account, attempts: list[Attempt]) -> list[float]:
    found = []
    duration = account.scenario.duration
    for script, box in _troubles(account):
        if script.end >= duration:
            continue
        length = min(script.end - script.start, script.start - account.scenario.warm_up)
        before = [each for each in attempts if script.start - length <= each.at < script.start]
        mine = sum(each.box == box and each.good for each in before)
        if mine * 5 * len(account.scenario.fleet) < len(before) or not mine:
            continue
        back = [each.at for each in attempts if each.box == box and each.at >= script.end and each.good]
        found.append(min(back, default=duration) - script.end)
    return found


def _troubles(account: Account) -> list[tuple[Script, int]]:
    ids = {member.name: number for number, member in enumerate(account.scenario.fleet, 1)}
    return [
        (script, ids[name])
        for script in account.scenario.faults
        if script.kind not in ("slow", "evicted")
        for name in sorted(script.who)
    ]


def _shares(account: Account, good: list[Request]) -> dict[str, float]:
    served = Counter(each.box for each in good)
    return {
        member.name: _share(served[number], len(good), nothing=0.0)
        for number, member in enumerate(account.scenario.fleet, 1)
    }


def _share(part: float, whole: float, *, nothing: float = 1.0) -> float:
    return part / whole if whole else nothing


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
