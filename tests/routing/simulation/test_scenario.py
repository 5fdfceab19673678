"""Reading scenarios: what is shipped parses, what is wrong is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from routing.simulation.numbers import configuration
from routing.simulation.reading import ScenarioError
from routing.simulation.scenario import KINDS, load, parse, shipped
from tests.routing.simulation.worlds import text, world


@pytest.mark.parametrize("name", shipped())
def test_each_shipped_scenario_parses_and_has_a_profile(name: str) -> None:
    scenario = load(name)
    assert scenario.name == name and scenario.description.endswith(".")
    assert configuration().numbers(scenario.profile, scenario.capability).policy.profile == scenario.profile


def test_one_is_shipped_for_every_failure_mode_and_profile() -> None:
    assert {
        *("cold-start", "oom", "crash", "api-mismatch", "hang", "busy"),
        *("gray-failure", "correlated-failure", "flapping", "price-rise"),
        *("profile-per-frame", "profile-chained", "mixed-day"),
    } <= set(shipped())
    assert {load(name).profile for name in shipped()} == {"warm", "per-frame", "chained"}


def test_every_kind_of_fault_can_be_written() -> None:
    for kind in KINDS:
        (script,) = world(f"[{{who: all, kind: {kind}}}]").faults
        assert script.kind == kind and script.who == {"alpha", "bravo", "charlie"}


def test_values_change_over_time() -> None:
    scenario = world(
        fleet=text().partition("fleet:")[1] + "\n  a: {latency: {median: 1}, price: "
        "[[0, 1 wei/second], [50, 2 wei/second]]}\n"
    )
    price = scenario.fleet[0].price
    assert [str(price.at(now)) for now in (0, 49.9, 50, 1000)] == [
        "1 wei/second",
        "1 wei/second",
        "2 wei/second",
        "2 wei/second",
    ]


def test_a_fault_that_comes_and_goes_is_there_for_its_part_of_each_period() -> None:
    (script,) = world("[{who: [alpha], kind: down, from: 10, for: 60, every: 20, part: 0.25}]").faults
    assert [script.is_on(now) for now in (9, 10, 14.9, 15, 29.9, 30, 71)] == [
        False,
        True,
        True,
        False,
        False,
        True,
        False,
    ]
    assert script.covers(20) and not script.covers(70)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("[{who: [zulu], kind: down}]", 'faults[0].who: "zulu" is not in the fleet.'),
        ("[{who: [alpha], kind: sleepy}]", 'faults[0].kind: "sleepy" is none of down, unreachable'),
        ("[{who: [alpha]}]", "faults[0].kind: is missing."),
        ("[{who: [alpha], kind: down, rate: 2}]", "faults[0].rate: 2 is not from 0 to 1."),
        ("[{who: [alpha], kind: down, form: 2}]", "faults[0].form: there is no such key."),
        ("[{who: [], kind: down}]", "faults[0].who: a list of names, or all."),
        ("down", "faults: a list is wanted."),
        ("[{who: [alpha], kind: down, from: .nan}]", "faults[0].from: nan is not a number."),
    ],
)
def test_what_is_wrong_is_named_with_its_path(wrong: str, sentence: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        world(wrong)
    assert f"small: {sentence}" in str(caught.value)


@pytest.mark.parametrize(
    ("fleet", "sentence"),
    [
        ("fleet: {}", "fleet: names nobody."),
        ("fleet: {a: {latency: {median: 1}, price: cheap}}", 'fleet.a.price: "cheap" is not a price'),
        ("fleet: {a: {latency: {median: 1}, price: 1 wei/pixel}}", "fleet.a.price: only prices per second"),
        ("fleet: {a: {latency: {median: 0}, price: 1 wei/second}}", "fleet.a.latency.median: 0 is not at"),
        (
            "fleet: {a: {latency: {median: 1}, price: [[9, 1 wei/second], [3, 1 wei/second]]}}",
            "fleet.a.price: steps stand in the order of time.",
        ),
        ("fleet: {a: {latency: {median: 1}, price: [1]}}", "fleet.a.price[0]: a step is"),
        (
            "fleet: {a: {latency: {median: 1}, price: 1 wei/second, cold: {takes: 1, says: no}}}",
            "fleet.a.cold.says",
        ),
        ("fleet: [a]", "fleet: a mapping of names to values is wanted."),
    ],
)
def test_a_fleet_that_is_wrong_is_named_with_its_path(fleet: str, sentence: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        world(fleet=fleet)
    assert sentence in str(caught.value)


def test_yaml_that_is_none_is_named_with_its_line() -> None:
    with pytest.raises(ScenarioError, match="broken: line 2, column"):
        parse(b"description: [", "broken")


def test_unknown_names_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match='There is no scenario "nope". Known: api-mismatch,'):
        load("nope")
    with pytest.raises(ScenarioError, match="No such file"):
        load(str(tmp_path / "nope.yaml"))


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text())
    assert load(str(path)).name == "own"
