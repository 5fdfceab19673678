"""Tokens read defensively, and when an offer counts as claimed."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrators.core.advert import Claim, Token, affirmed, next_claim, parse_token, revoked
from orchestrators.core.price import Price, Unit

STOCK: dict[str, Any] = {
    "sender_address": {"addr": "0x0", "sig": "0x"},
    "balance": 1000,
    "price": {"pricePerUnit": 10, "pixelsPerUnit": 1},
    "service_addr": "https://alder.example:8935",
    "available_capacity": 1,
    "LastNonce": 0,
}


def test_it_reads_a_stock_token() -> None:
    """G27"""
    assert parse_token(STOCK) == Token(Price(10, 1, Unit.SECOND), capacity=1, balance=1000, model="")


def test_what_is_absent_is_zero() -> None:
    """G17: an orchestrator without a chain, or one that does not know the capability."""
    token = parse_token({"price": {"pixelsPerUnit": 1}, "LastNonce": 0})
    assert token == Token(Price(0, 1, Unit.SECOND), capacity=0, balance=0, model="")


@pytest.mark.parametrize(
    "price",
    [
        None,
        10,
        {},
        {"pricePerUnit": 10},
        {"pricePerUnit": 10, "pixelsPerUnit": 0},
        {"pricePerUnit": 10, "pixelsPerUnit": -1},
        {"pricePerUnit": -10, "pixelsPerUnit": 1},
        {"pricePerUnit": "10", "pixelsPerUnit": 1},
        {"pricePerUnit": 1.5, "pixelsPerUnit": 1},
        {"pricePerUnit": True, "pixelsPerUnit": 1},
        {"pricePerUnit": 10**40, "pixelsPerUnit": 1},
    ],
)
def test_a_price_that_cannot_be_believed_is_a_bad_quote(price: object) -> None:
    token = parse_token({**STOCK, "price": price})
    assert token.price is None
    assert token.capacity == 1


def test_no_price_at_all_is_a_bad_quote() -> None:
    assert parse_token({}).price is None


@pytest.mark.parametrize(("claimed", "capacity"), [(-3, 0), (8, 8), (2**40, 2**31 - 1)])
def test_it_clips_capacity(claimed: int, capacity: int) -> None:
    assert parse_token({"available_capacity": claimed}).capacity == capacity


def test_a_balance_may_be_negative() -> None:
    assert parse_token({"balance": -5}).balance == -5


@pytest.mark.parametrize("token", [{"model_id": "x" * 300}, {"model": "x" * 300}])
def test_it_reads_a_model_where_one_is_named(token: dict[str, str]) -> None:
    """R26"""
    assert parse_token(token).model == "x" * 200


def test_a_model_that_is_no_text_is_none() -> None:
    assert parse_token({"model": 7}).model == ""


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "token",
        {"available_capacity": "1"},
        {"available_capacity": 1.0},
        {"available_capacity": None},
        {"balance": True},
        {"balance": 2**63},
        {"balance": -(2**63) - 1},
    ],
)
def test_it_refuses_what_is_no_token(document: object) -> None:
    with pytest.raises(ValueError, match=r"^The token.*\.$"):
        parse_token(document)


def test_one_empty_token_proves_nothing_two_do() -> None:
    """R71"""
    once = next_claim(Claim(), 0, ours_in_flight=False)
    assert once.claimed
    twice = next_claim(once, 0, ours_in_flight=False)
    assert not twice.claimed


def test_our_own_load_explains_an_empty_token() -> None:
    claim = Claim()
    for _ in range(5):
        claim = next_claim(claim, 0, ours_in_flight=True)
    assert claim == Claim(claimed=True, capacity=0)


def test_capacity_claims_it_again_and_forgets_the_empty_ones() -> None:
    """R71: skipped when it stops advertising, back when it advertises again."""
    gone = Claim(claimed=False, capacity=0, largest=4, empty_streak=2)
    assert next_claim(gone, 1, ours_in_flight=False) == Claim(True, capacity=1, largest=4)
    assert next_claim(gone, 6, ours_in_flight=True) == Claim(True, capacity=6, largest=6)


def test_an_empty_token_does_not_claim_what_was_revoked() -> None:
    assert not next_claim(revoked(Claim()), 0, ours_in_flight=True).claimed


def test_a_success_claims_whatever_the_tokens_say() -> None:
    assert affirmed(Claim(claimed=False, capacity=0, empty_streak=2)) == Claim(claimed=True, capacity=0)


def test_a_protocol_without_capacity_is_always_claimed() -> None:
    assert next_claim(Claim(claimed=False, capacity=3, largest=3), None, ours_in_flight=False) == Claim(
        claimed=True, capacity=None, largest=3
    )


class TestFallingCapacity:
    """R54: what others take of an orchestrator is seen in its free slots."""

    def after(self, *capacities: int, ours: bool = False) -> bool:
        claim = Claim()
        for capacity in capacities:
            claim = next_claim(claim, capacity, ours_in_flight=ours)
        return claim.falling

    def test_it_falls_when_half_or_less_is_left(self) -> None:
        assert self.after(4, 2)
        assert self.after(4, 3, 1)

    def test_it_falls_no_more_once_it_rises(self) -> None:
        assert self.after(4, 1, 1)
        assert not self.after(4, 1, 2)

    def test_a_small_loss_is_none(self) -> None:
        assert not self.after(4, 3)
        assert not self.after(4)

    def test_our_own_calls_explain_it(self) -> None:
        assert not self.after(4, 1, ours=True)

    def test_a_protocol_without_slots_has_none_to_lose(self) -> None:
        assert not next_claim(Claim(capacity=None), None, ours_in_flight=False).falling
