"""A choice, written down: small for the books, whole for people.

`pack` is what a job keeps, `unpack` what `explain` prints; the second reads what the first wrote, so a job
of last month and a question of now look alike. The small form (some 300 bytes for three candidates and two
refused) is arrays by position:

    {"d": draws, "s": value of a second, "c": [a Ranking, ...], "r": [[orchestrator, sentence, words...], ...]}

Rows of it outlive this file. So fields are only ever added at the end, with a default, and names and
sentences only ever appended; whatever is not in a list here is written out.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from orchestrators.core.health import State
from orchestrators.core.price import Price, Unit
from routing.core.selection import Candidate, Rank, Refused, Why

RANKS = ("ready", "second", "probation", "last_resort")
STATES = ("unknown", "healthy", "degraded", "down", "probation")
UNITS = ("second", "pixel", "request")
# What ranks a candidate lower, a bit each.
MARKS = ("stale", "slow_start", "poor_fit", "doubted", "falling", "slow", "contention", "eviction")

# Most of what is said of a refused offer. The words in the gaps are kept; the first that fits is taken.
SENTENCES: tuple[tuple[str, str], ...] = (
    ("price_ceiling", "{} wei/second is above the ceiling of {} wei/second"),
    ("price_ceiling", "{} is above the ceiling of {}"),
    ("price_ceiling", "{}, and no ceiling is set: its profile suggests {}"),
    ("price_unit", "priced per {}, the ceiling is per {}"),
    ("bad_quote", "its orchestrator quotes no usable price"),
    ("bad_quote", "no price is set on the offer"),
    ("bad_quote", "not probed yet"),
    ("mode_orchestrator", "its orchestrator is {}"),
    ("mode_offer", "the offer is {}"),
    ("not_claimed", "its orchestrator does not claim the capability"),
    ("down", "down after {}, for {} s more"),
    ("down", "down after {}, until a probe succeeds"),
    ("rejected", "down after {}, until a probe succeeds"),
    ("api_mismatch", "down after {}, for {} s more"),
    ("api_mismatch", "down after {}, until a probe succeeds"),
    ("busy", "asked to be left alone for {} s more"),
    ("no_seat", "{} in flight, {} allowed"),
    ("tried", "was asked for this request already"),
    ("excluded", "the request excludes its orchestrator"),
    ("not_included", "the request includes other orchestrators only"),
)


class Ranking(NamedTuple):
    """One candidate as it was weighed. Numbers for names are places in the lists above.

    The fields with a default are left out of a row that has all of them as usual.
    """

    orchestrator: str
    rank: int | str
    state: int | str
    wei: int
    quantity: float
    latency_ms: float
    failure: float
    adjusted_wei: int
    warm: int
    in_flight: int
    seats: int
    units: int = 1
    unit: int | str = 0
    share: float = 1.0
    marks: int = 0
    reputation: int = 100


_READY = Rank.READY  # see OutcomeClass
_FIELDS = tuple(mark for mark in MARKS if mark in Candidate.__struct_fields__)
_USUAL = tuple(Ranking._field_defaults.values())


def pack(ranked: Iterable[Candidate], refused: Iterable[Refused], draws: Sequence[float]) -> dict[str, Any]:
    """The small form, in plain JSON values. `draws`: what chose among them, each in [0, 1)."""
    ranked = list(ranked)
    return {
        "d": [(draw * 10_000.0 + 0.5) // 1.0 / 10_000.0 for draw in draws],
        "s": ranked[0].value_of_second if ranked else 0,
        "c": [_ranking(each) for each in ranked],
        "r": [[each.orchestrator, *_said(each.why, each.detail)] for each in refused],
    }


def unpack(packed: Mapping[str, Any]) -> dict[str, Any]:
    """`candidates`, best first, with class and terms; `refused`, with reason and detail; `draws`."""
    return {
        "candidates": [_candidate(Ranking(*row), packed["s"]) for row in packed.get("c", ())],
        "refused": [_refused(*row) for row in packed.get("r", ())],
        "draws": list(packed.get("d", ())),
    }


def is_sampled(request_id: str, sample: float) -> bool:
    """Whether this request is in the sample, 0 to 1: the same answer for the same id, everywhere."""
    return zlib.crc32(request_id.encode()) < sample * 2**32


def _ranking(candidate: Candidate) -> tuple[Any, ...]:
    """The values of a Ranking, in the order of its fields: making one takes as long as all of this. So would
    `round` to some places, which goes by way of decimal text, 4,000 instructions.
    """
    price, (_, adjusted, _, _, rank) = candidate.price, candidate.order
    always = (
        candidate.orchestrator,
        _RANK[rank],
        _STATE[candidate.state],
        price.wei,
        candidate.units,
        (candidate.latency * 10_000.0 + 0.5) // 1.0 / 10.0,
        (candidate.failure * 10_000.0 + 0.5) // 1.0 / 10_000.0,
        round(adjusted),
        1 if candidate.warm else 0,
        candidate.in_flight,
        candidate.seats,
    )
    others = (
        price.units,
        _UNIT[price.unit],
        candidate.share,
        0 if rank is _READY and not candidate.flags else _marks(candidate),  # all other marks cost the class
        round(candidate.reputation),
    )
    return always if others == _USUAL else always + others


def _marks(candidate: Candidate) -> int:
    marked = candidate.flags.union(name for name in _FIELDS if getattr(candidate, name))
    return sum((mark in marked) << place for place, mark in enumerate(MARKS))


def _candidate(row: Ranking, value_of_second: int) -> dict[str, Any]:
    return {
        "orchestrator": row.orchestrator,
        "class": _named(RANKS, row.rank),
        "terms": {
            "price": str(Price(row.wei, row.units, Unit(_named(UNITS, row.unit)))),
            "units": row.quantity,
            "latency_ms": row.latency_ms,
            "value_of_second_wei": value_of_second,
            "failure": row.failure,
            "reputation": row.reputation,
            "adjusted_wei": row.adjusted_wei,
            "state": _named(STATES, row.state),
            "warm": bool(row.warm),
            "in_flight": row.in_flight,
            "seats": row.seats,
            "share": row.share,
            "against": [mark for place, mark in enumerate(MARKS) if row.marks >> place & 1],
        },
    }


def _refused(orchestrator: str, sentence: int | str, *words: str) -> dict[str, str]:
    if isinstance(sentence, str):
        return {"orchestrator": orchestrator, "reason": sentence, "detail": words[0]}
    reason, text = SENTENCES[sentence]
    return {"orchestrator": orchestrator, "reason": reason, "detail": text.format(*words)}


def _named(names: Sequence[str], place: int | str) -> str:
    return place if isinstance(place, str) else names[place]


def _places(names: Sequence[str], members: Iterable[Any], name: str) -> dict[Any, int | str]:
    """Each member's place in the list; its name, where it came later than the list."""
    texts = [(each, str(getattr(each, name)).lower()) for each in members]
    return {each: names.index(text) if text in names else text for each, text in texts}


_RANK = _places(RANKS, Rank, "name")
_STATE = _places(STATES, State, "value")
_UNIT = _places(UNITS, Unit, "value")

_PATTERNS: dict[str, list[tuple[int, re.Pattern[str]]]] = {}
for _place, (_reason, _text) in enumerate(SENTENCES):
    _pattern = re.compile(re.escape(_text).replace(r"\{\}", "(.+?)"), re.DOTALL)
    _PATTERNS.setdefault(_reason, []).append((_place, _pattern))


@lru_cache(maxsize=4096)  # most refusals stand as long as the routing table
def _said(why: Why, detail: str) -> tuple[int | str, ...]:
    for place, pattern in _PATTERNS.get(why.value, ()):
        match = pattern.fullmatch(detail)
        if match is not None:
            return place, *match.groups()
    return why.value, detail
