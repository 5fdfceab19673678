"""Who is probed when, with several probers, spoilt rows, slow orchestrators and lost races."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection
from django.utils import timezone

from orchestrators.models import Advert, Capability, Offer, OfferHealth
from orchestrators.prober import Report, Settings, run, selected, watch
from orchestrators.prober.contact import Finding
from orchestrators.prober.leases import due, make_rows
from orchestrators.prober.network import Failure, Network, Patience
from orchestrators.prober.rounds import Prober
from orchestrators.prober.seats import Seats
from orchestrators.simulator import Container
from tests.orchestrators.scenes import (
    ALDER,
    BIRCH,
    CEDAR,
    capability,
    health,
    in_thread,
    probe,
    register,
    simulator,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("shipped")]
NOBODY = "0x" + "0" * 40


async def test_it_leaves_rows_that_another_prober_holds() -> None:
    async with simulator(ALDER, Container("depth", latency=0.3), Container("echo")) as alder:
        await in_thread(register, alder)

        def two_probers() -> tuple[int, int, int]:
            settings = Settings(concurrency=1)
            with Network(NOBODY) as first, Network(NOBODY) as second:
                one, other = Prober(first, settings), Prober(second, settings)
                make_rows(selected())
                one.add(selected())
                one.work(wait=0)
                assert one.under_way == 1
                other.add(selected())
                while len(other.seats):
                    other.work()
                while len(one.seats):
                    one.work()
                return one.summary.probed, other.summary.probed, other.summary.left

        probed, others, left = await in_thread(two_probers)
    assert (probed, others, left) == (2, 1, 1), "echo was probed by both, one after the other; depth by one"
    assert alder.calls["depth"] == 1
    assert not [row async for row in OfferHealth.objects.exclude(lease_until=None)]


async def test_it_takes_over_from_a_prober_that_died() -> None:
    async with simulator(ALDER) as alder:
        await in_thread(register, alder)
        await in_thread(probe)
        now = timezone.now()
        await OfferHealth.objects.aupdate(lease_until=now + timedelta(seconds=60))
        _, summary = await in_thread(probe)
        assert (summary.probed, summary.left) == (0, 1)
        await OfferHealth.objects.aupdate(lease_until=now - timedelta(seconds=1))
        _, summary = await in_thread(probe)
    assert (summary.probed, summary.left) == (1, 0)


async def test_it_puts_a_poisoned_row_off_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async with simulator(
        ALDER, *(Container(name) for name in ("depth", "echo", "pose", "segmentation"))
    ) as alder:
        await in_thread(register, alder)
        await in_thread(capability, "pose", response={"content_types": 3}, sample_request=None)
        await in_thread(capability, "segmentation", sample_request=None)
        await in_thread(_spoil, "segmentation")
        reports, summary = await in_thread(probe)
    assert sorted(slug for _, slug in reports) == ["depth", "echo"]
    assert (summary.probed, summary.poisoned) == (2, 2)
    soon = timezone.now() + timedelta(minutes=50)
    for slug in ("pose", "segmentation"):
        row = await in_thread(health, ALDER, slug)
        assert row.next_probe_at is not None and row.next_probe_at > soon and row.lease_until is None
    assert caplog.text.count("could not be probed") == 2
    assert "content_types must be a list" in caplog.text and "is not a price" in caplog.text


def _spoil(slug: str) -> None:
    """A price written past all validation."""
    make_rows(selected())
    row = Advert.objects.get(offer__capability__slug=slug)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE orchestrators_advert SET price = 'cheap' WHERE offer_id = %s", [row.pk])


async def test_it_lets_no_orchestrator_delay_the_others() -> None:
    """Six offers of one that hangs, more than an origin may have at once; everybody else is done first."""
    slugs = [f"cap-{number}" for number in range(6)]
    async with (
        simulator(CEDAR, *(Container(slug, fault="hang:look=true") for slug in slugs)) as cedar,
        simulator(ALDER, *(Container(slug) for slug in slugs)) as alder,
        simulator(BIRCH, *(Container(slug) for slug in slugs)) as birch,
    ):
        await in_thread(register, cedar, alder, birch)
        order: list[Report] = []
        await in_thread(run, selected(), Settings(concurrency=5), on_report=order.append)
    assert {report.orchestrator for report in order[:12]} == {ALDER, BIRCH}
    assert {report.reason for report in order[12:]} == {
        "no endpoint: timeout: no answer within 2 s; not claimed"
    }
    assert len(order) == 18


async def test_it_does_not_wait_for_every_sample_of_an_orchestrator_that_hangs() -> None:
    """Four ran out of time: whoever starts after that is looked at, and its sample stays due."""
    slugs = [f"cap-{number}" for number in range(10)]
    async with simulator(CEDAR, *(Container(slug, fault="hang") for slug in slugs)) as cedar:
        await in_thread(register, cedar)
        sample = {"body": "x"}
        await Capability.objects.aupdate(sample_request=sample, attempt_timeout=0.3, cold_grace=0)
        reports, _ = await in_thread(probe)
    reasons = [report.reason.partition(":")[0] for report in reports.values()]
    put_off = reasons.count("sample request put off")
    assert put_off >= 2 and reasons.count("endpoint present, unhealthy") == 10 - put_off
    assert await OfferHealth.objects.filter(sampled_at=None).acount() == put_off


def test_it_is_patient_again_after_a_while_or_an_answer() -> None:
    patience = Patience()
    for now in (0.0, 1.0, 2.0):
        patience.note(True, now)
    assert not patience.is_over(2.0)
    patience.note(True, 3.0)
    assert patience.is_over(3.0) and not patience.is_over(60.0)
    patience.note(False, 4.0)
    assert not patience.is_over(4.0)


def test_it_seats_so_many_in_all_and_so_many_of_one_origin() -> None:
    seats = Seats(5, per_origin=2)
    seats.add((number, "cedar") for number in range(4))
    seats.add((number, "alder") for number in range(10, 12))
    seats.add((number, "birch") for number in range(20, 24))
    assert seats.take() == [0, 1, 10, 11, 20]
    assert seats.take() == []
    seats.leave(10)
    seats.add([(0, "cedar"), (2, "cedar")])  # nobody is in twice
    assert seats.take() == [21]
    seats.leave(0)
    assert seats.take() == [2]
    assert repr(seats) == "<Seats 3 waiting, 5 taken>"


async def test_it_yields_to_whoever_changed_the_state_meanwhile() -> None:
    """A lost race is no error: the winner's state stays, and the offer is looked at again at once."""
    async with simulator(ALDER, Container("depth", latency=0.2)) as alder:
        await in_thread(register, alder)

        def race() -> list[Report]:
            make_rows(selected())
            with Network(NOBODY) as network:
                prober = Prober(network, Settings())
                prober.add(selected())
                prober.work(wait=0)
                OfferHealth.objects.update(state="down", epoch=7)  # traffic was faster
                reports: list[Report] = []
                while len(prober.seats):
                    reports += prober.work()
                return reports

        (report,) = await in_thread(race)
    row = await in_thread(health, ALDER)
    assert (row.state, row.epoch, report.after) == ("down", 7, "down")
    assert "changed meanwhile" in report.reason
    assert row.next_probe_at is not None and row.next_probe_at <= timezone.now()


async def test_it_looks_at_once_where_a_clock_was_ahead_and_is_put_back() -> None:
    """As of a machine that came up with another zone's time: it would be blind for as long."""
    async with simulator(ALDER) as alder:
        await in_thread(register, alder)
        ahead = time.time() + 7200
        _, summary = await in_thread(probe, clock=lambda: ahead)
        assert summary.probed == 1
        await OfferHealth.objects.aupdate(lease_until=timezone.now() + timedelta(hours=2))
        assert await in_thread(lambda: due(selected(), timezone.now()).count()) == 1
        reports, summary = await in_thread(probe)
        assert (summary.probed, summary.left) == (1, 0)
        assert reports[ALDER, "depth"].latency_ms is not None, "its sample request, too"
        assert await in_thread(lambda: due(selected(), timezone.now()).count()) == 0


class Together(Network):
    """Whose two results come in together, that of the spoilt row first."""

    def results(self, most: int, wait: float) -> list[Finding | Failure]:
        found: list[Finding | Failure] = []
        while wait and len(found) < 2:
            found += super().results(most, wait)
        return sorted(found, key=lambda each: isinstance(each, Finding))


async def test_it_has_everybody_leave_whom_a_database_that_goes_away_meets() -> None:
    """While a spoilt row is put off: nobody may keep a seat for ever."""
    async with simulator(ALDER, Container("depth"), Container("echo")) as alder:
        await in_thread(register, alder)

        def away(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql.startswith("UPDATE") and '"lease_until" = NULL' in sql and '"probed_at"' not in sql:
                raise OperationalError("gone")
            return execute(sql, params, many, context)

        def work() -> int:
            make_rows(selected())
            Offer.objects.filter(capability__slug="depth").update(wire_name="two\nlines")
            with Together(NOBODY) as network:
                prober = Prober(network, Settings())
                prober.add(selected())
                assert not prober.work(wait=0)
                with connection.execute_wrapper(away), pytest.raises(OperationalError):
                    prober.work()
                return len(prober.seats)

        assert await in_thread(work) == 0


async def test_it_keeps_a_probe_asked_for_while_one_runs() -> None:
    async with simulator(ALDER, Container("depth", latency=0.2)) as alder:
        await in_thread(register, alder)
        asked = timezone.now()

        def ask() -> None:
            make_rows(selected())
            with Network(NOBODY) as network:
                prober = Prober(network, Settings())
                prober.add(selected())
                prober.work(wait=0)
                OfferHealth.objects.update(next_probe_at=asked)
                while len(prober.seats):
                    prober.work()

        await in_thread(ask)
    assert (await in_thread(health, ALDER)).next_probe_at == asked


async def test_it_gives_back_what_it_cannot_finish() -> None:
    """Stopped, it grants a few seconds to what is under way; the rest is due as before."""
    async with simulator(ALDER, Container("depth", latency=60)) as alder:
        await in_thread(register, alder)

        def stopped() -> tuple[int, int]:
            make_rows(selected())
            with Network(NOBODY) as network:
                prober = Prober(network, Settings())
                prober.add(selected())
                prober.work(wait=0)
                prober.close()
                return prober.summary.probed, prober.summary.unfinished

        assert await in_thread(stopped) == (0, 1)
    row = await in_thread(health, ALDER)
    assert row.lease_until is None and row.next_probe_at is not None and row.next_probe_at <= timezone.now()


async def test_it_goes_on_watching_where_the_database_refuses_a_row() -> None:
    """Of an offer that is deleted just before its rows are made."""
    async with simulator(ALDER) as alder:
        await in_thread(register, alder)
        refused: list[str] = []

        def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql.startswith("INSERT") and not refused:
                refused.append(sql)
                raise IntegrityError("no such offer")
            return execute(sql, params, many, context)

        stop, reports = threading.Event(), []

        def on_report(report: Report) -> None:
            reports.append(report.capability)
            stop.set()

        def work() -> None:
            with connection.execute_wrapper(refuse):
                watch(selected(), Settings(), stop=stop, on_report=on_report)

        await in_thread(work)
    assert (reports, len(refused)) == (["depth"], 1)


async def test_it_watches_what_is_due_and_nothing_else() -> None:
    async with simulator(ALDER, Container("depth"), Container("echo")) as alder:
        await in_thread(register, alder)
        await in_thread(probe)
        later = timezone.now() + timedelta(hours=1)
        await OfferHealth.objects.aupdate(next_probe_at=later)
        await OfferHealth.objects.filter(offer__capability__slug="depth").aupdate(next_probe_at=None)
        stop, reports = threading.Event(), []

        def on_report(report: Report) -> None:
            reports.append(report.capability)
            stop.set()

        summary = await in_thread(watch, selected(), Settings(), stop=stop, on_report=on_report)
    assert (reports, summary.probed) == (["depth"], 1)
    assert (alder.looks["depth"], alder.looks["echo"]) == (2, 1)
