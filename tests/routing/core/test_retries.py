from __future__ import annotations

import pytest

from routing.core.retries import RESERVE, WINDOW, Tally, allows, pause, turned, with_request, with_retry


def after(requests: int, retries: int, now: float = 0.0) -> Tally:
    tally = Tally(now)
    for _ in range(requests):
        tally = with_request(tally, now)
    for _ in range(retries):
        tally = with_retry(tally, now)
    return tally


def test_three_retries_are_always_there() -> None:
    assert allows(after(0, RESERVE - 1), 0.0)
    assert not allows(after(0, RESERVE), 0.0)


def test_a_fifth_of_the_requests_comes_on_top() -> None:
    assert allows(after(100, 22), 0.0)
    assert not allows(after(100, 23), 0.0)


def test_what_is_older_than_the_window_counts_by_its_overlap() -> None:
    tally = after(100, 0)
    assert turned(tally, WINDOW - 0.1) is tally
    half = turned(after(100, 23), WINDOW * 1.5)
    assert (half.requests, half.earlier_requests, half.earlier_retries) == (0, 100, 23)
    assert allows(half, WINDOW * 1.5)
    assert turned(tally, WINDOW * 2) == Tally(WINDOW * 2)


def test_the_first_retry_goes_at_once_and_later_ones_spread() -> None:
    assert pause(0, 0.9) == pause(1, 0.9) == 0.0
    assert pause(2, 0.5) == pytest.approx(0.0375)
    assert pause(3, 0.5) == pytest.approx(0.0875)
    assert pause(9, 0.999) < 0.25
