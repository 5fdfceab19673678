"""What a probe makes of each way an orchestrator can be: claims, health, history."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from orchestrators.core.outcome import Outcome, OutcomeClass
from orchestrators.core.price import Price
from orchestrators.core.signature import DEFAULTS
from orchestrators.models import (
    Advert,
    Certificate,
    HealthSnapshot,
    Mode,
    Offer,
    OfferHealth,
    Orchestrator,
    ReputationEvent,
    Revision,
    RoutingProfile,
)
from orchestrators.prober import Settings, Summary, selected
from orchestrators.prober.assignment import assign, load
from orchestrators.prober.contact import Finding
from orchestrators.prober.judgement import judge
from orchestrators.prober.leases import claim, make_rows
from orchestrators.prober.network import Network
from orchestrators.prober.record import record
from orchestrators.prober.rounds import Prober
from orchestrators.simulator import Container
from orchestrators.upstream.base import Sighting
from tests.orchestrators.scenes import (
    ALDER,
    BIRCH,
    CEDAR,
    advert,
    capability,
    health,
    in_thread,
    offer,
    orchestrator,
    probe,
    register,
    simulator,
    snapshot,
)
from tests.support.lists import listing, raw

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("shipped")]


# --- one run ----------------------------------------------------------------------------------------


async def test_it_keeps_one_snapshot_for_each_orchestrator_and_capability() -> None:
    """R10, R59: health is per capability, and so is its history."""
    async with (
        simulator(ALDER, Container("depth", price=10), Container("echo", price=20)) as alder,
        simulator(BIRCH) as birch,
    ):
        await in_thread(register, alder, birch)
        reports, summary = await in_thread(probe)
    assert (summary.probed, summary.left, summary.poisoned, summary.unfinished) == (3, 0, 0, 0)
    seen = [
        (
            row.offer.orchestrator.name,
            row.offer.capability.slug,
            row.outcome,
            row.after,
            row.price,
            row.capacity,
        )
        async for row in HealthSnapshot.objects.select_related("offer__orchestrator", "offer__capability")
    ]
    assert sorted(seen) == [
        (ALDER, "depth", "ok", "healthy", "10 wei/second", 4),
        (ALDER, "echo", "ok", "healthy", "20 wei/second", 4),
        (BIRCH, "depth", "ok", "healthy", "10 wei/second", 4),
    ]
    report = reports[ALDER, "echo"]
    assert (report.before, report.after, report.price, report.capacity) == (
        "unknown",
        "healthy",
        "20 wei/second",
        4,
    )
    assert report.latency_ms is not None and report.latency_ms > 0


def test_it_stores_what_no_database_takes_as_it_stands() -> None:
    """A lone surrogate, which JSON may escape, and NUL."""
    with listing() as server:
        token = {"available_capacity": 1, "price": {"pricePerUnit": 1, "pixelsPerUnit": 1}}
        server.say["/process/token"] = token | {"model": "a\0b\ud800"}
        capability("depth", sample_request=None)
        offer(orchestrator(ALDER, server.url), "depth")
        _, summary = probe()
    assert (summary.probed, summary.poisoned) == (1, 0)
    assert (advert(ALDER).claimed, advert(ALDER).model) == (True, "a\N{REPLACEMENT CHARACTER}b?")


async def test_it_writes_what_is_claimed_and_moves_the_policy_number_only_for_news() -> None:
    async with simulator(ALDER) as alder:
        await in_thread(register, alder)
        await in_thread(probe)
        before = await Revision.objects.aget(pk=1)
        await in_thread(probe)
        after = await Revision.objects.aget(pk=1)
        assert (before.policy, before.health) == (after.policy, after.health)
        alder["depth"].price = alder["depth"].price * 2
        await in_thread(probe)
    claims = await in_thread(advert, ALDER)
    assert (claims.claimed, claims.price, claims.capacity, claims.largest_capacity) == (
        True,
        Price.parse("20 wei/second"),
        4,
        4,
    )
    assert (await Revision.objects.aget(pk=1)).policy == after.policy + 1


async def test_it_looks_every_time_and_sends_a_sample_only_when_one_is_due() -> None:
    """A sample costs money: once per freshness time for an offer that is well."""
    async with simulator(ALDER) as alder:
        await in_thread(register, alder)
        await in_thread(probe)
        await in_thread(probe)
        assert (alder.looks["depth"], alder.calls["depth"]) == (2, 1)
        assert (await in_thread(snapshot, ALDER)).latency_ms is None
        long_ago = timezone.now() - timedelta(hours=1)
        await OfferHealth.objects.aupdate(sampled_at=long_ago)
        await in_thread(probe)
        assert alder.calls["depth"] == 2


async def test_a_sample_slow_for_its_profile_degrades_it_with_the_evidence() -> None:
    """R32: by the p95 of its probes; the words are stored, so that everybody who looks finds them."""
    async with simulator(ALDER) as alder:
        await in_thread(register, alder)
        await in_thread(probe)
        await OfferHealth.objects.aupdate(warm_ms=20_000, sampled_at=None)
        await in_thread(probe)
    row, seen = await in_thread(health, ALDER), await in_thread(snapshot, ALDER)
    assert (row.state, row.last_outcome, seen.outcome) == ("degraded", "slow", "slow")
    assert row.reason.startswith("slow for its profile: p95 of its warm answers about ")
    assert row.reason in seen.detail


async def test_it_leaves_disabled_and_retired_offers_alone() -> None:
    async with simulator(ALDER, Container("depth"), Container("echo")) as alder, simulator(BIRCH) as birch:
        await in_thread(register, alder, birch)
        await Offer.objects.filter(capability__slug="echo").aupdate(mode=Mode.RETIRED)
        row = await in_thread(orchestrator, BIRCH, birch.service_uri, mode=Mode.DISABLED)
        assert row.mode == Mode.DISABLED
        reports, _ = await in_thread(probe)
    assert list(reports) == [(ALDER, "depth")]


# --- claims -----------------------------------------------------------------------------------------


async def test_it_sees_a_capability_withdrawn_and_advertised_again() -> None:
    """R71: routed only while the orchestrator claims it."""
    async with simulator(ALDER) as alder:
        await in_thread(register, alder)
        await in_thread(probe)
        alder.fault("depth", "no_capacity")
        await OfferHealth.objects.aupdate(sampled_at=None)
        reports, _ = await in_thread(probe)  # its own 503 to the sample says so at once
        assert not (await in_thread(advert, ALDER)).claimed
        assert "not claimed" in reports[ALDER, "depth"].reason
        assert (await in_thread(health, ALDER)).state == "healthy", "not claimed is not unhealthy"
        alder.fault("depth", "none")
        await in_thread(probe)
        assert (await in_thread(advert, ALDER)).claimed


@pytest.mark.parametrize(("called_ago", "claimed"), [(None, False), (1, True), (3600, False)])
async def test_it_takes_two_empty_tokens_as_a_no_unless_our_own_calls_may_explain_them(
    called_ago: float | None, claimed: bool
) -> None:
    """R71: an unknown capability, a full one and our own load look alike in a token."""
    async with simulator(ALDER) as alder:
        await in_thread(register, alder)
        await in_thread(capability, "depth", sample_request=None)
        await in_thread(probe)
        alder["depth"].load = 4
        called_at = None if called_ago is None else timezone.now() - timedelta(seconds=called_ago)
        await OfferHealth.objects.aupdate(called_at=called_at)
        await in_thread(probe)
        assert (await in_thread(advert, ALDER)).claimed
        await in_thread(probe)
        assert (await in_thread(advert, ALDER)).claimed is claimed


TOKEN = {"price": {"pricePerUnit": 10, "pixelsPerUnit": 1}, "available_capacity": 4}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (raw("404 Not Found", b"page not found\n"), "no endpoint: not_claimed: 404 page not found"),
        (raw("400 Bad Request", b"request not allowed\n"), "no endpoint: not_claimed: 400 request not allowed"),
        (raw("302 Found", b"", "location: /"), "no endpoint: not_claimed: 302"),
        (b"<html>For sale</html>", "endpoint present, unhealthy: upstream_error: bad token: "),
    ],
    ids=["no such path", "no orchestrator", "redirect", "no token"],
)
def test_who_hands_out_no_tokens_any_more_claims_nothing(said: Any, reason: str) -> None:
    """R71, R58: of two looks in a row, as with empty tokens; it was no wrong answer to a request (R57)."""
    with listing() as alder:
        offer(orchestrator(ALDER, alder.url), "depth")
        capability("depth", sample_request=None)
        alder.say["/process/token"] = TOKEN
        probe()
        claims = [advert(ALDER).claimed]
        alder.say["/process/token"] = said
        for _ in range(2):
            reports, _ = probe()
            assert reports[ALDER, "depth"].reason.startswith(reason)
            claims.append(advert(ALDER).claimed)
        alder.say["/process/token"] = TOKEN
        probe()
        claims.append(advert(ALDER).claimed)
    assert claims == [True, True, False, True]
    assert not ReputationEvent.objects.exists()


@pytest.mark.parametrize(
    "status", ["500 Internal Server Error", "503 Service Unavailable", "429 Too Many Requests"]
)
def test_a_server_in_trouble_says_nothing_of_what_it_claims(status: str) -> None:
    with listing() as alder:
        offer(orchestrator(ALDER, alder.url), "depth")
        capability("depth", sample_request=None)
        for said in (TOKEN, *[raw(status, b"oops")] * 3):
            alder.say["/process/token"] = said
            probe()
    assert advert(ALDER).claimed


async def test_it_does_not_take_the_zero_of_an_unknown_capability_for_a_price() -> None:
    async with simulator(ALDER, Container("echo", price=5)) as alder:
        row = await in_thread(orchestrator, ALDER, alder.service_uri)
        await in_thread(offer, row, "depth")
        reports, _ = await in_thread(probe)
        claims = await in_thread(advert, ALDER)
    assert (claims.claimed, claims.price) == (False, None)
    assert reports[ALDER, "depth"].price is None


def test_it_leaves_an_event_when_the_implementation_changes() -> None:
    """R26: still routable, its history kept, and the change is there to see."""
    row = offer(orchestrator(ALDER), "depth")
    make_rows(selected())
    Advert.objects.update(claimed=True, model="depth-v1")
    now = timezone.now()
    lease = claim(row.pk, now)
    assert lease is not None
    assignment = assign(load([row.pk])[0], lease, signatures=DEFAULTS, now=now.timestamp(), interval=30)
    sighting = Sighting(200, capacity=2, price="5 wei/second", model="depth-v2")
    finding = Finding(assignment, Outcome(OutcomeClass.OK), sighting, None, "", now.timestamp())
    report = record(judge(finding, interval=30, draw=lambda: 0.5))
    assert report is not None and report.reason == "implementation changed from 'depth-v1' to 'depth-v2'"
    assert snapshot(ALDER).detail == report.reason
    assert (advert(ALDER).claimed, advert(ALDER).model) == (True, "depth-v2")


def test_it_stores_the_memory_that_a_container_tells_of_and_keeps_it() -> None:
    """R54, R18: an observation, which a look that tells nothing does not take away."""
    gpu = {"name": "RTX 4090", "memory_total": 24 * 1024**3, "memory_free": 6 * 1024**3}
    told = {"model_id": "org/Depth-fp16", "gpu_info": {"0": gpu}}
    with listing() as alder:
        home = orchestrator(ALDER, alder.url, protocol="direct")
        offer(home, "depth", price=Price.parse("10 wei/second"))
        capability("depth", sample_request=None)
        alder.say |= {"/health": {"status": "OK"}, "/hardware/info": told}
        for _ in range(2):
            probe()
            seen = advert(ALDER)
            assert (seen.gpu, seen.vram_mib, seen.vram_free_mib) == ("RTX 4090", 24 * 1024, 6 * 1024)
            assert seen.precision == "fp16"
            alder.say["/hardware/info"] = raw("404 Not Found", b"")
    assert all(line.startswith("GET ") for line in alder.asked), "nothing is asked of its GPUs"


def test_it_does_not_take_the_number_format_of_one_model_for_anothers() -> None:
    """R55: what a name told goes with that name; a look that names none changes nothing."""
    seen = []
    with listing() as alder:
        offer(orchestrator(ALDER, alder.url), "depth")
        capability("depth", sample_request=None)
        for model in ("org/Depth-fp16", "", "org/Depth-large", "org/Depth-int8"):
            alder.say["/process/token"] = TOKEN | {"model_id": model}
            probe()
            seen.append(advert(ALDER).precision)
    assert seen == ["fp16", "fp16", "", "int8"]


async def test_it_notes_that_free_slots_ran_low_until_they_rise() -> None:
    """R54: to half of the most that was claimed, and not by calls of ours."""
    async with simulator(ALDER, Container("depth", price=10, capacity=4)) as alder:
        await in_thread(register, alder)
        await in_thread(capability, "depth", sample_request=None)
        seen = []
        for load in (0, 1, 2, 2, 1):
            alder["depth"].load = load
            reports, _ = await in_thread(probe)
            row = await in_thread(advert, ALDER)
            seen.append((row.capacity, row.falling))
            assert ("its free slots fell to 2 of 4" in reports[ALDER, "depth"].reason) is row.falling
    assert seen == [(4, False), (3, False), (2, True), (2, True), (3, False)]


# --- failure modes ----------------------------------------------------------------------------------


async def test_it_tells_no_endpoint_from_an_endpoint_that_is_unwell() -> None:
    """R58."""
    async with simulator(ALDER) as alder, simulator(BIRCH) as birch, simulator(CEDAR) as cedar:
        await in_thread(register, alder, birch, cedar)
        await cedar.stop()  # connect error
        alder.fault("depth", "server_error")  # there, and unwell
        reports, _ = await in_thread(probe)
    assert reports[CEDAR, "depth"].reason.startswith("no endpoint")
    assert reports[ALDER, "depth"].reason.startswith("endpoint present, unhealthy")
    assert reports[BIRCH, "depth"].reason == ""


async def test_it_tells_a_missing_sample_path_from_a_wrong_answer() -> None:
    """R58, R66: 404 on the sample request's path is no endpoint; both are an API mismatch."""
    async with simulator(ALDER, Container("text-reversal")) as alder, simulator(BIRCH) as birch:
        sample = {"path": "no-such-path", "body": {"text": "abc"}}
        await in_thread(capability, "text-reversal", sample_request=sample)
        await in_thread(register, alder, birch)
        birch.fault("depth", "wrong_schema")
        reports, _ = await in_thread(probe)
    assert reports[ALDER, "text-reversal"].reason.startswith("no endpoint at the sample request's path")
    assert reports[BIRCH, "depth"].reason.startswith("endpoint present, unhealthy: api_mismatch")
    assert {row.outcome async for row in HealthSnapshot.objects.all()} == {"api_mismatch"}
    assert {row.state async for row in OfferHealth.objects.all()} == {"down"}, "a mismatch needs no second one"


@pytest.mark.parametrize("fault", ["wrong_schema", "wrong_content_type", "empty"])
async def test_it_finds_an_api_mismatch(fault: str) -> None:
    """R66, R56."""
    async with simulator(ALDER) as alder:
        await in_thread(register, alder)
        alder.fault("depth", fault)
        await in_thread(probe)
    assert (await in_thread(snapshot, ALDER)).outcome == "api_mismatch"


async def test_it_opens_the_circuit_of_one_capability_and_leaves_the_others_closed() -> None:
    """R59, R60."""
    async with simulator(ALDER, Container("depth"), Container("echo")) as alder:
        await in_thread(register, alder)
        alder.fault("depth", "server_error")
        await in_thread(probe)
        assert (await in_thread(health, ALDER)).state == "unknown", "one fault proves little"
        reports, _ = await in_thread(probe)
        assert reports[ALDER, "depth"].after == "down"
        assert (await in_thread(health, ALDER, "echo")).state == "healthy"
        alder.fault("depth", "none")
        reports, _ = await in_thread(probe)
    assert (reports[ALDER, "depth"].before, reports[ALDER, "depth"].after) == ("down", "healthy")


async def test_it_takes_loading_and_a_slow_first_success_for_cold_starts() -> None:
    """R63, R38: no fault, and not part of the warm average."""
    async with simulator(ALDER) as alder, simulator(BIRCH) as birch:
        await in_thread(capability, "depth", profile=await RoutingProfile.objects.aget(slug="per-frame"))
        await in_thread(register, alder, birch)
        alder.fault("depth", "cold_start", loading=True, seconds=0.3)
        birch.fault("depth", "cold_start", seconds=0.3)
        reports, _ = await in_thread(probe)
        assert "loading" in reports[ALDER, "depth"].reason
        assert reports[BIRCH, "depth"].reason == "cold start"
        loading, slow = await in_thread(snapshot, ALDER), await in_thread(snapshot, BIRCH)
        assert (loading.outcome, loading.cold, loading.after) == ("cold_start", False, "unknown")
        assert (slow.outcome, slow.cold, slow.after) == ("cold_start", True, "healthy")
        row = await in_thread(health, BIRCH)
        assert row.warm_ms is None and row.cold_ms is not None and row.cold_ms >= 300
        await asyncio.sleep(0.35)  # the simulated model loads by the clock
        reports, _ = await in_thread(probe)
    assert reports[ALDER, "depth"].after == "healthy"


async def test_it_has_the_other_capabilities_probed_at_once_after_out_of_memory() -> None:
    """R64: it evicts other models; their sample requests are due again, too."""
    async with simulator(ALDER, Container("depth"), Container("echo")) as alder, simulator(BIRCH) as birch:
        await in_thread(register, alder, birch)
        await in_thread(probe)
        await OfferHealth.objects.filter(offer__capability__slug="depth").aupdate(sampled_at=None)
        alder.fault("depth", "gpu_oom")
        await in_thread(probe)
        sibling, stranger = await in_thread(health, ALDER, "echo"), await in_thread(health, BIRCH)
        assert (await in_thread(snapshot, ALDER)).outcome == "gpu_oom"
        assert sibling.next_probe_at is not None and sibling.next_probe_at <= timezone.now()
        assert stranger.next_probe_at is not None and stranger.next_probe_at > timezone.now()
        calls = alder.calls["echo"]
        await in_thread(probe)
    assert alder.calls["echo"] == calls + 1


async def test_it_finds_a_crashed_container_and_an_orchestrator_that_is_gone() -> None:
    """R65: who cannot be connected to is unreachable; with no orchestrator in front, it is the container."""
    async with (
        simulator(ALDER) as alder,
        simulator(BIRCH, protocol="direct") as birch,
        simulator(CEDAR) as cedar,
        simulator("elm") as elm,
    ):
        await in_thread(register, alder, birch, cedar, elm)
        alder.fault("depth", "crash")
        elm.fault("depth", "refused_worker")
        await birch.stop()
        await cedar.stop()
        await in_thread(probe)
    outcomes = {name: (await in_thread(snapshot, name)).outcome for name in (ALDER, BIRCH, CEDAR, "elm")}
    assert outcomes == {
        ALDER: "container_crash",
        BIRCH: "container_crash",
        CEDAR: "unreachable",
        "elm": "container_crash",
    }


async def test_it_holds_rejected_credentials_until_a_probe_finds_them_put_right() -> None:
    async with simulator(ALDER) as alder:
        await in_thread(register, alder)
        alder.fault("depth", "credentials")
        reports, _ = await in_thread(probe)
        row = await in_thread(health, ALDER)
        assert (row.state, row.cause, row.until) == ("down", "rejected", None)
        assert "Could not verify job creds" in reports[ALDER, "depth"].reason
        alder.fault("depth", "none")
        await in_thread(probe)
    assert (await in_thread(health, ALDER)).state == "healthy"


# --- containers without an orchestrator -------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "outcome", "state"),
    [
        ("none", "ok", "unknown"),
        ("server_error", "upstream_error", "down"),
        ("cold_start", "cold_start", "unknown"),
    ],
)
async def test_it_reads_a_containers_own_health(fault: str, outcome: str, state: str) -> None:
    """Claimed as configured; OK, IDLE: ready; LOADING: cold; ERROR: a fault. No work is asked for."""
    async with simulator(ALDER, protocol="direct") as alder:
        await in_thread(register, alder)
        await in_thread(capability, "depth", sample_request=None)
        options = {"loading": True, "seconds": 60} if fault == "cold_start" else {}
        alder.fault("depth", fault, **options)
        await in_thread(probe)
        reports, _ = await in_thread(probe)
        assert alder.calls["depth"] == 0
    claims = await in_thread(advert, ALDER)
    assert (claims.claimed, claims.price, claims.capacity) == (True, None, None)
    assert (await in_thread(snapshot, ALDER)).outcome == outcome
    assert (await in_thread(health, ALDER)).state == state
    assert reports[ALDER, "depth"].price == "10 wei/second"


# --- certificates -----------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates with openssl")
async def test_it_trusts_a_certificate_at_first_sight_and_afterwards_only_notes_what_it_sees(
    tmp_path: Path,
) -> None:
    first, second = _tls(tmp_path, "first"), _tls(tmp_path, "second")
    async with simulator(ALDER, tls=first) as alder:
        await in_thread(register, alder)
        reports, _ = await in_thread(probe)
        assert reports[ALDER, "depth"].after == "healthy"
        port = alder.port
    known = await Certificate.objects.aget()
    assert known.trusted == known.seen and len(known.trusted) == 64
    async with simulator(ALDER, tls=second, port=port):
        reports, _ = await in_thread(probe)
    changed = await Certificate.objects.aget()
    assert changed.trusted == known.trusted and changed.seen != known.seen and changed.changed
    assert "certificate" in reports[ALDER, "depth"].reason
    assert reports[ALDER, "depth"].reason.startswith("no endpoint: unreachable")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates with openssl")
async def test_it_goes_on_where_an_orchestrator_is_deleted_while_it_is_first_seen(tmp_path: Path) -> None:
    """Its certificate would be that of nobody, which the database refuses for all that came in with it."""
    tls = _tls(tmp_path, "both")
    slowly = Container("depth", latency=0.3)  # nobody has answered yet when it is deleted
    async with simulator(ALDER, slowly, tls=tls) as alder, simulator(BIRCH, tls=tls) as birch:
        await in_thread(register, alder, birch)

        def work() -> Summary:
            make_rows(selected())
            with Network("0x" + "0" * 40) as network:
                prober = Prober(network, Settings())
                prober.add(selected())
                assert not prober.work(wait=0)
                Orchestrator.objects.get(name=ALDER).delete()
                while len(prober.seats):
                    prober.work()
                return prober.summary

        summary = await in_thread(work)
    assert (summary.probed, summary.left) == (1, 1)
    assert await Certificate.objects.values_list("orchestrator__name", flat=True).aget() == BIRCH


def _tls(folder: Path, name: str) -> ssl.SSLContext:
    pem, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    subprocess.run([*command.split(), "-out", pem, "-keyout", key], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    return context
