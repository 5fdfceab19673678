"""Health follows traffic, per orchestrator and capability, and every gateway on the database hears of it."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import F, Sum
from django.test import Client as Browser
from django.utils import timezone

from orchestrators.core.health import State
from orchestrators.models import Capability, HealthSnapshot, Offer, OfferHealth, Revision
from orchestrators.simulator import Container, Simulator
from routing.models import Attempt, UsageHour
from tests.routing.inference.scenes import (
    DEPTH,
    PICTURE,
    ask,
    attempts,
    depth_by,
    health,
    only_cheapest_first,
    orchestrator,
)
from tests.support.gateway import Gateway, in_thread

POSE: dict[str, Any] = {"slug": "pose", "profile": "per-frame", "price_ceiling": "none"}


def depth(price: int, **fields: Any) -> Container:
    return Container("depth", price=price, **fields)


async def both_by(gateway: Gateway, *simulators: Simulator) -> None:
    """`depth` and `pose`, offered by all of these, probed once."""
    await gateway.apply(
        {
            "capabilities": [DEPTH, POSE],
            "orchestrators": [orchestrator(each, "depth", "pose") for each in simulators],
        }
    )
    await gateway.probe()


async def break_down(gateway: Gateway, simulator: Simulator) -> None:
    """Two faults in a row, of this one alone."""
    simulator.fault("depth", "gpu_oom", times=2)
    answers = [await ask(gateway, "depth", simulator) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [502, 502]


def state_of(gateway: Gateway, row: OfferHealth) -> State:
    return gateway.runtime.board.live(row.offer_id).health.state


def opened(url: str) -> str:
    """A page of the admin, as a person sees it."""
    browser = Browser()
    browser.force_login(User.objects.get_or_create(username="ada", is_staff=True, is_superuser=True)[0])
    answer = browser.get(url)
    assert answer.status_code == 200
    return answer.content.decode()


def lately_told(slug: str) -> str:
    return opened(f"/admin/orchestrators/capability/{Capability.objects.get(slug=slug).pk}/change/")


async def test_it_keeps_one_history_per_orchestrator_and_capability(gateway: Gateway) -> None:
    """R10: a probe leaves one snapshot each; traffic adds one per change of state, to that offer alone."""
    async with (
        Simulator("alder", capabilities=[depth(10), Container("pose")]) as alder,
        Simulator("birch", capabilities=[depth(20), Container("pose")]) as birch,
    ):
        await both_by(gateway, alder, birch)
        pairs = ("offer__orchestrator__name", "offer__capability__slug")
        probed = await in_thread(lambda: sorted(HealthSnapshot.objects.values_list(*pairs)))
        await ask(gateway, "depth", alder)
        await ask(gateway, "depth", alder)
        await gateway.drained()

    assert probed == [("alder", "depth"), ("alder", "pose"), ("birch", "depth"), ("birch", "pose")]
    columns = (*pairs, "before", "after")  # not by which outcome: a busy machine's first answer is a cold start
    changes = await in_thread(
        lambda: list(HealthSnapshot.objects.filter(source="traffic").values_list(*columns))
    )
    assert changes == [("alder", "depth", "unknown", "healthy")]


async def test_it_counts_errors_per_capability(gateway: Gateway) -> None:
    """R11, R72: after 3 failures and 7 successes rows and admin say 30 % for that one, 0 % for another."""
    async with Simulator("alder", capabilities=[depth(10), Container("pose")]) as alder:
        await both_by(gateway, alder)
        alder.fault("depth", "gpu_oom", times=3)
        statuses = [(await ask(gateway)).status_code for _ in range(10)]
        for _ in range(5):
            await gateway.post("/v1/capabilities/pose", json=PICTURE)
        await gateway.drained()

    assert statuses == [502] * 3 + [200] * 7

    def error_rates() -> tuple[dict[str, float], dict[str, float]]:
        hours = UsageHour.objects.values("capability").annotate(all=Sum("requests"), bad=Sum("failures"))
        per_hour = {row["capability"]: row["bad"] / row["all"] for row in hours}
        tried = {slug: Attempt.objects.filter(capability=slug) for slug in ("depth", "pose")}
        return per_hour, {
            slug: rows.exclude(outcome="ok").count() / rows.count() for slug, rows in tried.items()
        }

    expected = {"depth": 0.3, "pose": 0.0}
    assert await in_thread(error_rates) == (expected, expected)
    told = {slug: await in_thread(lately_told, slug) for slug in ("depth", "pose", "image-to-image")}
    for slug, share in (("depth", "30.0"), ("pose", "0")):
        for window in ("hour", "day", "week"):
            assert re.search(rf"{window}: {share} % errors, p95 [\d.]+ m?s", told[slug]), told[slug]
    assert "hour: no calls; day: no calls; week: no calls" in told["image-to-image"]


async def test_a_wrong_answer_to_a_client_costs_reputation(gateway: Gateway) -> None:
    """R57: not in trials alone: lower than before, shown in the admin, and between equals it goes last."""
    only_cheapest_first(gateway)
    async with (
        Simulator("cedar", capabilities=[depth(10), Container("pose", kind="depth", price=10)]) as cedar,
        Simulator("alder", capabilities=[depth(10), Container("pose", kind="depth", price=10)]) as alder,
    ):
        await both_by(gateway, cedar, alder)
        # however long either takes, they are equals
        await gateway.apply({"capabilities": [POSE | {"profile": "chained", "value_of_second": 0}]})
        for each in (cedar, alder):
            await ask(gateway, "pose", each)
        cedar.fault("depth", "wrong_schema", times=1)
        answers = [await ask(gateway, "depth", cedar)]
        await gateway.drained()
        await gateway.runtime.refresh()
        offers = {each.orchestrator: each.reputation for each in gateway.runtime.table.offers_of("pose")}
        chosen = cedar.calls["pose"], alder.calls["pose"]
        answers += [await ask(gateway, "pose") for _ in range(3)]
        chosen = cedar.calls["pose"] - chosen[0], alder.calls["pose"] - chosen[1]

    assert [answer.status_code for answer in answers] == [502, 200, 200, 200]
    assert offers == {"cedar": pytest.approx(85, abs=0.1), "alder": 100}
    assert chosen == (0, 3)
    page = await in_thread(opened, "/admin/orchestrators/orchestrator/")
    assert re.findall(r'field-reputation">(\d+)<', page) == ["100", "85"]


async def test_it_avoids_a_degraded_offer_and_still_has_it(gateway: Gateway) -> None:
    """R14, R47, R75, G12: a degraded offer is passed over for a dearer one; alone it serves."""
    only_cheapest_first(gateway)
    async with (
        Simulator("birch", capabilities=[depth(1)]) as birch,
        Simulator("alder", capabilities=[depth(1000)]) as alder,
    ):
        await depth_by(gateway, birch, alder)
        for each in (birch, alder):
            await ask(gateway, "depth", each)
        await gateway.drained()
        degraded = {"state": "degraded", "reason": "a person says so", "epoch": F("epoch") + 1}
        rows = OfferHealth.objects.filter(offer__orchestrator__name="birch")
        await in_thread(rows.update, **degraded)
        await gateway.runtime.refresh()
        served = birch.calls["depth"]
        preferred = [(await ask(gateway)).status_code for _ in range(5)]
        passed_over = birch.calls["depth"] == served
        await alder.stop()
        remaining = await ask(gateway)

    assert preferred == [200] * 5
    assert passed_over
    assert remaining.status_code == 200
    assert birch.calls["depth"] == served + 1


async def test_it_prefers_a_warm_offer_to_one_last_seen_cold(gateway: Gateway) -> None:
    """R33, R47: a cold start sets a cheap offer behind a dear warm one, and does not exclude it."""
    only_cheapest_first(gateway)
    async with (
        Simulator("birch", capabilities=[depth(1)]) as birch,
        Simulator("alder", capabilities=[depth(1000)]) as alder,
    ):
        await depth_by(gateway, birch, alder, profile="warm")
        birch.fault("depth", "cold_start", seconds=1.6)  # over the profile's second
        await ask(gateway, "depth", birch)
        await ask(gateway, "depth", alder)
        chosen = [(await ask(gateway)).status_code for _ in range(3)]
        calls = birch.calls["depth"], alder.calls["depth"]
        await alder.stop()
        again = await ask(gateway)
        await gateway.drained()

    assert chosen == [200] * 3
    assert calls == (1, 4)
    assert again.status_code == 200
    assert (await attempts())[0] == ("birch", "cold_start")
    assert (await health("birch")).state == "healthy"  # a cold start is no fault


async def test_it_judges_each_capability_of_an_orchestrator_alone(gateway: Gateway) -> None:
    """R59, R60: depth goes down at Alder, pose of the same Alder stays healthy and keeps its traffic."""
    only_cheapest_first(gateway)
    async with (
        Simulator("alder", capabilities=[depth(1), Container("pose", price=1)]) as alder,
        Simulator("birch", capabilities=[depth(900), Container("pose", price=900)]) as birch,
    ):
        await both_by(gateway, alder, birch)
        alder.fault("depth", "crash")
        depths = [(await ask(gateway)).status_code for _ in range(4)]
        poses = [await gateway.post("/v1/capabilities/pose", json=PICTURE) for _ in range(4)]
        await gateway.drained()

    assert depths == [200] * 4
    assert [answer.json() for answer in poses] == [PICTURE] * 4
    assert (alder.calls["pose"], birch.calls["pose"]) == (4, 0)
    assert birch.calls["depth"] == 4
    assert (await health("alder", "pose")).state == "healthy"
    assert (await health("birch", "depth")).state == "healthy"


async def test_it_tells_other_gateways_of_a_change(gateway: Gateway) -> None:
    """A down is one row and one snapshot, and a second gateway on the database obeys it."""
    only_cheapest_first(gateway)
    async with (
        Simulator("cedar", capabilities=[depth(1)]) as cedar,
        Simulator("alder", capabilities=[depth(1000)]) as alder,
        Gateway() as second,
    ):
        only_cheapest_first(second)
        second.key = gateway.key
        await depth_by(gateway, cedar, alder)
        await second.runtime.refresh()
        await break_down(gateway, cedar)
        await gateway.drained()
        row = await health("cedar")
        await second.runtime.refresh()
        calls = cedar.calls["depth"]
        answer = await ask(second)

    assert (row.state, row.cause, row.streak, row.epoch) == ("down", "gpu_oom", 2, 1)
    assert row.until is not None and row.until > timezone.now() - timedelta(seconds=5)
    changes = HealthSnapshot.objects.filter(offer_id=row.offer_id, source="traffic")
    assert await in_thread(lambda: list(changes.values_list("before", "after"))) == [("unknown", "down")]
    assert state_of(gateway, row) is state_of(second, row) is State.DOWN
    assert answer.status_code == 200
    assert cedar.calls["depth"] == calls


async def test_it_hears_that_a_probe_succeeded(gateway: Gateway) -> None:
    """A sample request's success ends a down, in the gateway too."""
    sample = {"content_type": "application/json", "path": "", "body": PICTURE}
    async with Simulator("cedar", capabilities=[depth(1)]) as cedar:
        await depth_by(gateway, cedar, sample_request=sample)
        await break_down(gateway, cedar)
        await gateway.drained()
        down = await health("cedar")
        await gateway.probe()
        cured = await health("cedar")

    assert (down.state, cured.state) == ("down", "healthy")
    assert state_of(gateway, cured) is State.HEALTHY


async def test_it_has_the_neighbours_of_an_exhausted_memory_probed(gateway: Gateway) -> None:
    """R64: out of memory evicts other models, so what else that orchestrator serves is probed at once."""
    sample = {"content_type": "application/json", "path": "", "body": PICTURE}
    async with (
        Simulator("cedar", capabilities=[depth(1), Container("pose")]) as cedar,
        Simulator("alder", capabilities=[depth(1000), Container("pose")]) as alder,
    ):
        await both_by(gateway, cedar, alder)
        await gateway.apply({"capabilities": [POSE | {"sample_request": sample}]})
        await gateway.probe()
        before = {name: await health(name, "pose") for name in ("cedar", "alder")}
        cedar.fault("depth", "gpu_oom")
        assert (await ask(gateway)).status_code == 200
        await gateway.drained()
        after = {name: await health(name, "pose") for name in ("cedar", "alder")}
        sampled = cedar.calls["pose"]
        await gateway.probe()

    now = timezone.now()
    assert before["cedar"].next_probe_at > now
    assert after["cedar"].next_probe_at <= now
    assert after["alder"].next_probe_at == before["alder"].next_probe_at
    assert (await health("cedar", "depth")).next_probe_at > now
    assert cedar.calls["pose"] == sampled + 1  # with its sample request, though that was sent just before


async def test_a_database_that_goes_back_in_time_is_believed(gateway: Gateway) -> None:
    """A backup restored in place, or a standby that lagged behind: its epochs are lower than ours for the rest
    of their days."""
    async with Simulator("alder", capabilities=[depth(10), Container("pose")]) as alder:
        await both_by(gateway, alder)
        backup = await Revision.objects.aget()
        row = await health("alder")
        await break_down(gateway, alder)
        await gateway.drained()
        await gateway.runtime.refresh()
        assert state_of(gateway, row) is State.DOWN
        await in_thread(row.save)
        await Revision.objects.aupdate(policy=backup.policy, health=backup.health)
        await gateway.runtime.refresh()
        assert state_of(gateway, row) is State(row.state)


async def test_news_do_not_wait_for_a_long_journal(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an hour without a database a worker has minutes to drain: meanwhile the others hear of health."""
    async with Simulator("alder", capabilities=[depth(10), Container("pose")]) as alder:
        await both_by(gateway, alder)
        more = True
        monkeypatch.setattr(gateway.runtime.journal, "drain", lambda: more)
        draining = asyncio.create_task(gateway.runtime.drain())
        await break_down(gateway, alder)
        async with asyncio.timeout(10):
            while (await health("alder")).state != State.DOWN:
                assert not draining.done()
        more = False
        await draining


async def test_an_offer_that_comes_back_is_as_ill_as_it_was(gateway: Gateway) -> None:
    """Disabled, it is forgotten; enabled again, it must not pass for one that nobody has tried."""
    async with Simulator("alder", capabilities=[depth(10), Container("pose")]) as alder:
        await both_by(gateway, alder)
        await break_down(gateway, alder)
        await gateway.drained()
        row = await health("alder")
        for mode in ("disabled", "active"):
            await Offer.objects.filter(pk=row.offer_id).aupdate(mode=mode)
            await gateway.runtime.refresh()
        assert state_of(gateway, row) is State.DOWN
