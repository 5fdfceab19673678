"""Sources are asked over real sockets, remembered, and turned into orchestrators and offers (R69, R70)."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError

from orchestrators.core.discovery import LARGEST
from orchestrators.discovery import Plan, apply, due, look, memory, proposal, propose
from orchestrators.management.commands import discover_orchestrators
from orchestrators.models import (
    ConfigRevision,
    DiscoveredEndpoint,
    DiscoveryRun,
    DiscoverySource,
    Offer,
    Orchestrator,
)
from orchestrators.upstream.transport import Limits
from tests.orchestrators.scenes import capability, offer, orchestrator
from tests.support.lists import ListServer, listing, raw

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("shipped")]

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
O1, O2 = "https://o1.example:8935", "https://o2.example:8935"
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures/discovery"
QUICK = Limits(connect=1, idle=0.3, total=0.6, body=LARGEST)


@pytest.fixture
def lists() -> Iterator[ListServer]:
    with listing() as server:
        yield server


def source(name: str = "naap", **fields: Any) -> DiscoverySource:
    made = DiscoverySource(name=name, **fields)
    made.full_clean()
    made.save()
    return made


def run(*sources: DiscoverySource, now: datetime = NOW, limits: Limits = QUICK) -> Plan:
    return apply(look(sources, limits), who="ada", via="command", now=now)


def modes() -> dict[str, str]:
    return dict(Orchestrator.objects.values_list("service_uri", "mode"))


# --- found, and active ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fixture", "fields"),
    [
        ("orch-addr.txt", {"format": "orch-addr"}),
        ("webhook.json", {}),
        ("network-capabilities.json", {"format": "network-capabilities"}),
    ],
)
def test_each_of_the_stock_mechanisms_feeds_the_registry(fixture: str, fields: dict[str, str]) -> None:
    """R69: static list, webhook JSON and network-capabilities JSON. R70: discovered is not active."""
    run(source(text=(FIXTURES / fixture).read_text(), **fields))
    assert modes().items() >= {O1: "discovered", O2: "discovered"}.items()


def test_pipelines_and_byoc_come_by_one_code_path() -> None:
    """R4: one getNetworkCapabilities payload with a standard pipeline and a BYOC entry (capability 37)."""
    capability("text-to-image")
    text = (FIXTURES / "network-capabilities.json").read_text()
    run(source(format="network-capabilities", text=text))
    offers = Offer.objects.filter(orchestrator__service_uri=O1).order_by("capability__slug")
    assert [(each.capability.slug, each.name_on_wire, each.mode) for each in offers] == [
        ("depth", "depth", "discovered"),
        ("text-to-image", "text-to-image", "discovered"),
    ]


def test_one_action_activates_and_the_list_exports_as_orch_addr() -> None:
    """R70: it appears as a candidate, people activate it, and the active list is an -orchAddr string."""
    run(source(text=f"{O1},{O2}", format="orch-addr"))
    Orchestrator.objects.filter(service_uri=O1).update(mode="active")
    out = io.StringIO()
    call_command("export_config", "--format", "orch-addr", stdout=out)
    assert out.getvalue().strip() == O1


def test_a_trusted_source_activates(lists: ListServer) -> None:
    lists.say["/pool"] = [{"address": O1, "score": "1", "capabilities": ["depth"]}]
    trusted = source("ours", url=f"{lists.url}/pool", trusted=True)
    plan = run(trusted)
    assert plan.changes == [
        f"+ orchestrator o1.example: {O1} (active: ours is trusted)",
        "+ offer o1.example / depth (active: ours is trusted)",
    ]
    revision = ConfigRevision.objects.get()
    assert (revision.who, revision.via, revision.summary.splitlines()) == ("ada", "command", plan.changes)
    assert run(trusted, now=NOW + timedelta(minutes=5)).changes == []
    assert ConfigRevision.objects.count() == 1, "finding the same again is no change"


def test_what_waits_is_activated_when_a_trusted_source_names_it() -> None:
    run(source("naap", text=f'[{{"address": "{O1}", "capabilities": ["depth"]}}]'))
    plan = run(source("ours", text=f'[{{"address": "{O1}"}}]', trusted=True))
    assert plan.changes == ["~ orchestrator o1.example: mode discovered -> active (ours is trusted)"]
    assert Offer.objects.get().mode == "discovered", "nobody trusted has named the offer"


@pytest.mark.parametrize("mode", ["disabled", "retired", "draining"])
def test_what_people_have_put_away_stays_away(mode: str) -> None:
    """The block list: an orchestrator that is disabled gets neither a mode nor offers by being named."""
    orchestrator("gone", "https://O1.example:8935", mode=mode)
    assert run(source(text=f'[{{"address": "{O1}", "capabilities": ["depth"]}}]', trusted=True)).changes == []
    assert not Offer.objects.exists()


def test_what_people_decided_is_not_touched() -> None:
    mine = orchestrator("mine", O1, region="eu", mode="trial")
    offer(mine, "depth", wire_name="depth-anything", mode="trial")
    assert run(source(text=f'[{{"address": "{O1}/", "capabilities": ["depth"]}}]', trusted=True)).changes == []
    mine.refresh_from_db()
    assert (mine.mode, mine.region, Offer.objects.get().wire_name) == ("trial", "eu", "depth-anything")


# --- names ---------------------------------------------------------------------------------------


def test_names_lead_to_capabilities() -> None:
    """By the source's own names, by what offers call a capability, by the slug; else by none."""
    offer(orchestrator("other"), "pose", wire_name="openpose")
    names = ["flux-schnell", "openpose", "depth", "sdxl"]
    said = f'[{{"address": "{O1}", "capabilities": {names}}}]'.replace("'", '"')
    plan = run(source(text=said, names={"flux-schnell": "image-to-image"}))
    found = Offer.objects.filter(orchestrator__service_uri=O1).order_by("capability__slug")
    assert [(each.capability.slug, each.wire_name) for each in found] == [
        *(("depth", ""), ("image-to-image", "flux-schnell"), ("pose", "openpose")),
    ]
    assert any(note.startswith("sdxl: no capability of that name, at 1 endpoints") for note in plan.notes)


def test_excluded_addresses_hosts_and_identities_are_left_out() -> None:
    """What -orchBlocklist does by ETH address."""
    eth = "0x" + "ab" * 20
    text = (FIXTURES / "network-capabilities.json").read_text()
    run(source("a", format="network-capabilities", text=text, exclude=[eth.upper().replace("X", "x")]))
    assert list(modes()) == [O2]
    run(source("b", format="orch-addr", text="o3.example,o4.example", exclude=["o3.example"]))
    run(source("c", format="orch-addr", text="https://o5.example", exclude=["https://o5.example/"]))
    assert set(modes()) == {O2, "https://o4.example:8935"}


def runners(*paths: str, app: str = "acme/depth") -> list[dict[str, Any]]:
    listed = [{"url": f"{O1}/{path}", "app": app, "mode": "single-shot"} for path in paths]
    return [{"address": O1, "runners": listed}]


def test_an_orchestrators_runners_become_offers_of_their_protocol(lists: ListServer) -> None:
    """An orchestrator's own GET /discovery, and the part of an app's name behind its owner."""
    lists.say["/discovery"] = runners("apps/a/app")
    run(source(url=f"{lists.url}/discovery", trusted=True))
    found = Offer.objects.get()
    assert (found.orchestrator.protocol, found.capability.slug) == ("live-runner", "depth")
    assert (found.wire_name, found.path, found.mode) == ("acme/depth", "apps/a/app", "active")


def test_a_runner_that_registers_anew_is_followed(lists: ListServer) -> None:
    """To whichever of its paths is there, without changing between two that are."""
    lists.say["/discovery"] = runners("apps/b/app")
    one = source(url=f"{lists.url}/discovery", trusted=True)
    run(one)
    lists.say["/discovery"] = runners("apps/a/app", "apps/b/app")
    assert run(one, now=NOW + timedelta(minutes=5)).changes == []
    lists.say["/discovery"] = runners("apps/d/app", "apps/c/app")
    plan = run(one, now=NOW + timedelta(minutes=10))
    assert plan.changes == [
        "~ offer o1.example / depth: path apps/b/app -> apps/c/app (naap is trusted)",
    ]
    assert plan.events == [
        f"naap: {O1} no longer serves acme/depth at apps/a/app, acme/depth at apps/b/app; kept as last seen."
    ]
    assert Offer.objects.get().path == "apps/c/app"


def test_nobody_untrusted_moves_an_active_runner(lists: ListServer) -> None:
    home = orchestrator("home", O1, protocol="live-runner")
    offer(home, "depth", wire_name="acme/depth", path="apps/a/app")
    lists.say["/discovery"] = runners("apps/evil/app")
    plan = run(source(url=f"{lists.url}/discovery"))
    assert plan.changes == []
    assert plan.notes == ["home / depth: path apps/a/app here, apps/evil/app by naap."]


def test_what_an_orchestrator_does_not_speak_is_noted(lists: ListServer) -> None:
    orchestrator("home", O1)
    lists.say["/discovery"] = runners("apps/a/app")
    plan = run(
        source(url=f"{lists.url}/discovery"),
        source("names", text=f'[{{"address": "{O1}", "capabilities": ["x/pose"]}}]'),
    )
    assert plan.notes == [
        "home: acme/depth (live-runner) cannot be called by byoc.",
        "home: x/pose (live-runner) cannot be called by byoc.",
    ]


# --- last good -----------------------------------------------------------------------------------


def test_a_shorter_answer_is_an_event_and_no_purge(lists: ListServer) -> None:
    """go-livepeer #4087: 77 priced runners, then none, with status 200."""
    both = source(url=f"{lists.url}/pool", trusted=True)
    lists.say["/pool"] = [{"address": O1, "capabilities": ["depth", "pose"]}, {"address": O2}]
    run(both)
    lists.say["/pool"] = [{"address": O1, "capabilities": ["pose"]}]
    plan = run(both, now=NOW + timedelta(hours=1))
    assert plan.changes == []
    assert plan.events == [
        f"naap: {O1} no longer serves depth; kept as last seen.",
        f"naap: {O2} is no longer named; last seen 2026-11-25 12:00 UTC, kept.",
    ]
    assert DiscoveryRun.objects.latest("pk").detail.count("\n") == 1
    assert (Orchestrator.objects.count(), Offer.objects.count()) == (2, 2)
    ages = dict(DiscoveredEndpoint.objects.values_list("service_uri", "last_seen"))
    assert ages == {O1: NOW + timedelta(hours=1), O2: NOW}
    serves = DiscoveredEndpoint.objects.get(service_uri=O1).said["serves"]
    assert {each["name"]: each.get("seen") for each in serves} == {"pose": None, "depth": NOW.timestamp()}
    assert run(both, now=NOW + timedelta(hours=2)).events == [], "told once"


def test_an_empty_answer_removes_nobody(lists: ListServer) -> None:
    one = source(url=f"{lists.url}/pool", trusted=True)
    lists.say["/pool"] = [{"address": O1}]
    run(one)
    lists.say["/pool"] = []
    assert run(one).changes == []
    assert modes() == {O1: "active"}
    assert DiscoveryRun.objects.latest("pk").ok


def test_a_source_cannot_fill_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of ever new addresses: so many are kept, so many become orchestrators in one run."""
    monkeypatch.setattr(memory, "MOST_KEPT", 5)
    monkeypatch.setattr(proposal, "MOST_NEW", 3)
    many = source(format="orch-addr", text=",".join(f"o{i}.example" for i in range(8)))
    plan = run(many)
    assert plan.events == ["naap: 3 new endpoints are not kept: this source has named 5; delete what is old."]
    assert plan.notes == ["2 more orchestrators come in the next run."]
    run(many)
    assert Orchestrator.objects.count() == DiscoveredEndpoint.objects.count() == 5


def test_runs_are_kept_in_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "RUNS_KEPT", 3)
    one = source(format="orch-addr", text=O1)
    for minute in range(5):
        run(one, now=NOW + timedelta(minutes=minute))
    assert [each.at.minute for each in DiscoveryRun.objects.all()] == [4, 3, 2]


# --- several sources -----------------------------------------------------------------------------


def test_conflicts_are_resolved_by_field_and_the_source_is_shown() -> None:
    manifest = '{"nodes": [{"url": "%s", "extra": {"geo": {"region": "%s"}}}]}'
    run(source("alpha", format="manifest", text=manifest % (O1, "eu")))
    plan = run(
        source("beta", format="manifest", text=manifest % (O1, "us"), trusted=True),
    )
    assert plan.notes == [f"{O1}: region us by beta counts; eu by alpha"]
    assert Orchestrator.objects.get().region == "eu", "what was there is people's"


def test_one_source_that_fails_does_not_stop_the_others(lists: ListServer) -> None:
    lists.say["/pool"] = [{"address": O1}]
    lists.say["/down"] = raw("503 Service Unavailable", b'{"error":{"message":"Service Unavailable Error"}}')
    plan = run(source("good", url=f"{lists.url}/pool"), source("ill", url=f"{lists.url}/down"))
    assert modes() == {O1: "discovered"}
    (event,) = plan.events
    assert event.startswith('ill: failed: It answered 503: {"error"')


# --- malformed, huge, slow, redirecting, lying ---------------------------------------------------


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (b"<html>", "not JSON"),
        ({"orchestrators": []}, "an object with orchestrators, not a list"),
        (b"[" * 100_000, "not JSON"),
        ([{"address": f"https://o{i}"} for i in range(5001)], "more than 5000 are not read"),
        (raw("302 Found", b"", "location: http://169.254.169.254/"), "a redirect to http://169.254.169.254/"),
        (raw("404 Not Found", b"nothing here"), "It answered 404: nothing here"),
        (raw("200 OK", b"x", "content-encoding: gzip"), "compression that nobody asked for"),
        (lambda write: write(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"), "99999999999 bytes"),
        (lambda write: write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[]"), "connection closed"),
        (lambda write: write(b"nonsense\r\n\r\n"), "not HTTP"),
        (lambda write: None, "connection closed"),
        ("drip", "no byte in time"),
        ("silence", "no byte in time"),
        ("endless", "more than 8388608 bytes"),
    ],
)
def test_a_source_that_misbehaves_changes_nothing_and_says_why(
    lists: ListServer, said: Any, sentence: str
) -> None:
    lists.say["/pool"] = [{"address": O1}]
    ill = source(url=f"{lists.url}/pool", trusted=True)
    run(ill)
    before = list(DiscoveredEndpoint.objects.values())
    lists.say["/pool"] = getattr(lists, said) if isinstance(said, str) else said
    limits = Limits(idle=5, total=30, body=LARGEST) if said == "endless" else QUICK
    plan = run(ill, now=NOW + timedelta(hours=1), limits=limits)
    assert plan.changes == []
    assert sentence in plan.events[0]
    latest = DiscoveryRun.objects.latest("pk")
    assert (latest.ok, latest.found) == (False, 0)
    assert sentence in latest.detail
    assert list(DiscoveredEndpoint.objects.values()) == before
    assert modes() == {O1: "active"}


def test_nobody_who_refuses_connections_changes_anything() -> None:
    plan = run(source(url="http://127.0.0.1:9/pool"))
    assert "failed: " in plan.events[0]
    assert not Orchestrator.objects.exists()


def test_a_source_cannot_lead_into_networks_that_are_not_allowed(settings: Any) -> None:
    """SSRF: an address it names is judged like one that people type, and noted with the remedy."""
    settings.BYOCGW_ALLOWED_NETWORKS = ()
    text = "http://169.254.169.254:80,http://localhost:5432,http://2130706433:80,https://10.0.0.1,o1.example"
    plan = run(source(format="orch-addr", text=text, trusted=True))
    assert list(modes()) == [O1]
    assert len(plan.notes) == 4
    assert all("is not added: " in note for note in plan.notes)
    assert "BYOCGW_ALLOWED_NETWORKS" in plan.notes[0]


def test_a_source_itself_is_judged_at_save_and_at_connect(lists: ListServer, settings: Any) -> None:
    lists.say["/pool"] = [{"address": O1}]
    saved = source(url=f"{lists.url.replace('127.0.0.1', 'localhost')}/pool")
    settings.BYOCGW_ALLOWED_NETWORKS = ()
    with pytest.raises(ValidationError, match="127.0.0.1 is a loopback address"):
        source("other", url=f"{lists.url}/pool")
    plan = run(saved)
    assert "BYOCGW_ALLOWED_NETWORKS" in plan.events[0]
    assert lists.asked == []


# --- what is asked, and when ---------------------------------------------------------------------


def test_it_asks_for_the_whole_url_and_the_subgraph_by_a_query(lists: ListServer) -> None:
    lists.say["/v1/raw?caps=a&caps=b"] = [{"address": O1}]
    lists.say["/subgraph"] = (FIXTURES / "subgraph.json").read_bytes()
    run(
        source("raw", url=f"{lists.url}/v1/raw?caps=a&caps=b"),
        source("chain", url=f"{lists.url}/subgraph", format="subgraph"),
    )
    assert sorted(lists.asked) == ["GET /v1/raw?caps=a&caps=b HTTP/1.1", "POST /subgraph HTTP/1.1"]
    assert any(b"transcoders" in body for body in lists.bodies)
    assert modes() == {O1: "discovered"}


def test_a_source_is_due_when_its_interval_is_over() -> None:
    often, seldom = source("often", text=O1, format="orch-addr", interval=60), source("seldom", text="[]")
    sources = DiscoverySource.objects.all()
    assert due(sources, NOW) == [often, seldom]
    run(often, seldom)
    assert due(sources, NOW + timedelta(seconds=59)) == []
    assert due(sources, NOW + timedelta(seconds=60)) == [often]


def test_a_source_is_due_once_where_a_clock_was_ahead_and_is_put_back() -> None:
    often = source("often", text=O1, format="orch-addr", interval=60)
    sources = DiscoverySource.objects.all()
    run(often, now=NOW + timedelta(hours=2))
    assert due(sources, NOW) == [often]
    run(often)
    assert due(sources, NOW + timedelta(seconds=59)) == []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "either a URL that is asked, or the text"),
        ({"url": "https://a.example/", "text": "[]"}, "either a URL that is asked, or the text"),
        ({"url": "ftp://a.example/"}, "http:// or https://"),
        ({"url": "https://user:secret@a.example/"}, "neither a fragment, nor a user name"),
        ({"url": "https://a.example:port/"}, "Port could not be cast"),
        ({"url": "http://0x7f.1/"}, "four decimal numbers"),
        ({"text": "x" * 300_000}, "larger than 256 KiB"),
        ({"text": "[]", "names": {"flux": "Flux_v1"}}, "model id"),
        ({"text": "[]", "names": ["flux"]}, "Must be an object"),
        ({"text": "[]", "exclude": "o1"}, "Must be a list"),
        ({"text": "[]", "interval": 5}, "greater than or equal to 30"),
        ({"text": "[]", "format": "csv"}, "not a valid choice"),
    ],
)
def test_a_source_that_cannot_work_is_not_saved(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        source(**fields)


# --- the command ---------------------------------------------------------------------------------


def command(*arguments: str) -> str:
    out = io.StringIO()
    call_command("discover_orchestrators", *arguments, stdout=out)
    return out.getvalue()


def test_a_dry_run_shows_and_writes_nothing() -> None:
    source(text=O1, format="orch-addr")
    out = command("--dry-run")
    assert f"+ orchestrator o1.example: {O1} (discovered: named by naap)" in out
    assert "Dry run, nothing was written. Changes: 1." in out
    assert not Orchestrator.objects.exists()
    assert not DiscoveredEndpoint.objects.exists()
    assert not DiscoveryRun.objects.exists()


def test_the_command_applies_what_it_shows() -> None:
    source("a", text=O1, format="orch-addr")
    source("b", text=O2, format="orch-addr")
    source("off", text="https://o3.example", format="orch-addr", enabled=False)
    assert "Changes: 1." in command("--source", "a")
    assert f"+ orchestrator o2.example: {O2}" in command()
    assert command().endswith("Nothing to do.\n")
    assert set(modes()) == {O1, O2}


def test_the_command_fails_with_its_sources_after_doing_the_rest() -> None:
    source("good", text=O1, format="orch-addr")
    source("ill", text="{}")
    with pytest.raises(CommandError, match="Failed: ill."):
        command()
    assert set(modes()) == {O1}


def test_the_command_says_what_is_missing() -> None:
    assert "There is no discovery source yet." in command()
    with pytest.raises(CommandError, match="no enabled discovery source nobody"):
        command("--source", "nobody")
    with pytest.raises(CommandError, match="exclude each other"):
        command("--loop", "--dry-run")


def test_the_loop_asks_what_is_due_until_it_is_stopped() -> None:
    source(text=O1, format="orch-addr")
    stop = threading.Event()

    class Stopping(io.StringIO):
        def write(self, text: str) -> int:
            stop.set()
            return super().write(text)

    told = Stopping()
    discover_orchestrators.Command(stdout=told)._loop(DiscoverySource.objects.all(), stop)
    assert "+ orchestrator o1.example" in told.getvalue()
    assert DiscoveryRun.objects.count() == 1


def test_a_proposal_has_the_digest_of_its_changes() -> None:
    one = source(text=O1, format="orch-addr")
    first = propose(look([one]), now=NOW)
    assert propose(look([one]), now=NOW + timedelta(days=1)).digest == first.digest
    run(one)
    assert propose(look([one]), now=NOW).digest != first.digest


# --- what must not end the loop ----------------------------------------------------------------------


@pytest.mark.parametrize("oddity", ["\0", "\ud800"])
def test_a_remark_with_what_no_database_takes_is_kept_without_it(oddity: str) -> None:
    """A server may escape it in JSON; nothing else that was found would be remembered."""
    answer = json.dumps([{"address": f"http://{oddity}"}, {"address": O1}])
    plan = run(source(text=answer))
    assert modes() == {O1: "discovered"}
    (event,) = plan.events
    assert "is left out" in event and oddity not in event
    assert DiscoveryRun.objects.get().detail in event


@pytest.mark.django_db(transaction=True)
def test_a_source_that_is_deleted_while_it_is_asked_is_passed_over() -> None:
    gone, here = source("gone", text=json.dumps([{"address": O1}])), source(text=json.dumps([{"address": O2}]))
    looks = look([gone, here])
    DiscoverySource.objects.filter(pk=gone.pk).delete()
    apply(looks, who="ada", via="command", now=NOW)
    assert modes() == {O2: "discovered"}
    assert DiscoveryRun.objects.get().source == here
