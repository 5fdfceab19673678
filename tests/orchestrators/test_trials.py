"""Trials over real sockets: what they measure, what they decide, and what gets traffic (R53)."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.db import connection

from orchestrators.core.price import Price
from orchestrators.core.reputation import Kind
from orchestrators.models import (
    ConfigRevision,
    HealthSnapshot,
    Mode,
    Offer,
    OfferHealth,
    ReputationEvent,
    Revision,
    RoutingProfile,
    Trial,
)
from orchestrators.prober import selected
from orchestrators.prober.leases import claim, make_rows, moment
from orchestrators.reputation import note, scores
from orchestrators.simulator import Container, Simulator
from orchestrators.simulator.faults import QUIET, Fault
from orchestrators.trial import Order, Result, Summary, run, running, untried, watch
from tests.orchestrators.scenes import (
    ALDER,
    BIRCH,
    CEDAR,
    capability,
    health,
    in_thread,
    offer,
    orchestrator,
    probe,
    register,
    simulator,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("shipped")]

WITHIN = (Price.parse("100 wei/second"),)


def order(**fields: Any) -> Order:
    return Order(**{"who": "ada", "ceilings": lambda capability_id: WITHIN, **fields})


def on_trial(*simulators: Simulator, **fields: Any) -> None:
    """Each with its offers in mode trial."""
    register(*simulators)
    Offer.objects.update(mode=Mode.TRIAL, **fields)


def tried(**fields: Any) -> Result:
    """The one offer there is."""
    results: list[Result] = []
    run(selected(), order(**fields), on_result=results.append)
    (result,) = results
    return result


def points(result: Result) -> dict[str, str]:
    return {each.name: each.verdict.value for each in result.card.points}


def sentence(result: Result, name: str) -> str:
    (found,) = [each.sentence for each in result.card.points if each.name == name]
    return found


class FullAt:
    """In place of a capability's script: refuses whoever comes while that many are there already."""

    fault = QUIET

    def __init__(self, of: Simulator, name: str, most: int) -> None:
        self._registration, self._most = of[name], most

    def at_job(self, now: float) -> Fault:
        return Fault.of("busy") if self._registration.load >= self._most else QUIET

    def at_look(self, now: float) -> Fault:
        return QUIET


# --- what is measured -------------------------------------------------------------------------------


async def test_it_measures_cold_and_warm_and_lets_a_good_offer_in() -> None:
    """R53."""
    cold = Container("depth", price=10, fault="cold_start:seconds=1.2")
    async with simulator(ALDER, cold) as alder:
        await in_thread(on_trial, alder, share=0.2)
        result = await in_thread(tried)
    assert set(points(result).values()) == {"pass"}, result.card
    assert list(points(result)) == [
        *("answers", "contract", "cold start", "latency", "steadiness", "concurrency", "capacity", "price")
    ]
    trial = await Trial.objects.aget()
    assert trial.cold_ms is not None and 1200 <= trial.cold_ms < 6000
    assert trial.warm_ms is not None and trial.warm_p95_ms is not None and trial.warm_ms < 1000
    assert (trial.verdict, trial.who, trial.capacity, trial.calls) == ("pass", "ada", 4, 1 + 8 + 2 + 4)
    assert trial.price == Price.parse("10 wei/second") and alder.calls["depth"] == trial.calls
    row = await Offer.objects.aget()
    assert (row.mode, row.share) == (Mode.ACTIVE, 0.2)
    change = await ConfigRevision.objects.aget()
    assert (change.who, change.why, change.via) == ("ada", "passed its trial", "command")
    assert change.summary == "active: alder / depth"
    assert not await ReputationEvent.objects.aexists()


async def test_it_leaves_health_and_history_as_a_probe_would() -> None:
    async with simulator(ALDER, Container("depth", price=10, fault="cold_start:seconds=1.2")) as alder:
        await in_thread(on_trial, alder)
        await in_thread(tried)
    row = await in_thread(health, ALDER)
    assert row.state == "healthy" and row.last_success_at is not None and row.sampled_at is not None
    assert row.cold_ms is not None and row.cold_ms >= 1200
    assert row.warm_ms is not None and row.warm_ms < 1000
    assert row.lease_until is None and row.next_probe_at is not None
    shot = await HealthSnapshot.objects.aget()
    assert (shot.source, shot.before, shot.after) == ("trial", "unknown", "healthy")


async def test_it_waits_for_one_that_says_it_is_loading() -> None:
    async with simulator(ALDER, Container("depth", fault="cold_start:seconds=1,loading=true")) as alder:
        await in_thread(on_trial, alder)
        result = await in_thread(tried)
    assert result.card.verdict == "pass"
    assert result.trial.cold_ms is not None and result.trial.cold_ms >= 1000
    cold = (await in_thread(health, ALDER)).cold_ms
    assert cold == pytest.approx(result.trial.cold_ms), "the whole of it, not the last answer alone"


async def test_it_tells_who_is_slow_for_its_profile() -> None:
    """R32: a remark; ranking deals with it."""
    async with simulator(ALDER, Container("depth", latency=0.06)) as alder:
        await in_thread(on_trial, alder)
        per_frame = await RoutingProfile.objects.aget(slug="per-frame")
        await in_thread(capability, "depth", profile=per_frame)
        result = await in_thread(tried)
    assert points(result)["latency"] in ("warn", "fail") and "target is 50 ms" in sentence(result, "latency")


async def test_it_tries_a_container_that_has_no_orchestrator() -> None:
    async with simulator(ALDER, Container("depth"), protocol="direct") as alder:
        await in_thread(on_trial, alder)
        result = await in_thread(tried)
    assert result.activated and "capacity" not in points(result)
    assert alder.calls["depth"] == 1 + 8 + 2, "as many at once as the profile allows"


async def test_it_tries_a_runner_as_it_tries_byoc() -> None:
    """R53, with the slots that its list claims."""
    async with simulator(ALDER, Container("depth", capacity=2), protocol="live-runner") as alder:
        await in_thread(on_trial, alder)
        result = await in_thread(tried)
    assert result.activated and points(result)["capacity"] == "pass"
    assert points(result)["price"] == "pass"


async def test_a_priced_runner_does_not_pass() -> None:
    """It is asked to work for nothing and answers 402, which says why."""
    async with simulator(ALDER, Container("depth", price=10), protocol="live-runner") as alder:
        await in_thread(on_trial, alder)
        result = await in_thread(tried)
    assert not result.activated
    assert alder.calls["depth"] == 0


# --- what fails -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "failing", "kind"),
    [
        ("wrong_schema", "contract", Kind.MISMATCH),
        ("gpu_oom", "answers", Kind.FAILED_TRIAL),
        ("server_error:probability=0.6", "answers", Kind.FAILED_TRIAL),
        ("bad_input", "answers", None),
        ("credentials", "answers", None),
    ],
)
async def test_it_keeps_out_who_answers_badly(fault: str, failing: str, kind: Kind | None) -> None:
    """R53, R56, R57: no traffic, and a lower reputation if it is to blame."""
    async with simulator(CEDAR, Container("depth", fault=fault), seed=2) as cedar:
        await in_thread(on_trial, cedar)
        result = await in_thread(tried)
    assert points(result)[failing] == "fail" and not result.activated
    assert (await Offer.objects.aget()).mode == Mode.TRIAL
    assert not await ConfigRevision.objects.aexists()
    kinds = [each.kind async for each in ReputationEvent.objects.all()]
    assert kinds == ([] if kind is None else [kind])
    found = await in_thread(scores, time.time())
    assert (found.get(result.offer.orchestrator_id, 100.0) < 100) is (kind is not None)


async def test_it_does_not_call_who_asks_more_than_anybody_may_pay() -> None:
    """R13."""
    async with simulator(ALDER, Container("depth", price=101)) as alder:
        await in_thread(on_trial, alder)
        result = await in_thread(tried)
    assert points(result) == {"price": "fail"}
    assert "101 wei/second is above what anybody may pay (100 wei/second)" in sentence(result, "price")
    assert (alder.calls["depth"], alder.looks["depth"]) == (0, 1)
    assert not result.activated and not await ReputationEvent.objects.aexists()


async def test_it_finds_out_who_claims_slots_that_are_not_there() -> None:
    """It claims four and is busy at two."""
    async with simulator(CEDAR, Container("depth", capacity=4, latency=0.2)) as cedar:
        await in_thread(on_trial, cedar)
        cedar["depth"].script = FullAt(cedar, "depth", 1)  # type: ignore[assignment]
        result = await in_thread(tried)
    assert points(result)["capacity"] == "fail" and not result.activated
    assert "claimed 4 free slots and refused 2 calls at once" in sentence(result, "capacity")
    event = await ReputationEvent.objects.aget()
    assert event.kind == Kind.DISHONEST_CAPACITY and event.detail.startswith("trial: It claimed 4")
    assert (await in_thread(health, CEDAR)).state == "healthy", "busy is no fault"


async def test_nobody_there_is_a_trial_too() -> None:
    async with simulator(CEDAR) as cedar:
        await in_thread(on_trial, cedar)
    result = await in_thread(tried)
    assert points(result) == {"answers": "fail"} and "unreachable" in sentence(result, "answers")


def test_a_sample_request_that_is_none_is_nobodys_fault_but_ours() -> None:
    row = offer(orchestrator(ALDER), "depth", mode=Mode.TRIAL)
    capability("depth", sample_request={"content_type": "image/png", "body": "not base64!"})
    result = tried()
    assert points(result) == {"sample request": "fail"} and "base64" in sentence(result, "sample request")
    assert not ReputationEvent.objects.exists()
    assert OfferHealth.objects.get(offer=row).lease_until is None


# --- modes ------------------------------------------------------------------------------------------


async def test_an_orchestrator_on_trial_is_let_in_with_the_first_offer_that_passes() -> None:
    good, bad = Container("depth"), Container("echo", fault="gpu_oom")
    async with simulator(ALDER, good, bad) as alder:
        await in_thread(register, alder)
        await in_thread(orchestrator, ALDER, alder.service_uri, mode=Mode.TRIAL)
        results: list[Result] = []
        summary = await in_thread(run, selected(), order(), on_result=results.append)
    assert summary == Summary(tried=2)
    modes = {row.capability.slug: row.mode async for row in Offer.objects.select_related("capability")}
    assert modes == {"depth": Mode.ACTIVE, "echo": Mode.TRIAL}
    assert results[0].offer.orchestrator.name == ALDER
    assert (await in_thread(lambda: Offer.objects.first().orchestrator.mode)) == Mode.ACTIVE  # type: ignore[union-attr]


@pytest.mark.parametrize("mode", [Mode.ACTIVE, Mode.DISCOVERED, Mode.DRAINING])
async def test_a_pass_changes_no_mode_but_trial(mode: Mode) -> None:
    async with simulator(ALDER) as alder:
        await in_thread(register, alder)
        await Offer.objects.aupdate(mode=mode)
        result = await in_thread(tried)
    assert result.card.verdict == "pass" and not result.activated
    assert (await Offer.objects.aget()).mode == mode


# --- who is tried, and when -------------------------------------------------------------------------


async def test_only_new_offers_on_trial_that_are_claimed_are_tried_by_themselves() -> None:
    async with simulator(ALDER, Container("depth"), Container("echo")) as alder, simulator(BIRCH) as birch:
        await in_thread(register, alder, birch)
        assert not await in_thread(lambda: untried(selected()).exists()), "active ones have been decided on"
        await Offer.objects.filter(orchestrator__name=ALDER).aupdate(mode=Mode.TRIAL)
        assert not await in_thread(lambda: untried(selected()).exists()), "nobody has looked at them yet"
        alder.fault("echo", "no_capacity")
        await in_thread(probe)
        (fresh,) = await in_thread(lambda: list(untried(selected()).select_related("capability")))
        assert fresh.capability.slug == "depth"
        await in_thread(run, untried(selected()), order())
        assert not await in_thread(lambda: untried(selected()).exists()), "once"


async def test_it_leaves_a_row_that_a_prober_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LEASE_WAIT", 0.1)
    async with simulator(ALDER) as alder:
        await in_thread(on_trial, alder)
        row = await Offer.objects.aget()
        await in_thread(make_rows, selected())
        assert await in_thread(claim, row.pk, moment(time.time())) is not None
        summary = await in_thread(run, selected(), order())
    assert summary == Summary(left=1) and alder.looks.total() == 0


async def test_it_ends_soon_when_told_to_and_gives_the_row_back() -> None:
    async with simulator(CEDAR, Container("depth", fault="hang")) as cedar:
        await in_thread(on_trial, cedar)
        stop = threading.Event()
        timer = threading.Timer(0.3, stop.set)
        timer.start()
        started = time.monotonic()
        summary = await in_thread(run, selected(), order(), stop=stop)
        assert time.monotonic() - started < 4
    assert summary == Summary(unfinished=1)
    assert (await OfferHealth.objects.aget()).lease_until is None
    assert not await Trial.objects.aexists()


async def test_it_begins_none_after_its_time_is_up() -> None:
    async with simulator(ALDER) as alder:
        await in_thread(on_trial, alder)
        assert await in_thread(run, selected(), order(within=0.0)) == Summary(unfinished=1)
    assert alder.looks.total() == 0


async def test_it_watches_for_what_is_new() -> None:
    async with simulator(ALDER) as alder:
        await in_thread(on_trial, alder)
        await in_thread(probe)
        stop = threading.Event()
        told: list[str] = []

        def on_result(result: Result) -> None:
            told.append(result.told)
            stop.set()

        thread = threading.Thread(
            target=watch, args=(selected(), order()), kwargs={"stop": stop, "on_result": on_result}
        )
        await in_thread(thread.start)
        await in_thread(thread.join, 30)
    assert told == ["pass. It is active now."]


# --- reputation -------------------------------------------------------------------------------------


def test_the_same_trouble_counts_once_an_hour_and_moves_the_policy_number() -> None:
    """R57."""
    alder, birch = orchestrator(ALDER), orchestrator(BIRCH)
    depth, echo = offer(alder, "depth"), offer(alder, "echo")
    now, before = time.time(), Revision.objects.get(pk=1).policy
    assert scores(now) == {}
    assert note([depth.pk, 10**9], Kind.MISMATCH, "an empty body", now) == 1
    assert note([depth.pk], Kind.MISMATCH, "again", now + 60) == 0
    assert note([depth.pk, echo.pk], Kind.MISMATCH, "elsewhere", now + 120) == 1
    assert note([depth.pk], Kind.MISMATCH, "still", now + 3700) == 1
    after = scores(now + 3700)
    assert set(after) == {alder.pk} and birch.pk not in after
    assert after[alder.pk] < scores(now + 86_400)[alder.pk] < 100
    assert Revision.objects.get(pk=1).policy > before


async def test_an_offer_that_is_deleted_while_it_is_tried_costs_the_others_nothing() -> None:
    """Their results would be lost with it, and paid for again."""
    async with simulator(ALDER) as alder, simulator(BIRCH) as birch:
        await in_thread(on_trial, alder, birch)

        def delete() -> None:
            Offer.objects.filter(orchestrator__name=ALDER).delete()
            connection.close()

        def tell(text: str) -> None:
            if text.startswith(ALDER) and text.endswith("first call"):
                other = threading.Thread(target=delete)
                other.start()
                other.join()

        results: list[Result] = []
        summary = await in_thread(run, selected(), order(), on_result=results.append, tell=tell)
    assert [each.offer.orchestrator.name for each in results] == [BIRCH]
    assert (summary.tried, summary.unfinished) == (1, 1)
