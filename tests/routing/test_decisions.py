"""A decision in the books: small, and unpacked the same as it was made."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import force_setattr, replace

from orchestrators.core.health import State
from orchestrators.core.outcome import OutcomeClass
from orchestrators.core.price import Price, Unit
from routing.core.selection import Candidate, Rank, Refused, Why, rank, sift
from routing.decisions import RANKS, SENTENCES, STATES, UNITS, Ranking, is_sampled, pack, unpack
from tests.routing.core.cast import ALDER, BIRCH, CEDAR

NOW = 1000.0
DRAWS = (0.123456, 0.5, 0.987654)
VALUE = 300 * 10**9
DEAR = Refused(9, "douglas", Why.PRICE_CEILING, "1001 wei/second is above the ceiling of 1000 wei/second")


def ranked(*candidates: Candidate) -> list[Candidate]:
    return rank([replace(each, units=0.05, value_of_second=VALUE) for each in candidates], draws=DRAWS)


def stored(ranked: Iterable[Candidate], refused: Iterable[Refused]) -> Any:
    """As it comes back from the database."""
    return json.loads(json.dumps(pack(ranked, refused, DRAWS)))


def test_it_is_about_three_hundred_bytes() -> None:
    """Three candidates and two refused, with usual names, prices and loads."""
    candidates = [
        replace(ALDER, orchestrator="orch-berlin-1", latency=0.21345, failure=0.01234, in_flight=3, seats=8),
        replace(BIRCH, orchestrator="orch-paris-2", price=Price.parse("0.3 gwei/second"), latency=0.42311),
        replace(ALDER, offer_id=4, orchestrator="orch-oslo-14", state=State.DEGRADED, latency=1.2345),
        replace(CEDAR, orchestrator="orch-tokyo-3"),
    ]
    kept, refused = sift(candidates, tried=frozenset(), include=(), exclude=(), now=NOW)
    text = json.dumps(pack(ranked(*kept), [replace(DEAR, orchestrator="orch-rome-7"), *refused], DRAWS))
    assert (len(kept), len(refused)) == (3, 1)
    assert len(text.replace(" ", "")) <= 340


def test_it_tells_every_term_of_every_candidate() -> None:
    """R27: what was weighed, in the words of `explain`."""
    known = replace(
        *(ALDER,),
        price=Price.parse("1/3 wei/second"),
        latency=0.12345,
        failure=0.012345,
        in_flight=2,
        seats=4,
        share=0.25,
        stale=True,
        poor_fit=True,
        flags=frozenset({"contention", "cold_over_10s"}),
    )
    choice = ranked(known)
    assert unpack(stored(choice, [])) == {
        "candidates": [
            {
                "orchestrator": "alder",
                "class": "second",
                "terms": {
                    "price": "1/3 wei/second",
                    "units": 0.05,
                    "latency_ms": 123.5,
                    "value_of_second_wei": VALUE,
                    "failure": 0.0123,
                    "reputation": 100,
                    "adjusted_wei": round(choice[0].adjusted),
                    "state": "healthy",
                    "warm": True,
                    "in_flight": 2,
                    "seats": 4,
                    "share": 0.25,
                    "against": ["stale", "poor_fit", "contention"],
                },
            }
        ],
        "refused": [],
        "draws": [0.1235, 0.5, 0.9877],
    }


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("place", Rank)
def test_it_knows_every_name_there_is(place: Rank, state: State, unit: Unit) -> None:
    candidate = replace(ALDER, state=state, price=Price(7, 2, unit))
    force_setattr(candidate, "order", (0.0, 7.0, False, 1, place))
    (told,) = unpack(stored([candidate], []))["candidates"]
    assert told["class"] == place.name.lower()
    assert (told["terms"]["state"], told["terms"]["price"]) == (state.value, f"3.5 wei/{unit}")


def test_it_keeps_the_order() -> None:
    choice = ranked(ALDER, BIRCH)
    told = unpack(stored(choice, [DEAR]))
    assert [each["orchestrator"] for each in told["candidates"]] == [each.orchestrator for each in choice]


def reasons() -> list[Refused]:
    """Every refusal that `sift` has, as it words them now."""
    candidates = [
        CEDAR,
        replace(CEDAR, cause=None, down_until=None),
        replace(CEDAR, cause=OutcomeClass.REJECTED, down_until=None),
        replace(CEDAR, cause=OutcomeClass.API_MISMATCH),
        replace(ALDER, claimed=False),
        replace(ALDER, busy_until=NOW + 3.25),
        replace(ALDER, in_flight=2),
    ]
    _, unfit = sift(candidates, tried=frozenset(), include=(), exclude=(), now=NOW)
    _, tried = sift([ALDER], tried=frozenset([1]), include=(), exclude=(), now=NOW)
    _, excluded = sift([ALDER], tried=frozenset(), include=(), exclude=[ALDER.service_uri], now=NOW)
    _, other = sift([ALDER], tried=frozenset(), include=["https://x"], exclude=(), now=NOW)
    return [*unfit, *tried, *excluded, *other, DEAR]


@pytest.mark.parametrize("refused", reasons(), ids=lambda each: f"{each.why}: {each.detail}")
def test_it_keeps_a_usual_reason_as_a_number_and_its_words(refused: Refused) -> None:
    """So the sentences here are those that are said."""
    packed = stored([], [refused])
    assert isinstance(packed["r"][0][1], int)
    assert unpack(packed)["refused"] == [
        {"orchestrator": refused.orchestrator, "reason": refused.why.value, "detail": refused.detail}
    ]


@pytest.mark.parametrize("detail", ["", "something new {}", "down after {0}, for long", "line\nbreak"])
def test_it_keeps_any_other_reason_whole(detail: str) -> None:
    refused = Refused(1, "alder", Why.DOWN, detail)
    (told,) = unpack(stored([], [refused]))["refused"]
    assert told == {"orchestrator": "alder", "reason": "down", "detail": detail}


def test_it_reads_what_it_wrote_before() -> None:
    """The format is on disk: a place in a list never comes to mean something else."""
    old = {
        "d": [0.25, 0.5, 0.75],
        "s": 300,
        "c": [
            ["alder", 1, 2, 1000, 0.5, 123.4, 0.01, 530, 1, 2, 8],
            ["birch", "new", "odd", 3, 1, 2.5, 0, 9, 0, 0, 1],
        ],
        "r": [["cedar", 0, "5000", "1000"], ["douglas", 10, "timeout", "4.2"], ["elm", "sulking", "why not"]],
    }
    told = unpack(old)
    first, second = told["candidates"]
    assert (first["class"], first["terms"]["state"], first["terms"]["price"]) == (
        *("second", "degraded"),
        "1000 wei/second",
    )
    assert (second["class"], second["terms"]["state"], second["terms"]["share"]) == ("new", "odd", 1.0)
    assert [(each["reason"], each["detail"]) for each in told["refused"]] == [
        ("price_ceiling", "5000 wei/second is above the ceiling of 1000 wei/second"),
        ("down", "down after timeout, for 4.2 s more"),
        ("sulking", "why not"),
    ]
    assert RANKS[:4] == ("ready", "second", "probation", "last_resort")
    assert STATES[:5] == ("unknown", "healthy", "degraded", "down", "probation")
    assert UNITS[:3] == ("second", "pixel", "request")
    assert Ranking._fields[:14] == (
        *("orchestrator", "rank", "state", "wei", "quantity", "latency_ms", "failure", "adjusted_wei"),
        *("warm", "in_flight", "seats", "units", "unit", "share"),
    )
    assert SENTENCES[16] == ("no_seat", "{} in flight, {} allowed")


def test_it_says_nothing_of_what_was_not_kept() -> None:
    assert unpack({}) == {"candidates": [], "refused": [], "draws": []}


def test_it_samples_by_the_request_id() -> None:
    """The same ones every time; as many as were asked for; none and all are exact."""
    ids = [f"{number:032x}" for number in range(2000)]
    tenth = [each for each in ids if is_sampled(each, 0.1)]
    assert tenth == [each for each in ids if is_sampled(each, 0.1)]
    assert 140 < len(tenth) < 260
    assert set(tenth) <= {each for each in ids if is_sampled(each, 0.5)}
    assert not any(is_sampled(each, 0.0) for each in ids)
    assert all(is_sampled(each, 1.0) for each in ids)
