from __future__ import annotations

import pytest

from routing.core.limits import Rate, admit

NOW = 1_700_000_000.0
RATE = Rate(per_minute=60, burst=3)


def test_it_admits_a_burst_and_then_one_per_interval() -> None:
    tat, verdicts = 0.0, []
    for now in (NOW, NOW, NOW, NOW, NOW + 1, NOW + 1, NOW + 2):
        admitted, tat, _ = admit(tat, RATE, now)
        verdicts.append(admitted)

    assert verdicts == [True, True, True, False, True, False, True]


def test_it_says_how_long_to_wait_and_that_is_enough() -> None:
    tat = 0.0
    for _ in range(3):
        _, tat, _ = admit(tat, RATE, NOW)

    refused, same, wait = admit(tat, RATE, NOW + 0.25)

    assert (refused, same) == (False, tat)
    assert wait == pytest.approx(0.75)
    assert admit(tat, RATE, NOW + 0.25 + wait)[0]


def test_it_saves_no_more_than_a_burst_for_an_idle_client() -> None:
    _, tat, _ = admit(0.0, RATE, NOW)
    later, admitted = NOW + 3600, 0
    for _ in range(10):
        verdict, tat, _ = admit(tat, RATE, later)
        admitted += verdict

    assert admitted == 3


def test_it_admits_every_call_of_an_even_pace_whatever_the_floats_do() -> None:
    tat, rate = 0.0, Rate(per_minute=7, burst=1)
    for call in range(1000):
        admitted, tat, _ = admit(tat, rate, NOW + call * rate.interval)
        assert admitted


@pytest.mark.parametrize(("per_minute", "burst"), [(0, 1), (1, 0)])
def test_it_refuses_a_rate_that_admits_nobody(per_minute: int, burst: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Rate(per_minute, burst)
