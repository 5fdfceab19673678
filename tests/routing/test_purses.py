"""What was spent of a budget outlives the worker that spent it, and nobody spends it twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from routing.purses import Purses

TODAY, MONTH, YESTERDAY = "2026-11-25", "2026-11", "2026-11-24"
NOW = frozenset({TODAY, MONTH})


def claimed(folder: Path, slots: int = 1, node: str = "node") -> Purses:
    purses = Purses(folder, node, slots)
    assert purses.claim(NOW)
    return purses


def spend(purses: Purses, wei: int, client: int = 7, period: str = TODAY) -> None:
    purses.purse(client, period).settle(0, wei)
    purses.write(client, period)


def test_a_new_worker_goes_on_from_what_was_spent(tmp_path: Path) -> None:
    first = claimed(tmp_path)
    spend(first, 10**24)
    spend(first, 5)
    spend(first, 3, period=MONTH)
    spend(first, 1, client=8)
    first.give_up()

    second = claimed(tmp_path)

    assert second.purse(7, TODAY).spent == 10**24 + 5
    assert second.purse(7, MONTH).spent == 3
    assert second.purse(8, TODAY).spent == 1
    second.give_up()


def test_a_new_day_takes_the_line_of_the_last_but_one(tmp_path: Path) -> None:
    """The file grows with clients, not with days."""
    purses = claimed(tmp_path)
    for client in (7, 8):
        spend(purses, 3, client, MONTH)
    for day in (YESTERDAY, TODAY, "2026-11-26", "2026-11-27", "2026-11-28"):
        for client in (7, 8):
            spend(purses, client, client, day)
    (file,) = tmp_path.iterdir()
    assert len(file.read_bytes().splitlines()) == 6, "a month, a day, and the day before"
    purses.give_up()

    second = claimed(tmp_path)
    assert [second.purse(client, "2026-11-28").spent for client in (7, 8)] == [7, 8]
    assert [second.purse(client, MONTH).spent for client in (7, 8)] == [3, 3]
    second.give_up()


def test_a_clock_that_was_behind_at_the_start_forgets_nothing(tmp_path: Path) -> None:
    first = claimed(tmp_path)
    spend(first, 11)
    spend(first, 11, period=MONTH)
    first.give_up()

    second = Purses(tmp_path, "node", 1)
    assert second.claim(frozenset({"2000-01-01", "2000-01"}))
    assert (second.purse(7, TODAY).spent, second.purse(7, MONTH).spent) == (11, 11)
    second.give_up()


def test_a_slot_is_held_by_one_worker_at_a_time(tmp_path: Path) -> None:
    first, second, third = claimed(tmp_path, 2), claimed(tmp_path, 2), Purses(tmp_path, "node", 2)
    spend(first, 11)

    assert not third.claim(NOW)
    assert second.purse(7, TODAY).spent == 0
    first.give_up()
    assert third.claim(NOW)
    assert third.purse(7, TODAY).spent == 11
    for purses in (second, third):
        purses.give_up()


def test_nodes_that_share_a_folder_do_not_share_slots(tmp_path: Path) -> None:
    one, other = claimed(tmp_path), claimed(tmp_path, node="node-2")
    spend(one, 4)

    assert other.purse(7, TODAY).spent == 0
    for purses in (one, other):
        purses.give_up()


def test_what_is_in_flight_when_a_slot_is_given_up_counts_in_full(tmp_path: Path) -> None:
    """Its successor must not spend what the last calls of the old worker may still cost."""
    first = claimed(tmp_path)
    first.purse(7, TODAY).reserve(100)
    first.give_up()
    first.purse(7, TODAY).settle(100, 1)
    first.write(7, TODAY)

    second = claimed(tmp_path)

    assert second.purse(7, TODAY).spent == 100
    second.give_up()


@pytest.mark.parametrize("before", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("after", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("spent", [0.0, 0.5, 1.0])
def test_no_number_of_workers_spends_more_than_the_budget(
    tmp_path: Path, before: int, after: int, spent: float
) -> None:
    """Not by the day's change of that number either: each may spend a like share, and some have."""
    budget = 100

    def spend_all(slots: int, most: float) -> int:
        workers, total = [claimed(tmp_path, slots) for _ in range(slots)], 0
        for each in workers:
            while each.purse(7, TODAY).spent < most * (budget // slots):
                spend(each, 1)
                total += 1
        for each in workers:
            each.give_up()
        return total

    total = spend_all(before, spent) + spend_all(after, 1.0)
    assert budget - 3 * (before + after) <= total <= budget, "less by what rounding costs"


def test_more_workers_wait_for_those_whose_place_they_take(tmp_path: Path) -> None:
    former, next_ones = claimed(tmp_path), [Purses(tmp_path, "node", 2) for _ in range(2)]
    spend(former, 10)
    assert not next_ones[0].claim(NOW)
    spend(former, 10)
    former.give_up()
    assert [each.claim(NOW) for each in next_ones] == [True, True]
    assert [each.purse(7, TODAY).spent for each in next_ones] == [10, 10]
    for each in next_ones:
        each.give_up()


def test_sharing_out_that_was_broken_off_is_finished(tmp_path: Path) -> None:
    """As by `kill -9`, with one of two files made."""
    former = claimed(tmp_path)
    spend(former, 20)
    former.give_up()
    (file,) = tmp_path.iterdir()
    kept = file.read_bytes()
    first = claimed(tmp_path, 2)
    first.give_up()
    (tmp_path / "node-1-of-2.purses").unlink()
    file.write_bytes(kept)

    both = [claimed(tmp_path, 2) for _ in range(2)]
    assert [each.purse(7, TODAY).spent for each in both] == [10, 10]
    assert len(list(tmp_path.iterdir())) == 2
    for each in both:
        each.give_up()


def test_fewer_workers_take_over_what_the_others_spent(tmp_path: Path) -> None:
    three = [claimed(tmp_path, 3) for _ in range(3)]
    for purses in three:
        spend(purses, 10)
        purses.give_up()

    left = claimed(tmp_path, 1)

    assert left.purse(7, TODAY).spent == 30
    assert len(list(tmp_path.iterdir())) == 1
    left.give_up()


def test_past_periods_and_torn_lines_are_dropped(tmp_path: Path) -> None:
    first = claimed(tmp_path)
    spend(first, 9, client=8, period=YESTERDAY)
    spend(first, 2)
    first.give_up()
    (file,) = tmp_path.iterdir()
    size = file.stat().st_size
    with file.open("ab") as torn:
        torn.write(b"           8 2026-11-25    ")

    second = claimed(tmp_path)

    assert (second.purse(8, YESTERDAY).spent, second.purse(7, TODAY).spent) == (0, 2)
    assert file.stat().st_size == size // 2
    second.give_up()


def test_a_disk_that_refuses_stops_nobody(tmp_path: Path, caplog: object) -> None:
    purses = claimed(tmp_path)
    spend(purses, 1)
    purses.give_up()
    spend(purses, 1)  # its file is closed: memory counts on

    assert purses.purse(7, TODAY).spent == 2
