"""Workers of one server do by turns what each does by the clock."""

from __future__ import annotations

import pytest

from routing import succession

EVERY = 0.5


def turns_at(turn: int, monkeypatch: pytest.MonkeyPatch, *, now: float, workers: int) -> float:
    monkeypatch.setattr(succession, "turn", turn)
    last = succession.last_turn(now, EVERY, workers)
    assert now - EVERY < last <= now
    return last % EVERY


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_turns_of_workers_are_evenly_apart(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    turns = [turns_at(each, monkeypatch, now=1234.567, workers=workers) for each in range(workers)]
    assert turns == pytest.approx([EVERY * each / workers for each in range(workers)])


def test_it_is_the_same_turn_whenever_a_worker_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [turns_at(1, monkeypatch, now=now, workers=2) for now in (10.1, 777.77, 98_765.4321)]
    assert turns == pytest.approx([0.25, 0.25, 0.25])


def test_a_worker_that_takes_anothers_place_takes_its_turn() -> None:
    """Also after a rolling restart, whose new workers began while the old ones had all turns."""
    assert [succession.free_turn(taken, 2) for taken in ([], [0], [0, 1], [0, 1, 0])] == [0, 1, 0, 1]
    assert [succession.free_turn(taken, 2) for taken in ([0], [1])] == [1, 0]


def test_a_turn_beyond_the_last_is_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """gunicorn can be told to have more workers, or fewer."""
    assert turns_at(2, monkeypatch, now=10.1, workers=2) == turns_at(0, monkeypatch, now=10.1, workers=2)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (10.001, 10.5),
        (10.4, 10.5),
        (10.0, 10.5),
        (9.999, 10.5),  # the timer rang early: what was just done is not done again
        (10.7, 11.0),  # one was missed, and is not made up for
        (13.1, 13.5),
    ],
)
def test_the_next_turn_comes_after_the_last_and_after_now(now: float, expected: float) -> None:
    assert succession.next_turn(10.0, now, EVERY) == pytest.approx(expected)
