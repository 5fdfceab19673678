from __future__ import annotations

import pytest

from routing.core.retries import RESERVE, WINDOW, Tally, pause


def after(requests: int, retries: int, now: float = 0.0) -> Tally:
    tally = Tally(now)
    for _ in range(requests):
        tally.asked(now)
    for _ in range(retries):
        tally.retried(now)
    return tally


def test_three_retries_are_always_there() -> None:
    assert after(0, RESERVE - 1).allows(0.0)
    assert not after(0, RESERVE).allows(0.0)


def test_a_fifth_of_the_requests_comes_on_top() -> None:
    assert after(100, 22).allows(0.0)
    assert not after(100, 23).allows(0.0)


def test_what_is_older_than_the_window_counts_by_its_overlap() -> None:
    tally = after(100, 23)
    assert not tally.allows(WINDOW - 0.1)
    assert tally.allows(WINDOW * 1.5)  # 11.5 of 50, and of the new window nothing
    assert tally == Tally(WINDOW, 0, 0, 100, 23)
    tally.retried(WINDOW * 2 - 0.1)
    assert tally == Tally(WINDOW, 0, 1, 100, 23)
    tally.retried(WINDOW * 2)
    assert tally == Tally(WINDOW * 2, 0, 1, 0, 1)
    tally.asked(WINDOW * 4)
    assert tally == Tally(WINDOW * 4, 1, 0)


def test_the_first_retry_goes_at_once_and_later_ones_spread() -> None:
    assert pause(0, 0.9) == pause(1, 0.9) == 0.0
    assert pause(2, 0.5) == pytest.approx(0.0375)
    assert pause(3, 0.5) == pytest.approx(0.0875)
    assert pause(9, 0.999) < 0.25
