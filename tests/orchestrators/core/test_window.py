"""The times of the latest contacts, as values that share what they can."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrators.core.window import MOST, SECONDS, Window


def plain(times: list[float], now: float) -> list[float]:
    """The same, copied each time."""
    return [each for each in times if each > now - SECONDS][-MOST + 1 :] + [now]


def lived(gaps: list[float]) -> Window:
    window, now = Window.of(), 100.0
    for gap in gaps:
        now += gap
        window = window.noted(now)
    return window


@given(st.lists(st.sampled_from([0.0, 0.25, 0.25, 0.5, 1.0, 7.0, 30.0, 31.0]), max_size=400), st.data())
def test_each_keeps_what_it_saw_whatever_becomes_of_the_others(gaps: list[float], data: st.DataObject) -> None:
    """R59: a history may go on from any of its states, as after a simulation."""
    windows, now = [(Window.of(), [])], 100.0
    for gap in gaps:
        now += gap
        back = data.draw(st.sampled_from([1, 1, 1, 1, 2, 5])) if len(windows) > 5 else 1
        window, times = windows[-back]
        windows.append((window.noted(now), plain(times, now)))
    for window, times in windows:
        assert window.times() == times
        seen = window.times()[window.first(now) - window.start :]
        assert seen == [each for each in times if each > now - SECONDS]


def test_it_is_bounded() -> None:
    window = lived([0.01] * 1000)
    assert len(window.times()) == MOST
    assert len(window.log) <= 5 * MOST


def test_nothing_is_noted_in_what_another_sees() -> None:
    first = Window.of([1.0])
    second, third = first.noted(2.0), first.noted(3.0)
    assert (first.times(), second.times(), third.times()) == ([1.0], [1.0, 2.0], [1.0, 3.0])
    assert second.log is first.log
    assert third.log is not first.log
