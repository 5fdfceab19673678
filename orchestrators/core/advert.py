"""What an orchestrator claims: the token read defensively, and whether an offer is claimed at all.

A token without capacity may mean an unknown capability, a full one, slots the orchestrator leaked, or
our own load; all four look alike. So one empty token proves nothing. Two in a row do, if we had nothing
in flight there that could explain them; so does the orchestrator's own 503. Capacity, or a success,
proves the opposite at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrators.core.price import Price, Unit

_EMPTY_TOKENS = 2
_INT64 = 2**63
# A capacity above this is a boast, and a database column holds no more.
_MOST_CAPACITY = 2**31 - 1
_LONGEST_MODEL = 200


@dataclass(frozen=True, slots=True)
class Token:
    """`price`: wei per second, None for a bad quote. `capacity`: free slots. `balance`: wei, may be
    negative. `model`: what the orchestrator says serves it, "" where it does not say.
    """

    price: Price | None
    capacity: int
    balance: int
    model: str


@dataclass(frozen=True, slots=True)
class Claim:
    """`capacity`: free slots last claimed, None where the protocol has no such word.
    `largest`: the most ever claimed. `empty_streak`: tokens without capacity that count, in a row.
    `falling`: its free slots ran low and have not risen since (R54).
    """

    claimed: bool = True
    capacity: int | None = None
    largest: int = 0
    empty_streak: int = 0
    falling: bool = False


def parse_token(document: object) -> Token:
    """Read the JSON of `GET /process/token`. Zeros are absent there, so what is missing is zero.

    Raises ValueError, with a sentence, for what is no token at all. A price that cannot be believed
    is no such thing: it makes a bad quote (None), so that the rest of the token is still of use.
    """
    if not isinstance(document, Mapping):
        raise ValueError("The token is not a JSON object.")
    capacity = _whole_number(document, "available_capacity")
    return Token(
        price=_quote(document.get("price")),
        capacity=min(max(capacity, 0), _MOST_CAPACITY),
        balance=_whole_number(document, "balance"),
        model=_model(document),
    )


def next_claim(claim: Claim, capacity: int | None, *, ours_in_flight: bool) -> Claim:
    """The claim after one more token. `ours_in_flight`: calls of this gateway may hold the slots."""
    if capacity is None:
        return replace(affirmed(claim), capacity=None)
    claim = replace(claim, falling=_falls(claim, capacity, ours_in_flight))
    if capacity >= 1:
        return replace(affirmed(claim), capacity=capacity, largest=max(claim.largest, capacity))
    streak = claim.empty_streak + (0 if ours_in_flight else 1)
    return replace(claim, claimed=claim.claimed and streak < _EMPTY_TOKENS, capacity=0, empty_streak=streak)


def _falls(claim: Claim, capacity: int, ours_in_flight: bool) -> bool:
    """Fewer free slots than at the look before, and at most half of the most it ever had: its memory or its
    slots go to others. Until they rise; calls of our own prove nothing.
    """
    before = claim.capacity
    if before is None or ours_in_flight or capacity == before:
        return claim.falling
    return capacity < before and 2 * capacity <= claim.largest


def revoked(claim: Claim) -> Claim:
    """After the orchestrator's own 503: it does not know the capability."""
    return replace(claim, claimed=False)


def affirmed(claim: Claim) -> Claim:
    """After a success: whatever the tokens say, it serves."""
    return replace(claim, claimed=True, empty_streak=0)


def _whole_number(document: Mapping[str, object], key: str) -> int:
    value = document.get(key, 0)
    # In Python a bool is an int; in JSON it is not a number.
    if not isinstance(value, int) or isinstance(value, bool) or not -_INT64 <= value < _INT64:
        raise ValueError(f"The token's {key} is not a 64-bit whole number.")
    return value


def _quote(document: object) -> Price | None:
    """A missing or zero `pixelsPerUnit` is no price: dividing by it is how stock gateways crash."""
    if not isinstance(document, Mapping):
        return None
    try:
        wei, units = _whole_number(document, "pricePerUnit"), _whole_number(document, "pixelsPerUnit")
        return Price(wei, units, Unit.SECOND)
    except ValueError:
        return None


def _model(document: Mapping[str, object]) -> str:
    """Stock tokens name no model; some orchestrators add one, under either key."""
    model = document.get("model_id") or document.get("model")
    return model[:_LONGEST_MODEL] if isinstance(model, str) else ""
