"""The scorecard of a trial: every point, its verdict, and whose reputation suffers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from orchestrators.core.outcome import Outcome, OutcomeClass
from orchestrators.core.price import Price
from orchestrators.core.reputation import Kind
from orchestrators.core.scorecard import (
    Evidence,
    Point,
    Scorecard,
    Step,
    Verdict,
    mark,
    may_be_called,
    percentile,
)

OK = Outcome(OutcomeClass.OK, status=200, latency=0.1)
TEN = Price.parse("10 wei/second")


def fault(cls: OutcomeClass, detail: str = "") -> Outcome:
    return Outcome(cls, detail=detail)


def took(seconds: float) -> Outcome:
    return structs.replace(OK, latency=seconds)


BUSY, CRASH = fault(OutcomeClass.BUSY), fault(OutcomeClass.CONTAINER_CRASH)
MISMATCH = fault(OutcomeClass.API_MISMATCH, "an empty body")

GOOD = Evidence(
    look=Outcome(OutcomeClass.OK, status=200),
    price=TEN,
    target=1.0,
    calls=(OK,) * 9,
    waking=1,
    woke_after=0.1,
    steps=(Step(2, (OK,) * 2), Step(4, (OK,) * 4)),
    claimed=4,
    ceilings=(TEN,),
)


def point(name: str, seen: Evidence) -> Point:
    (found,) = [each for each in mark(seen).points if each.name == name]
    return found


def names(seen: Evidence) -> list[str]:
    return [each.name for each in mark(seen).points]


def test_a_good_offer_passes_every_point() -> None:
    card = mark(GOOD)
    assert [each.name for each in card.points] == [
        *("answers", "contract", "cold start", "latency", "steadiness", "concurrency", "capacity", "price")
    ]
    assert {each.verdict for each in card.points} == {card.verdict} == {Verdict.PASS}
    assert card.harms == ()
    assert all(each.sentence.endswith(".") for each in card.points)


def test_the_whole_is_as_good_as_its_worst_point() -> None:
    passed, warned, failed = (Point(each, each, "") for each in (Verdict.PASS, Verdict.WARN, Verdict.FAIL))
    assert Scorecard((passed, warned)).verdict is Verdict.WARN
    assert Scorecard((failed, warned, passed)).verdict is Verdict.FAIL
    assert Scorecard((failed, warned, passed)).wrong == (failed, warned)


def test_one_kind_of_harm_counts_once() -> None:
    first, second = (Point(name, Verdict.FAIL, "", Kind.FAILED_TRIAL) for name in ("answers", "concurrency"))
    assert Scorecard((first, second)).harms == (first,)


# --- answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "harm"), [(OutcomeClass.UNREACHABLE, Kind.FAILED_TRIAL), (OutcomeClass.REJECTED, None)]
)
def test_it_fails_whom_it_cannot_reach(cls: OutcomeClass, harm: Kind | None) -> None:
    seen = Evidence(look=fault(cls, "nobody listens"), price=None, target=1.0)
    assert names(seen) == ["answers"]
    assert point("answers", seen) == Point(
        "answers", Verdict.FAIL, f"Nobody to try: {cls} (nobody listens).", harm
    )


@pytest.mark.parametrize(
    ("cls", "harm"),
    [
        (OutcomeClass.GPU_OOM, Kind.FAILED_TRIAL),
        (OutcomeClass.CLIENT_ERROR, None),  # it is right to refuse a bad sample request
        (OutcomeClass.NOT_CLAIMED, None),
        (OutcomeClass.BUSY, None),
    ],
)
def test_it_fails_without_one_good_answer(cls: OutcomeClass, harm: Kind | None) -> None:
    seen = replace(GOOD, calls=(fault(cls),), woke_after=None, steps=())
    assert (point("answers", seen).verdict, point("answers", seen).harm) == (Verdict.FAIL, harm)
    assert names(seen) == ["answers", "price"]


@pytest.mark.parametrize(
    ("bad", "verdict"), [((CRASH,), Verdict.WARN), ((BUSY, BUSY), Verdict.WARN), ((CRASH, CRASH), Verdict.FAIL)]
)
def test_it_excuses_one_fault_and_other_peoples_work(bad: tuple[Outcome, ...], verdict: Verdict) -> None:
    found = point("answers", replace(GOOD, calls=(OK, *bad, OK, OK)))
    assert found.verdict is verdict
    assert (found.harm is Kind.FAILED_TRIAL) is (verdict is Verdict.FAIL)


# --- contract ----------------------------------------------------------------------------------------


def test_one_wrong_answer_fails_the_contract() -> None:
    """R56, R57."""
    found = point("contract", replace(GOOD, calls=(OK, MISMATCH)))
    assert (found.verdict, found.harm) == (Verdict.FAIL, Kind.MISMATCH)
    assert "api_mismatch (an empty body)" in found.sentence
    assert point("answers", replace(GOOD, calls=(OK, MISMATCH))).verdict is Verdict.PASS, "it did answer"
    among_many = replace(GOOD, steps=(Step(2, (OK, MISMATCH)),))
    assert point("contract", among_many).verdict is Verdict.FAIL


# --- cold start --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(3.0, Verdict.PASS), (10.0, Verdict.PASS), (10.1, Verdict.WARN)]
)
def test_a_long_start_is_a_remark_and_no_fault(seconds: float, verdict: Verdict) -> None:
    """R50, R53."""
    loading = fault(OutcomeClass.COLD_START)
    seen = replace(GOOD, calls=(loading, OK, OK, OK, OK), waking=2, woke_after=seconds, woke_cold=True)
    assert point("cold start", seen).verdict is verdict
    assert point("answers", seen).verdict is Verdict.PASS
    assert len(seen.warm) == 3, "what it took to start is no warm latency"


def test_one_that_is_warm_is_told_by_its_record() -> None:
    assert point("cold start", GOOD).sentence == "Warm already: the first answer took 100 ms."
    assert "on record took 12.0 s" in point("cold start", replace(GOOD, cold_before=12.0)).sentence
    assert point("cold start", replace(GOOD, cold_before=12.0)).verdict is Verdict.WARN


# --- warm --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latencies", "verdict"),
    [
        ([0.9] * 9, Verdict.PASS),
        ([0.9] * 8 + [1.0], Verdict.WARN),  # R32: the target itself is slow
        ([4.0] * 9, Verdict.WARN),
        ([4.1] * 9, Verdict.FAIL),
    ],
)
def test_latency_is_held_against_the_profiles_target(latencies: list[float], verdict: Verdict) -> None:
    """R32: slow is ranked later; far too slow is not let in."""
    assert point("latency", replace(GOOD, calls=tuple(map(took, latencies)))).verdict is verdict


@pytest.mark.parametrize(
    ("latencies", "verdict"),
    [
        ([0.2] * 8, Verdict.PASS),
        ([0.1, 0.6] * 4, Verdict.WARN),  # R35
        ([0.001, 0.05] * 4, Verdict.PASS),  # noise, against a target of a second
    ],
)
def test_uneven_work_is_a_remark(latencies: list[float], verdict: Verdict) -> None:
    assert point("steadiness", replace(GOOD, calls=tuple(map(took, latencies)))).verdict is verdict


def test_two_calls_are_no_series() -> None:
    assert "steadiness" not in names(replace(GOOD, calls=(OK, OK)))


def test_without_warm_calls_nothing_is_said_of_them() -> None:
    seen = replace(GOOD, calls=(OK,), woke_cold=True)
    assert not {"latency", "steadiness", "concurrency"} & set(names(seen))


# --- concurrency and capacity --------------------------------------------------------------------------


def test_a_fault_under_load_fails() -> None:
    found = point("concurrency", replace(GOOD, steps=(Step(2, (OK, fault(OutcomeClass.GPU_OOM))),)))
    assert (found.verdict, found.harm) == (Verdict.FAIL, Kind.FAILED_TRIAL)
    assert "1 of 2 calls at once failed: gpu_oom" in found.sentence


@pytest.mark.parametrize(("seconds", "verdict"), [(0.9, Verdict.PASS), (1.1, Verdict.WARN)])
def test_calls_that_wait_for_each_other_are_a_remark(seconds: float, verdict: Verdict) -> None:
    assert point("concurrency", replace(GOOD, steps=(Step(2, (took(seconds),) * 2),))).verdict is verdict


@pytest.mark.parametrize(("left_over", "verdict"), [(4, Verdict.FAIL), (None, Verdict.FAIL), (1, Verdict.WARN)])
def test_claiming_slots_that_are_not_there_is_dishonest(left_over: int | None, verdict: Verdict) -> None:
    seen = replace(GOOD, steps=(Step(2, (OK, BUSY)),), claimed_after=left_over)
    found = point("capacity", seen)
    assert found.verdict is verdict
    assert (found.harm is Kind.DISHONEST_CAPACITY) is (verdict is Verdict.FAIL)
    assert point("concurrency", seen).verdict is Verdict.WARN


def test_a_protocol_without_slots_is_not_judged_by_them() -> None:
    assert "capacity" not in names(replace(GOOD, claimed=None))


def test_no_free_slot_is_told() -> None:
    assert point("capacity", replace(GOOD, claimed=0, steps=())).verdict is Verdict.WARN
    unanswered = replace(GOOD, claimed=0, steps=(), calls=(fault(OutcomeClass.NOT_CLAIMED),), woke_after=None)
    found = point("capacity", unanswered)
    assert (found.verdict, found.harm) == (Verdict.FAIL, None)


def test_one_slot_needs_no_ramp() -> None:
    seen = replace(GOOD, claimed=1, steps=())
    assert "claimed: 1; calls taken at once: 1." in point("capacity", seen).sentence
    assert "concurrency" not in names(seen)


# --- price -------------------------------------------------------------------------------------------

ELEVEN, NINE, PIXELS = map(Price.parse, ("11 wei/second", "9 wei/second", "99 wei/pixel"))


@pytest.mark.parametrize(
    ("ceilings", "verdict", "words"),
    [
        ((TEN,), Verdict.PASS, "within the ceiling of 10 wei/second"),
        ((None,), Verdict.PASS, "there is no ceiling"),
        ((NINE, ELEVEN), Verdict.WARN, "above the ceiling of some tiers"),
        ((NINE,), Verdict.FAIL, "above what anybody may pay (9 wei/second)"),
        ((PIXELS,), Verdict.FAIL, "above what anybody may pay"),
        ((), Verdict.WARN, "no ceiling is decided"),
    ],
)
def test_the_price_is_held_against_every_ceiling(
    ceilings: tuple[Price | None, ...], verdict: Verdict, words: str
) -> None:
    """R13: one wei above is above."""
    found = point("price", replace(GOOD, ceilings=ceilings))
    assert (found.verdict, found.harm) == (verdict, None)
    assert words in found.sentence
    assert may_be_called(TEN, ceilings) is (verdict is not Verdict.FAIL)


def test_where_nothing_is_decided_the_suggestion_is_shown_and_free_is_free() -> None:
    undecided = replace(GOOD, ceilings=(), suggestion="300 gwei/second")
    assert "suggests 300 gwei/second" in point("price", undecided).sentence
    free = replace(undecided, price=Price.parse("0 wei/second"))
    assert point("price", free).verdict is Verdict.PASS


def test_no_price_is_no_price_to_pay() -> None:
    assert point("price", replace(GOOD, price=None, calls=(), woke_after=None)).verdict is Verdict.FAIL
    assert not may_be_called(None, (None,))


@pytest.mark.parametrize(("share", "value"), [(0.5, 2.0), (0.95, 4.0), (1.0, 4.0), (0.01, 1.0)])
def test_percentiles_are_values_that_were_there(share: float, value: float) -> None:
    assert percentile([3.0, 1.0, 4.0, 2.0], share) == value
