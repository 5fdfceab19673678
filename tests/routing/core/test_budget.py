from __future__ import annotations

import pytest

from routing.core.budget import Budget

NOW = 1000.0


def budget(client_timeout: float | None = None, search_timeout: float | None = None) -> Budget:
    """The numbers of the `warm` profile."""
    return Budget.of(
        NOW,
        retry_timeout=8,
        attempt_timeout=5,
        cold_grace=10,
        client_timeout=client_timeout,
        search_timeout=search_timeout,
    )


def test_it_starts_attempts_within_the_retry_timeout_only() -> None:
    """R12, R62: the retry timeout is the time in which another attempt may start."""
    assert [budget().may_start(NOW + after) for after in (0, 8, 8.001)] == [True, True, False]


def test_it_ends_the_call_within_the_budget_and_one_attempt() -> None:
    """R62: the request ends within the budget and one attempt's tolerance."""
    assert budget().deadline == NOW + 8 + 5 + 10
    assert budget().left(NOW + 20) == 3
    assert budget().left(NOW + 24) == 0


def test_it_gives_an_offer_not_known_warm_the_cold_grace() -> None:
    """R61: the first request may take longer than the warm time-out."""
    assert budget().allowance(NOW, warm=True) == 5
    assert budget().allowance(NOW, warm=False) == 15


def test_it_never_allows_more_than_is_left() -> None:
    assert budget().allowance(NOW + 20, warm=False) == 3
    assert budget().allowance(NOW + 30, warm=True) == 0


@pytest.mark.parametrize(("theirs", "whole"), [(3, 3), (60, 23), (0, 0), (-1, 0)])
def test_it_lets_a_client_shorten_the_deadline_but_not_lengthen_it(theirs: float, whole: float) -> None:
    assert budget(client_timeout=theirs).deadline == NOW + whole


def test_it_starts_nothing_at_the_deadline_of_a_client() -> None:
    assert budget(client_timeout=3).may_start(NOW + 2.9)
    assert not budget(client_timeout=3).may_start(NOW + 3)
    assert not budget(client_timeout=0).may_start(NOW)


@pytest.mark.parametrize(("theirs", "window"), [(0.5, 0.5), (60, 8)])
def test_it_caps_the_time_until_an_attempt_starts_by_the_search_timeout(theirs: float, window: float) -> None:
    assert budget(search_timeout=theirs).retry_until == NOW + window
    assert budget(search_timeout=theirs).deadline == NOW + 23


@pytest.mark.parametrize("theirs", [0, -1])
def test_it_starts_nothing_for_a_client_that_allows_no_time_to_search(theirs: float) -> None:
    assert not budget(search_timeout=theirs).may_start(NOW)


def test_it_lets_a_call_that_somebody_failed_wait_for_a_seat_as_long_as_an_attempt_may_start() -> None:
    assert budget().wait_until(NOW + 1, 0.5, tried=False) == NOW + 1.5
    assert budget().wait_until(NOW + 7.9, 0.5, tried=False) == NOW + 8
    assert budget().wait_until(NOW + 1, 0.5, tried=True) == NOW + 8
    assert budget(client_timeout=3).wait_until(NOW + 1, 0.5, tried=True) == NOW + 3
