"""Which rule is broken, and what becomes of the alerts that are open (issue 5, screen 11)."""

from __future__ import annotations

from fractions import Fraction

import pytest

from routing.core.alerting import QUIET, Finding, Kind, Open, Readings, Rule, Steps, judge, steps

ALL = Readings(
    eligible={"depth": (0, 3), "pose": (2, 3), "new": (0, 0)},
    failures={"depth": (5, 100), "pose": (6, 100), "rare": (3, 3)},
    p95={"depth": (900, 100), "pose": (1000, 100), "rare": (9000, 3)},
    spend={"depth": 7, "pose": 5},
    probe_age=700.5,
    prices=(
        ("alder: depth", Fraction(100), Fraction(150)),
        ("birch: depth", Fraction(100), Fraction(151)),
        ("cedar: depth", Fraction(0), Fraction(9)),
    ),
    certificates=("alder",),
)


@pytest.mark.parametrize(
    ("kind", "threshold", "capability", "broken"),
    [
        (Kind.NOBODY, 0, "", [("depth", 0)]),
        (Kind.NOBODY, 0, "pose", []),
        (Kind.ERRORS, 5, "", [("pose", 6)]),
        (Kind.ERRORS, 4, "", [("depth", 5), ("pose", 6)]),
        (Kind.ERRORS, 4, "depth", [("depth", 5)]),
        (Kind.P95, 900, "", [("pose", 1000)]),
        (Kind.P95, 899, "depth", [("depth", 900)]),
        (Kind.SPEND, 12, "", []),
        (Kind.SPEND, 11, "", [("", 12)]),
        (Kind.SPEND, 6, "depth", [("depth", 7)]),
        (Kind.PROBES, 700, "", [("", 700)]),
        (Kind.PROBES, 701, "", []),
        (Kind.PRICE, 50, "", [("birch: depth", 51)]),
        (Kind.CERTIFICATE, 0, "", [("alder", 0)]),
    ],
)
def test_a_rule_is_broken_beyond_its_threshold(
    kind: Kind, threshold: int, capability: str, broken: list[tuple[str, int]]
) -> None:
    found = judge([Rule(1, kind, threshold, capability)], ALL)
    assert found == [Finding(1, subject, value) for subject, value in broken]


def test_nothing_is_broken_where_nothing_was_read() -> None:
    assert judge([Rule(number, kind) for number, kind in enumerate(Kind)], Readings()) == []


def test_one_cause_is_one_alert() -> None:
    """It begins once, is seen again, and ends after a while without its cause."""
    found = [Finding(1, "depth", 5)]
    assert steps(found, [], 0.0) == Steps(begin=tuple(found), seen=(), end=())
    opened = [Open(9, 1, "depth", seen_at=100.0)]
    assert steps(found, opened, 130.0) == Steps(begin=(), seen=((9, found[0]),), end=())
    assert steps([], opened, 100.0 + QUIET - 1) == Steps((), (), ())
    assert steps([], opened, 100.0 + QUIET) == Steps((), (), end=(9,))


def test_subjects_and_rules_are_told_apart() -> None:
    opened = [Open(9, 1, "depth", seen_at=0.0)]
    found = [Finding(1, "pose"), Finding(2, "depth")]
    assert steps(found, opened, 1.0) == Steps(begin=tuple(found), seen=(), end=())
