"""Whatever is asked and allowed: nobody above a ceiling is ever chosen, and nobody else is kept from it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from orchestrators.core.price import Price, Unit
from orchestrators.scoreboard import Scoreboard
from orchestrators.upstream.base import Target
from routing.candidates import view
from routing.core.selection import Why, choose
from routing.table import Lane, OfferEntry
from routing.table.ceilings import by_tier, lane
from routing.table.offers import Offers
from routing.table.policies import Plan
from tests.routing.test_candidates import WARM
from tests.support import outcomes as strategies
from tests.support.outcomes import BOUNDED, START

# Few enough numbers that prices meet ceilings, also a wei apart at a magnitude where floats cannot tell.
amounts = st.sampled_from([0, 1, 2, 3, 10**30, 10**30 + 1])
prices = st.builds(
    Price, amounts, st.sampled_from([1, 2, 3]), st.sampled_from([Unit.SECOND, Unit.SECOND, Unit.PIXEL])
)
ceilings = st.dictionaries(st.sampled_from([None, "gold"]), st.none() | prices)
fleets = st.lists(prices, min_size=1, max_size=5)
lives = st.lists(st.tuples(st.integers(1, 5), strategies.outcomes()), max_size=8)


def entry(number: int, price: Price) -> OfferEntry:
    return OfferEntry(
        id=number,
        orchestrator=f"orchestrator-{number}",
        orchestrator_id=number,
        target=Target(f"https://{number}.invalid:8935", "byoc", "depth"),
        price=price,
        claimed=True,
        seats=2,
        share=1.0,
    )


def lanes(
    asked: list[Price], decided: dict[str | None, Price | None]
) -> Iterator[tuple[Lane, list[Price | None]]]:
    """The lane of each tier, with the ceilings that apply there: everybody's and its own, by its own words."""
    offers = Offers()
    offers.entries = [entry(number, price) for number, price in enumerate(asked, 1)]
    for tier, applying in by_tier(decided).items():
        yield (
            lane(Plan(WARM, 2, "300 gwei/second"), offers, applying),
            [limit for of, limit in decided.items() if of in (None, tier)],
        )


def is_allowed(price: Price, applying: list[Price | None]) -> bool:
    """By fractions, not by the code under test. What is free is free in whatever unit."""
    return (
        price.wei == 0
        or bool(applying)
        and all(
            each is None
            or (each.unit is price.unit and Fraction(price.wei, price.units) <= Fraction(each.wei, each.units))
            for each in applying
        )
    )


A_WEI_APART = (
    [Price(10**30, 1, Unit.SECOND), Price(10**30 + 1, 1, Unit.SECOND)],
    Price(10**30, 1, Unit.SECOND),
)


@example(A_WEI_APART[0], {None: A_WEI_APART[1]}, [], (0.0, 0.0, 0.0))
@example(A_WEI_APART[0], {None: None, "gold": A_WEI_APART[1]}, [], (0.0, 0.0, 0.0))
@BOUNDED
@given(fleets, ceilings, lives, st.tuples(strategies.draws, strategies.draws, strategies.draws))
def test_no_offer_above_a_ceiling_is_ever_chosen(
    asked: list[Price],
    decided: dict[str | None, Price | None],
    story: list[Any],
    draws: tuple[float, float, float],
) -> None:
    """R13, R36: for every tier, whatever happened to the offers, last resort included."""
    board = Scoreboard(lambda: 0.5)
    for offer_id, outcome in story:
        board.observe(offer_id, outcome, now=START)
    for made, applying in lanes(asked, decided):
        candidates = view(made, board, policy_number=1, now=START)
        ranked, _ = choose(candidates, now=START, stateful=False, draws=draws)
        assert all(is_allowed(each.price, applying) for each in ranked)


@example(A_WEI_APART[0], {None: A_WEI_APART[1]})
@BOUNDED
@given(fleets, ceilings)
def test_a_ceiling_keeps_nobody_away_who_is_within_it(
    asked: list[Price], decided: dict[str | None, Price | None]
) -> None:
    """R13: equal to the ceiling is within it; and what is excluded is counted."""
    for made, applying in lanes(asked, decided):
        allowed = [each for each in asked if is_allowed(each, applying)]
        assert [each.price for each in made.offers] == allowed
        assert len(made.offers) + len(made.refused) == len(asked)
        above = sum(each.why is Why.PRICE_CEILING for each in made.refused)
        assert made.ceiling_excluded == (above, above + len(allowed))
