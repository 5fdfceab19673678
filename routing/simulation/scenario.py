"""What a scenario says, and how it is read. All times are seconds since the start.

description: one sentence
profile: warm                    # whose numbers the gateway uses (see `numbers`)
capability: image-to-image       # optional: its own values count, where the configuration has any
duration: 900
warm_up: 60                      # requests that arrive before are served but not counted
ceiling: 300 gwei/second         # or none; optional, none
clients:
  rate: 2                        # requests a second, or steps: [[0, 2], [300, 8]]
  deadline: 20                   # after so long a client is gone
  bad_input: 0.01                # share of requests every container refuses with 422; optional, 0
fleet:
  alpha:
    latency: {median: 0.6, spread: 0.2}   # log-normal; spread: sigma of its logarithm; optional, 0.15
    capacity: 2                           # calls at once
    when_full: queue                      # or refuse: 429; optional, queue
    price: 100 gwei/second                # or steps: [[0, 100 gwei/second], [300, 200 gwei/second]]
    round_trip: 0.02                      # optional, 0.02
    cold: {takes: 8, after: 120, says: wait, starts: warm}
                                          # optional: the model is dropped after so long without work;
                                          # says: wait (answers late) or loading (503 until loaded)
faults:
  - who: [alpha]                 # several at once: a correlated failure; or all
    kind: oom                    # see KINDS
    from: 120
    for: 300
    rate: 1.0                    # share of calls it strikes; optional, 1. Less: a gray failure
    every: 20                    # optional: it comes and goes with this period ...
    on: 0.5                      # ... and is there for this part of it; optional, 0.5
    factor: 5                    # of `slow` only: how many times slower
    retry_after: 2               # of `busy` only: seconds; optional, not said
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from orchestrators.core.price import Price, PriceError, Unit
from routing.configuration.document import read
from routing.simulation.reading import Fields, ScenarioError, number

SHIPPED = Path(__file__).parent / "scenarios"

# What each kind of fault looks like from outside.
KINDS: Mapping[str, str] = {
    "down": "the connection is refused",
    "unreachable": "connecting takes 3 s and fails",
    "hang": "no answer ever comes",
    "reset": "the connection breaks before an answer",
    "crash": "500 and the orchestrator's own text of a worker that died",
    "error": "500 with a text that says nothing",
    "oom": "500 CUDA out of memory",
    "oom_400": "400 CUDA out of memory",
    "loading": "503 model is not ready",
    "busy": "429",
    "wrong": '200 with {"error": ...}',
    "empty": "200 without a body",
    "html": "200 with an HTML page",
    "missing": "404 on a path it served before",
    "not_claimed": "503 and the orchestrator's own text; its tokens have no capacity",
    "rejected": "400 and the orchestrator's own text about the balance",
    "slow": "right, yet `factor` times as slow",
    "evicted": "right, after loading the model again",
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Steps(Generic[T]):
    """A value over time; before the first step it is the first step's."""

    times: tuple[float, ...]
    values: tuple[T, ...]

    def at(self, now: float) -> T:
        return self.values[max(bisect_right(self.times, now) - 1, 0)]


@dataclass(frozen=True, slots=True)
class Cold:
    takes: float
    after: float
    says: str
    starts: str


@dataclass(frozen=True, slots=True)
class Member:
    """One orchestrator of the fleet. Seconds; `price`: per second."""

    name: str
    median: float
    spread: float
    capacity: int
    when_full: str
    price: Steps[Price]
    round_trip: float
    cold: Cold | None


@dataclass(frozen=True, slots=True)
class Script:
    """One trouble of some members."""

    who: frozenset[str]
    kind: str
    start: float
    end: float
    rate: float
    every: float | None
    part: float
    factor: float
    retry_after: float | None

    def covers(self, now: float) -> bool:
        return self.start <= now < self.end

    def is_on(self, now: float) -> bool:
        if not self.start <= now < self.end:
            return False
        return self.every is None or (now - self.start) % self.every < self.every * self.part


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    description: str
    profile: str
    capability: str
    duration: float
    warm_up: float
    ceiling: Price | None
    rate: Steps[float]
    deadline: float
    bad_input: float
    fleet: tuple[Member, ...]
    faults: tuple[Script, ...]


def shipped() -> list[str]:
    """The names, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load(name: str) -> Scenario:
    """A shipped scenario by its name, or any by the path of its file. Raises ScenarioError."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else SHIPPED / f"{name}.yaml"
    if path.parent == SHIPPED and path.stem not in shipped():
        known = ", ".join(shipped())
        raise ScenarioError(f'There is no scenario "{name}". Known: {known}; or give the path of a .yaml file.')
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ScenarioError(f"{name}: {exc.strerror}.") from exc
    return parse(data, path.stem, shown=name)


def parse(data: bytes, name: str, *, shown: str = "") -> Scenario:
    """Raises ScenarioError, with the place of what is wrong."""
    try:
        document = read(data)
    except ValueError as exc:
        raise ScenarioError(f"{shown or name}: {exc}") from exc
    try:
        return _scenario(Fields(document, ""), name)
    except ScenarioError as exc:
        raise ScenarioError(f"{shown or name}: {exc}") from exc


def _scenario(fields: Fields, name: str) -> Scenario:
    clients = fields.table("clients")
    fleet = fields.table("fleet")
    members = tuple(_member(member, fleet.table(member)) for member in fleet.names())
    if not members:
        raise ScenarioError("fleet: names nobody.")
    ceiling = fields.text("ceiling", "none")
    made = Scenario(
        name=name,
        description=fields.text("description"),
        profile=fields.text("profile", "warm"),
        capability=fields.text("capability", ""),
        duration=fields.number("duration", least=1),
        warm_up=fields.number("warm_up", 60.0),
        ceiling=None if ceiling == "none" else _price(ceiling, "ceiling"),
        rate=_steps(clients.take("rate"), "clients.rate", number),
        deadline=clients.number("deadline", least=0.01),
        bad_input=clients.number("bad_input", 0.0, most=1),
        fleet=members,
        faults=tuple(_script(each, frozenset(fleet.names())) for each in fields.tables("faults")),
    )
    clients.end()
    fields.end()
    if made.warm_up >= made.duration:
        raise ScenarioError("warm_up: nothing is left to count.")
    return made


def _member(name: str, fields: Fields) -> Member:
    latency = fields.table("latency")
    made = Member(
        name=name,
        median=latency.number("median", least=0.001),
        spread=latency.number("spread", 0.15, most=3),
        capacity=int(fields.number("capacity", 1.0, least=1)),
        when_full=fields.choice("when_full", "queue", ("queue", "refuse")),
        price=_steps(fields.take("price"), f"{fields.path}.price", _price),
        round_trip=fields.number("round_trip", 0.02),
        cold=_cold(fields.table("cold")) if fields.has("cold") else None,
    )
    latency.end()
    fields.end()
    return made


def _cold(fields: Fields) -> Cold:
    made = Cold(
        takes=fields.number("takes"),
        after=fields.number("after", float("inf")),
        says=fields.choice("says", "wait", ("wait", "loading")),
        starts=fields.choice("starts", "warm", ("warm", "cold")),
    )
    fields.end()
    return made


def _script(fields: Fields, fleet: frozenset[str]) -> Script:
    start = fields.number("from", 0.0)
    made = Script(
        who=_who(fields, fleet),
        kind=fields.choice("kind", None, tuple(KINDS)),
        start=start,
        end=start + fields.number("for", float("inf")),
        rate=fields.number("rate", 1.0, most=1),
        every=fields.number("every", least=0.001) if fields.has("every") else None,
        part=fields.number("part", 0.5, most=1),
        factor=fields.number("factor", 1.0, least=1),
        retry_after=fields.number("retry_after") if fields.has("retry_after") else None,
    )
    fields.end()
    return made


def _who(fields: Fields, fleet: frozenset[str]) -> frozenset[str]:
    who = fields.take("who")
    if who == "all":
        return fleet
    named = [who] if isinstance(who, str) else who
    if not isinstance(named, list) or not named:
        raise ScenarioError(f"{fields.path}.who: a list of names, or all.")
    for name in named:
        if name not in fleet:
            raise ScenarioError(f'{fields.path}.who: "{name}" is not in the fleet.')
    return frozenset(named)


def _price(value: Any, path: str) -> Price:
    try:
        price = Price.parse(str(value))
    except PriceError as exc:
        raise ScenarioError(f"{path}: {exc}") from exc
    if price.unit is not Unit.SECOND:
        raise ScenarioError(f"{path}: only prices per second are simulated.")
    return price


def _steps(value: Any, path: str, read_one: Any) -> Steps[Any]:
    """One value, or [[seconds, value], ...] in the order of time."""
    if not isinstance(value, list):
        return Steps((0.0,), (read_one(value, path),))
    times, values = [], []
    for index, pair in enumerate(value):
        if not isinstance(pair, list) or len(pair) != 2:
            raise ScenarioError(f"{path}[{index}]: a step is [seconds, value].")
        times.append(number(pair[0], f"{path}[{index}][0]"))
        values.append(read_one(pair[1], f"{path}[{index}][1]"))
    if not times or sorted(times) != times:
        raise ScenarioError(f"{path}: steps stand in the order of time.")
    return Steps(tuple(times), tuple(values))
