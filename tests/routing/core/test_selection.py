from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import permutations, product
from pathlib import Path

import pytest
from msgspec.structs import replace

from orchestrators.core.health import State
from orchestrators.core.outcome import OutcomeClass
from orchestrators.core.price import Price
from routing.core.selection import (
    PIXELS_TYPICAL,
    Candidate,
    Rank,
    Refused,
    Why,
    choose,
    last_resort,
    rank,
    sift,
    soonest,
    units_of,
)
from tests.routing.core.cast import ALDER, BIRCH, CEDAR

NOW = 1000.0
ARCHITECTURE = (Path(__file__).resolve().parents[3] / "ARCHITECTURE.md").read_text()
TWIN = replace(ALDER, offer_id=4, orchestrator="twin", service_uri="https://twin:8935")
# Draws spread evenly over [0, 1), for counting who comes first.
EVEN = [(step + 0.5) / 20 for step in range(20)]


def sifted(
    *candidates: Candidate,
    tried: frozenset[int] = frozenset(),
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    now: float = NOW,
) -> tuple[list[Candidate], list[Refused]]:
    return sift(candidates, tried=tried, include=include, exclude=exclude, now=now)


def why(candidate: Candidate, **request: object) -> Why | None:
    _, refused = sifted(candidate, **request)  # type: ignore[arg-type]
    return refused[0].why if refused else None


def ranked(
    *candidates: Candidate,
    value: int = 300,
    draws: tuple[float, float, float] = (0.5, 0.5, 0.5),
) -> list[Candidate]:
    return rank([replace(each, value_of_second=value) for each in candidates], draws=draws)


def order(
    *candidates: Candidate, draws: tuple[float, float, float] = (0.5, 0.5, 0.5), value: int = 300
) -> list[str]:
    return [each.orchestrator for each in ranked(*candidates, draws=draws, value=value)]


def firsts(*candidates: Candidate) -> Counter[str]:
    """Who comes first, over every combination of evenly spread draws."""
    return Counter(order(*candidates, draws=(a, b, c))[0] for a in EVEN for b in EVEN for c in EVEN)


class TestSift:
    def test_it_keeps_an_offer_nothing_speaks_against(self) -> None:
        assert sifted(ALDER, BIRCH) == ([ALDER, BIRCH], [])

    def test_it_refuses_what_was_tried(self) -> None:
        assert why(ALDER, tried=frozenset({1})) is Why.TRIED
        assert why(ALDER, tried=frozenset({2})) is None

    @pytest.mark.parametrize(
        ("include", "exclude", "kept"),
        [
            ([], [], [0, 1, 2, 3, 4]),
            ([0, 2], [], [0, 2]),
            ([], [1, 3], [0, 2, 4]),
            ([0, 1, 2], [1], [0, 2]),
            ([9], [], []),
            ([], [0, 1, 2, 3, 4], []),
        ],
    )
    def test_it_obeys_the_wishes_of_a_request(
        self, include: list[int], exclude: list[int], kept: list[int]
    ) -> None:
        """The matrix of go-livepeer's own test of include and exclude, with five orchestrators."""
        five = [replace(ALDER, offer_id=n, service_uri=f"https://o{n}:8935") for n in range(5)]
        found, refused = sifted(
            *five,
            include=tuple(f"https://o{n}:8935" for n in include),
            exclude=tuple(f"https://o{n}:8935" for n in exclude),
        )

        assert [each.offer_id for each in found] == kept
        assert {each.why for each in refused} <= {Why.EXCLUDED, Why.NOT_INCLUDED}

    def test_it_compares_uris_as_exact_strings_and_excludes_first(self) -> None:
        assert why(ALDER, include=("https://alder:8935/",)) is Why.NOT_INCLUDED
        assert why(ALDER, include=(ALDER.service_uri,), exclude=(ALDER.service_uri,)) is Why.EXCLUDED

    def test_it_refuses_an_offer_that_is_down_until_its_time(self) -> None:
        assert why(CEDAR) is Why.DOWN
        assert why(CEDAR, now=1030.0) is None
        assert why(replace(CEDAR, down_until=None), now=9e9) is Why.DOWN

    def test_it_refuses_an_offer_that_is_not_claimed(self) -> None:
        """R8: a request reaches only those that advertise the capability."""
        assert why(replace(ALDER, claimed=False)) is Why.NOT_CLAIMED

    def test_it_refuses_an_offer_that_asked_to_be_left_alone(self) -> None:
        assert why(replace(ALDER, busy_until=NOW + 1)) is Why.BUSY
        assert why(replace(ALDER, busy_until=NOW)) is None

    def test_it_refuses_an_offer_without_a_free_seat(self) -> None:
        assert why(replace(ALDER, in_flight=2)) is Why.NO_SEAT
        assert why(replace(ALDER, in_flight=1)) is None

    @pytest.mark.parametrize(
        ("cause", "reason"),
        [
            (OutcomeClass.REJECTED, Why.REJECTED),
            (OutcomeClass.API_MISMATCH, Why.API_MISMATCH),
            (OutcomeClass.GPU_OOM, Why.DOWN),
            (None, Why.DOWN),
        ],
    )
    def test_it_names_the_causes_that_are_no_mere_trouble(
        self, cause: OutcomeClass | None, reason: Why
    ) -> None:
        assert why(replace(CEDAR, cause=cause)) is reason

    def test_it_explains_itself_to_the_operator(self) -> None:
        _, refused = sifted(CEDAR, replace(CEDAR, offer_id=5, down_until=None, cause=None))

        assert [each.detail for each in refused] == [
            "down after timeout, for 30.0 s more",
            "down after faults, until a probe succeeds",
        ]
        assert refused[0] == Refused(3, "cedar", Why.DOWN, refused[0].detail, 1030.0)


class TestLastResort:
    def resort(self, *candidates: Candidate, **request: object) -> Candidate | None:
        _, refused = sifted(*candidates, **request)  # type: ignore[arg-type]
        return last_resort(candidates, refused)

    def test_it_takes_the_one_whose_time_is_soonest(self) -> None:
        """R14: what is in trouble stays as last resort."""
        busy = replace(ALDER, busy_until=NOW + 2)

        assert self.resort(CEDAR, busy) == busy
        assert self.resort(CEDAR, replace(busy, busy_until=NOW + 60)) == CEDAR

    def test_it_breaks_ties_by_offer_id(self) -> None:
        twin = replace(CEDAR, offer_id=2)

        assert self.resort(CEDAR, twin) == self.resort(twin, CEDAR) == twin

    def test_it_takes_an_unclaimed_offer_when_nothing_else_is_left(self) -> None:
        unclaimed = replace(ALDER, claimed=False)

        assert self.resort(unclaimed) == unclaimed
        assert self.resort(unclaimed, CEDAR) == CEDAR

    @pytest.mark.parametrize("cause", [OutcomeClass.REJECTED, OutcomeClass.API_MISMATCH])
    def test_it_exempts_a_rejection_and_a_mismatch(self, cause: OutcomeClass) -> None:
        assert self.resort(replace(CEDAR, cause=cause)) is None

    def test_it_leaves_out_what_the_request_does_not_want(self) -> None:
        assert self.resort(CEDAR, tried=frozenset({3})) is None
        assert self.resort(CEDAR, exclude=(CEDAR.service_uri,)) is None

    def test_it_takes_one_call_at_a_time(self) -> None:
        assert self.resort(replace(CEDAR, in_flight=1)) is None

    def test_it_waits_for_a_seat_rather_than_ask_one_that_is_down(self) -> None:
        assert self.resort(CEDAR, replace(ALDER, in_flight=2)) is None

    def test_it_asks_one_that_is_down_when_waiting_was_in_vain(self) -> None:
        full = replace(ALDER, in_flight=2)
        _, refused = sifted(full, CEDAR)

        assert last_resort([full, CEDAR], refused) is None
        assert last_resort([full, CEDAR], refused, has_waited=True) == CEDAR

    def test_it_ignores_what_the_table_refused_already(self) -> None:
        static = Refused(9, "oak", Why.NOT_CLAIMED, "")

        assert last_resort([], [static]) is None

    def test_it_is_labelled_as_such(self) -> None:
        assert rank([replace(CEDAR, last_resort=True)], draws=(0, 0, 0))[0].rank is Rank.LAST_RESORT

    def test_it_tells_the_others_when_to_come_back(self) -> None:
        _, refused = sifted(CEDAR, replace(ALDER, busy_until=NOW + 2), replace(BIRCH, claimed=False))

        assert soonest(refused, NOW) == 2
        assert soonest(refused, NOW + 60) == 0
        assert soonest([], NOW) is None


class TestClasses:
    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, Rank.READY),
            ({"warm": False}, Rank.SECOND),
            ({"stale": True}, Rank.SECOND),
            ({"slow_start": True}, Rank.SECOND),
            ({"state": State.DEGRADED}, Rank.SECOND),
            ({"state": State.UNKNOWN}, Rank.SECOND),
            ({"state": State.PROBATION}, Rank.PROBATION),
            ({"state": State.DOWN, "down_until": NOW - 1}, Rank.PROBATION),
        ],
    )
    def test_it_has_a_class_for_every_state(self, changes: dict[str, object], expected: Rank) -> None:
        assert ranked(replace(ALDER, **changes))[0].rank is expected  # type: ignore[arg-type]

    def test_it_prefers_the_warm_to_the_cold(self) -> None:
        """R33, R52: whose last observation was cold ranks below a warm one, at an equal price too."""
        assert order(replace(BIRCH, price=ALDER.price), ALDER) == ["alder", "birch"]
        assert order(BIRCH, ALDER) == ["alder", "birch"]

    def test_it_ranks_a_slow_start_below_every_quick_one(self) -> None:
        """R50: whoever needs more than 10 s to the first inference comes after all others."""
        slow = replace(BIRCH, warm=True, slow_start=True, latency=0.001)

        assert order(slow, ALDER, TWIN)[-1] == "birch"

    @pytest.mark.parametrize(
        "other",
        [
            {"warm": False},
            {"state": State.DEGRADED},
            {"state": State.UNKNOWN},
            {"stale": True},
            {"falling": True},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("warm", [False, True])
    @pytest.mark.parametrize("value", [0, 300])
    def test_a_slow_start_comes_last_of_the_second_class(
        self, other: dict[str, object], warm: bool, value: int
    ) -> None:
        """R50: where nobody is ready, too, whatever it costs and whoever is drawn."""
        slow = replace(BIRCH, warm=warm, slow_start=True, latency=0.001)
        second = replace(ALDER, **other)  # type: ignore[arg-type]

        for draws in product(EVEN[::5], EVEN[::5], (0.0, 0.5)):
            assert order(slow, second, draws=draws, value=value) == ["alder", "birch"]
            held_back = replace(second, share=0.3)
            asked = ["alder", "birch"] if draws[2] < 0.3 else ["birch", "alder"]
            if second.state is not State.UNKNOWN:
                assert order(slow, held_back, draws=draws, value=value) == asked, "a share limits all the same"

    def test_a_slow_start_comes_before_whoever_has_just_failed(self) -> None:
        slow = replace(BIRCH, slow_start=True)

        assert order(replace(ALDER, state=State.PROBATION), slow, draws=(0.5, 0.5, 0.5)) == ["birch", "alder"]

    def test_it_goes_round_a_degraded_offer_and_keeps_it(self) -> None:
        """R14: new requests go to the alternative, the degraded one stays."""
        assert order(replace(BIRCH, warm=True, state=State.DEGRADED), ALDER) == ["alder", "birch"]

    def test_whoever_does_poor_fit_work_too_ranks_below_an_equal_one(self) -> None:
        """R22: also where it would be cheaper."""
        assert order(replace(ALDER, poor_fit=True), TWIN) == ["twin", "alder"]
        assert order(replace(BIRCH, warm=True, poor_fit=True), ALDER) == ["alder", "birch"]

    def test_it_still_uses_what_is_the_only_one(self) -> None:
        """R47: a soft constraint is a matter of priority."""
        flawed = replace(ALDER, state=State.DEGRADED, warm=False, stale=True, slow_start=True, share=0.0)

        assert order(flawed) == ["alder"]

    def test_it_ranks_nobody_when_there_is_nobody(self) -> None:
        assert ranked() == []


class TestAdjustedPrice:
    def test_it_favours_the_faster_of_two_equal_prices(self) -> None:
        """R28: 100 ms against 900 ms at one price, whatever the dice say."""
        quick = replace(TWIN, latency=0.1)

        assert firsts(replace(ALDER, latency=0.9), quick) == {"twin": 8000}

    def test_it_favours_the_cheaper_of_two_equally_fast(self) -> None:
        """R29: 10 wei against 100 wei at one speed, whatever the dice say."""
        assert firsts(ALDER, replace(BIRCH, warm=True)) == {"birch": 8000}

    def test_it_changes_its_choice_with_the_value_of_a_second(self) -> None:
        """R9: from cheapest to fastest by one number."""
        slow = replace(BIRCH, warm=True, latency=0.9)

        assert order(ALDER, slow, value=0)[0] == "birch"
        assert order(ALDER, slow, value=10**9)[0] == "alder"

    def test_whose_free_slots_ran_low_ranks_lower(self) -> None:
        """R54: also where it would be cheaper; and it is used where it is the only one (R47)."""
        low = replace(BIRCH, warm=True, falling=True)

        assert order(ALDER, low) == ["alder", "birch"]
        assert [each.rank for each in ranked(low)] == [Rank.SECOND]

    def test_a_light_model_wins_a_tie(self) -> None:
        """R55: whatever the dice say; a better price still counts for more."""
        heavy = replace(ALDER, heavy=True)
        for first in EVEN:
            assert order(heavy, TWIN, draws=(first, 0.5, 0.5)) == ["twin", "alder"]
        assert order(heavy, replace(TWIN, price=Price.parse("900 wei/second")))[0] == "alder"

    def test_it_computes_the_worked_example_of_the_architecture(self) -> None:
        """R28, R29: the numbers that people read are those that the code weighs."""
        quick = replace(ALDER, price=Price.parse("1000 wei/second"), units=0.5, latency=0.1, failure=0.1)
        cheap = replace(TWIN, price=Price.parse("10 wei/second"), units=0.5, latency=0.9, failure=0.0)
        found = ranked(cheap, quick, value=300 * 10**9, draws=(0.0, 0.0, 0.0))
        assert [each.orchestrator for each in found] == ["alder", "twin"]
        for each in found:
            assert f"= {round(each.adjusted):,} wei" in ARCHITECTURE

    def test_it_shows_every_term(self) -> None:
        """R27: candidates come with their scores."""
        terms = ranked(replace(ALDER, failure=0.5, units=2.0))[0]

        assert (terms.price.per_unit, terms.units, terms.latency) == (Fraction(100), 2.0, 0.2)
        assert (terms.value_of_second, terms.failure) == (300, 0.5)
        assert terms.adjusted == pytest.approx((100 * 2 + 300 * 0.2) / 0.5)

    def test_it_keeps_the_price_exact(self) -> None:
        assert ranked(replace(ALDER, price=Price.parse("1/3 wei/second")))[0].price.per_unit == Fraction(1, 3)

    @pytest.mark.parametrize(
        ("price", "quantity"), [("7 wei/second", 2.0), ("7 wei/request", 1), ("7 wei/pixel", PIXELS_TYPICAL)]
    )
    def test_it_knows_how_much_of_each_unit_a_call_takes(self, price: str, quantity: float) -> None:
        asked = Price.parse(price)
        terms = ranked(replace(ALDER, price=asked, units=units_of(asked.unit, 2.0)), value=0)[0]

        assert terms.units == quantity
        assert terms.adjusted == pytest.approx(7 * quantity)

    def test_it_prefers_steady_to_often_failing(self) -> None:
        assert order(ALDER, replace(TWIN, failure=0.3))[0] == "alder"

    def test_it_can_rank_what_always_fails(self) -> None:
        assert order(replace(ALDER, failure=1.0), TWIN) == ["twin", "alder"]


class TestDrawing:
    def test_it_does_not_depend_on_the_order_of_the_input(self) -> None:
        cast = (ALDER, BIRCH, replace(CEDAR, state=State.HEALTHY), TWIN, replace(TWIN, offer_id=5, share=0.2))
        for draws in [(0.0, 0.0, 0.0), (0.1, 0.9, 0.3), (0.6, 0.4, 0.99)]:
            assert len({tuple(order(*each, draws=draws)) for each in permutations(cast)}) == 1

    def test_it_names_every_candidate_once(self) -> None:
        """R27: with n eligible offers there are n candidates."""
        cast = [replace(ALDER, offer_id=n, share=n / 10) for n in range(10)]
        for draw in EVEN:
            found = ranked(*cast, draws=(draw, draw, draw))
            assert sorted(each.offer_id for each in found) == list(range(10))

    def test_it_spreads_load_among_equals(self) -> None:
        cast = [replace(ALDER, offer_id=n, orchestrator=str(n)) for n in range(4)]

        assert firsts(*cast) == {"0": 2000, "1": 2000, "2": 2000, "3": 2000}

    @pytest.mark.parametrize("share", [0.5, 0.25])
    def test_it_draws_by_share_as_without_where_all_have_the_same(self, share: float) -> None:
        cast = [replace(ALDER, offer_id=n, latency=1 + n * 0.03) for n in range(4)]
        halves = [replace(each, share=share) for each in cast]
        for draws in product(EVEN, EVEN, (0.0,)):
            found, alike = ranked(*halves, draws=draws), ranked(*cast, draws=draws)
            assert [each.offer_id for each in found] == [each.offer_id for each in alike]

    def test_it_leaves_the_dearest_of_many_to_failover(self) -> None:
        """Equals are those within 15 % of the best; whoever is clearly dearer waits."""
        cast = [replace(ALDER, offer_id=n, orchestrator=str(n), latency=1 + n * 0.05) for n in range(5)]
        found = firsts(*cast)

        assert found["0"] > found["1"] > found["2"] > 0 == found["3"] == found["4"]

    def test_it_puts_the_rest_in_order_behind_the_chosen(self) -> None:
        cast = [replace(ALDER, offer_id=n, orchestrator=str(n), latency=1 + n * 0.03) for n in range(4)]

        assert order(*cast, replace(BIRCH, offer_id=9), draws=(0.9, 0.9, 0.0)) == ["2", "0", "1", "3", "birch"]

    def test_it_limits_an_offer_to_its_share(self) -> None:
        cheap = replace(BIRCH, warm=True, share=0.1)

        assert firsts(ALDER, cheap) == {"birch": 800, "alder": 7200}

    def test_it_limits_every_offer_of_several_to_its_share(self) -> None:
        limited = [replace(BIRCH, offer_id=n, orchestrator=str(n), warm=True, share=0.1) for n in (5, 6, 7)]
        found = firsts(ALDER, *limited)

        assert found["alder"] >= 7200
        assert max(found["5"], found["6"], found["7"]) <= 800

    def test_it_puts_what_its_share_holds_back_behind_its_class(self) -> None:
        held = replace(BIRCH, warm=True, share=0.1)
        degraded = replace(CEDAR, state=State.DEGRADED)

        assert order(held, ALDER, TWIN, degraded, draws=(0.0, 0.0, 0.5)) == ["alder", "twin", "birch", "cedar"]

    def test_it_asks_an_offer_without_a_share_if_nobody_else_is_left(self) -> None:
        """R47: a share limits traffic, it never excludes."""
        assert set(order(replace(ALDER, share=0.0), replace(TWIN, share=0.0))) == {"alder", "twin"}

    def test_it_gives_the_unknown_a_little_at_least(self) -> None:
        unknown = replace(BIRCH, state=State.UNKNOWN, share=0.0)
        degraded = replace(ALDER, state=State.DEGRADED)

        assert order(unknown, degraded, draws=(0.5, 0.5, 0.004))[0] == "birch"
        assert order(unknown, degraded, draws=(0.5, 0.5, 0.005))[0] == "alder"

    def test_it_forgets_shares_where_everyone_is_unknown(self) -> None:
        unknown = replace(ALDER, state=State.UNKNOWN)
        cheap = replace(BIRCH, state=State.UNKNOWN, share=0.0)

        assert firsts(unknown, cheap) == {"birch": 8000}

    def test_it_lets_the_unproven_go_first_now_and_then(self) -> None:
        """Or the first that answered would keep all the traffic for ever."""
        unknown = replace(ALDER, offer_id=7, orchestrator="new", state=State.UNKNOWN, warm=False)
        probation = replace(ALDER, offer_id=8, orchestrator="back", state=State.PROBATION)

        assert order(ALDER, unknown, probation, draws=(0.5, 0.5, 0.996))[0] == "new"
        assert order(ALDER, unknown, probation, draws=(0.5, 0.5, 0.991))[0] == "back"
        assert order(ALDER, unknown, probation, draws=(0.5, 0.5, 0.98))[0] == "alder"

    def test_it_does_not_explore_what_it_knows_to_be_worse(self) -> None:
        """R50: an offer that takes over 10 s to start is no unproven one."""
        slow = replace(BIRCH, slow_start=True)
        degraded = replace(TWIN, state=State.DEGRADED)

        assert order(ALDER, slow, degraded, draws=(0.5, 0.5, 0.9999))[0] == "alder"

    def test_it_does_not_explore_where_only_one_attempt_is_allowed(self) -> None:
        """R49: with a stateful capability the client would feel it."""
        unknown = replace(BIRCH, state=State.UNKNOWN)
        found = rank([ALDER, unknown], draws=(0.5, 0.5, 0.9999), explore=False)

        assert [each.orchestrator for each in found] == ["alder", "birch"]


class TestChoosing:
    """The three steps as one, for whoever has to choose."""

    def chosen(self, *candidates: Candidate, tried: frozenset[int] = frozenset()) -> list[Candidate]:
        found, _ = choose(
            candidates,
            now=NOW,
            stateful=False,
            draws=(0.5, 0.5, 0.5),
            tried=tried,
        )
        return found

    def test_it_keeps_who_may_be_asked_and_ranks_them(self) -> None:
        assert self.chosen(CEDAR, BIRCH, ALDER) == [ALDER, BIRCH]

    def test_it_minds_the_share_of_one_whom_nothing_else_is_against(self) -> None:
        held = replace(BIRCH, warm=True, share=0.1)
        assert self.chosen(held, ALDER) == [ALDER, held]
        assert self.chosen(replace(held, share=1.0), ALDER)[-1] == ALDER

    def test_it_takes_the_last_resort_when_nobody_may(self) -> None:
        [only] = self.chosen(CEDAR)
        assert (only, only.rank) == (replace(CEDAR, last_resort=True), Rank.LAST_RESORT)

    def test_it_spares_the_last_resort_once_somebody_was_asked(self) -> None:
        assert self.chosen(ALDER, CEDAR, tried=frozenset({ALDER.offer_id})) == []
