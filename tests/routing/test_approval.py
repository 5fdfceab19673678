"""What waits for approval: seen on one page, let in with a share or rejected, by who may and for a reason.

Issue 5, screen 6; R53, R70.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrators.models import (
    ConfigRevision,
    DiscoveredEndpoint,
    DiscoverySource,
    Mode,
    Offer,
    Orchestrator,
    Trial,
)
from orchestrators.standing import waiting, waits
from routing import table as tables
from routing.models import PriceCeiling, Rate
from routing.pages import candidates as page_of
from tests.orchestrators.scenes import ALDER, BIRCH, CEDAR, capability, offer, orchestrator
from tests.routing.test_fleet import person, well

pytestmark = pytest.mark.django_db
PAGE, STEER = "/admin/candidates/", "/admin/orchestrators/offer/steer/"
FOUND = {"mode": Mode.DISCOVERED}


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def ops(client: Client) -> Client:
    return person(client, "Operator")


@pytest.fixture
def depth() -> list[Offer]:
    """Alder serves. Birch is discovered and cheap, Cedar on trial and above the ceiling."""
    fine = {"epoch": 1, "last_success_at": timezone.now()}
    serving = well(offer(orchestrator(ALDER), "depth"), "500 wei/second", **fine)
    cheap = well(offer(orchestrator(BIRCH, **FOUND), "depth", **FOUND), "250 wei/second", **fine)
    dear = well(offer(orchestrator(CEDAR), "depth", mode=Mode.TRIAL), "1123 wei/second")
    PriceCeiling.objects.create(capability=serving.capability, price="1000 wei/second")
    return [serving, cheap, dear]


def tried(row: Offer, verdict: str = "warn") -> Trial:
    points = [
        {"name": "answers", "verdict": "pass", "sentence": "All 9 calls in a row were answered."},
        {"name": "contract", "verdict": "pass", "sentence": "Every answer was as promised."},
        {"name": "cold start", "verdict": verdict, "sentence": "It took 14 s."},
    ]
    return Trial.objects.create(
        offer=row, at=timezone.now(), who="ada", verdict=verdict, points=points,
        cold_ms=14000.0, warm_ms=52.0, warm_p95_ms=71.0,
    )  # fmt: skip


def named(row: Offer, source: str, **said: Any) -> None:
    now = timezone.now()
    origin, _made = DiscoverySource.objects.get_or_create(name=source, defaults={"text": "[]"})
    DiscoveredEndpoint.objects.create(
        source=origin, service_uri=row.orchestrator.service_uri, said=said,
        first_seen=now - timedelta(days=3), last_seen=now,
    )  # fmt: skip


def text_of(client: Client, **asked: Any) -> str:
    return " ".join(client.get(PAGE, asked).content.decode().split())


def shown(client: Client, **asked: Any) -> list[str]:
    return [str(each.offer) for each in client.get(PAGE, asked).context["rows"]]


def test_it_tells_of_each_where_it_comes_from_how_it_did_and_what_it_asks(
    ops: Client, depth: list[Offer]
) -> None:
    serving, cheap, dear = depth
    silent = offer(orchestrator("dogwood", **FOUND), "depth")
    named(cheap, "pool")
    named(silent, "pool", serves=[{"name": "depth", "price": "100 wei/second"}])
    tried(cheap, "fail")
    latest = tried(cheap)
    Rate.objects.create(per_eth="2000", as_of=timezone.now() - timedelta(hours=2, minutes=5))
    rows = {str(each.offer): each for each in ops.get(PAGE).context["rows"]}
    assert list(rows) == [f"{name} / depth" for name in ("dogwood", CEDAR, BIRCH)], "not who serves"
    birch, cedar, dogwood = (rows[f"{name} / depth"] for name in (BIRCH, CEDAR, "dogwood"))

    assert [each.source.name for each in birch.named_by] == ["pool"] and cedar.named_by == []
    assert birch.trial == latest and cedar.trial is None
    assert birch.remarks == ["All 9 calls in a row were answered.", "It took 14 s."]
    assert birch.beside_ceiling == ("good", "25.0 % of the ceiling of 1,000 wei/s")
    assert birch.would == "It would be one of 2 for depth, and the cheapest."
    assert cedar.beside_ceiling == ("bad", "12.3 % above the ceiling of 1,000 wei/s")
    assert cedar.would == "Approved, it would get no call: 12.3 % above the ceiling of 1,000 wei/s."
    assert dogwood.mode == Mode.DISCOVERED and str(dogwood.price) == "100 wei/second"
    assert dogwood.would.endswith("its price is not known; a probe or a trial asks for it.")

    text = text_of(ops)
    assert "added by hand <time" in text and "pool, first seen <time" in text and ">3 d ago</time>" in text
    assert "52 ms / 71 ms" in text and ">14 s</td>" in text and "says its source" in text
    german = ops.get(PAGE, headers={"accept-language": "de"}).content.decode()
    assert "$0.000000000000500 per second" in text and "$0,000000000000500 je Sekunde" in german
    assert "1 ETH = $2000, 2 h ago" in text
    assert 'class="count news">3<span class="visually-hidden"> waiting for approval' in text


def test_it_says_what_else_would_come_of_it(ops: Client, depth: list[Offer]) -> None:
    def would(row: Offer) -> str:
        (found,) = [each for each in ops.get(PAGE).context["rows"] if each.offer == row]
        return str(found.would)

    cheap = depth[1]
    cheap.advert.claimed = False
    cheap.advert.save()
    assert would(cheap) == "It does not claim depth now: it would be asked as a last resort only."
    cheap.advert.claimed = True
    cheap.advert.price = "600 wei/second"
    cheap.advert.save()
    assert would(cheap) == "It would be one of 2 for depth, and none is dearer."
    Offer.objects.filter(pk=depth[0].pk).update(mode=Mode.DRAINING)
    assert would(cheap) == "Nobody can serve depth now: it would be the only one."
    Orchestrator.objects.filter(pk=cheap.orchestrator_id).update(protocol="live-runner")
    assert "to be paid by ticket" in would(cheap)
    PriceCeiling.objects.update(price="1 wei/pixel")
    assert "priced per second, the ceiling is per pixel" in would(depth[2])
    PriceCeiling.objects.all().delete()
    assert "no ceiling is set, so only free ones are asked" in would(depth[2])


def test_filters_are_links_and_pages_go_on_where_they_ended(
    ops: Client, depth: list[Offer], monkeypatch: pytest.MonkeyPatch
) -> None:
    _serving, cheap, dear = depth
    pose = offer(cheap.orchestrator, "pose", **FOUND)
    named(cheap, "pool")
    tried(cheap)
    assert shown(ops, source="pool") == [str(pose), str(cheap)]
    assert shown(ops, source="-") == [str(dear)]
    assert shown(ops, source="pool", capability="pose") == [str(pose)]
    assert shown(ops, trial="warn") == [str(cheap)]
    assert shown(ops, trial="none") == [str(pose), str(dear)]
    assert "No candidate like that." in text_of(ops, source="elsewhere")

    monkeypatch.setattr(page_of, "PAGE", 2)
    first = ops.get(PAGE)
    assert [each.offer for each in first.context["rows"]] == [pose, dear] and not first.context["newer"]
    second = ops.get(first.context["older"])
    assert [each.offer for each in second.context["rows"]] == [cheap] and not second.context["older"]
    back = ops.get(second.context["newer"])
    assert [each.offer for each in back.context["rows"]] == [pose, dear]
    assert back.context["older"] and not back.context["newer"]
    assert ops.get(PAGE, {"before": "1 OR 1"}).status_code == 400


def test_it_asks_fifteen_questions_at_the_most_however_many_wait(client: Client, depth: list[Offer]) -> None:
    """Issue 5, bar 2: for a member of a group, once the routing table is there."""
    ops = person(client, "Operator")
    for number in range(8):
        row = well(offer(orchestrator(f"new-{number}", **FOUND), f"cap-{number}", **FOUND))
        named(row, "pool")
        tried(row)
    ops.get(PAGE)
    for url in (PAGE, f"{STEER}approve/?id={depth[1].pk}&id={depth[2].pk}"):
        with CaptureQueriesContext(connection) as queries:
            assert ops.get(url).status_code == 200
        assert len(queries) <= 15, [each["sql"][:90] for each in queries]


def test_an_approval_carries_its_share_to_the_next_request(ops: Client, depth: list[Offer]) -> None:
    """R70: its orchestrator is let in with it, and nobody else."""
    _serving, cheap, dear = depth
    other = well(offer(cheap.orchestrator, "pose"))  # active, and held back by its orchestrator alone
    asked = " ".join(ops.get(f"{STEER}approve/", {"id": [cheap.pk, dear.pk]}).content.decode().split())
    assert (
        "would get no call:</" not in asked and 'title="1123 wei/second">1,123 wei/s</span> is above' in asked
    )
    assert 'name="share" value="10"' in asked
    halved = ops.post(f"{STEER}approve/", {"id": cheap.pk, "ask": "yes", "share": "50"}).content.decode()
    assert 'name="share" value="50"' in halved and ">50.0 %</span>" in halved, "of the first attempts"
    for wrong in ({"share": "101", "reason": "x"}, {"share": "5", "reason": " "}, {"reason": "x"}):
        assert ops.post(f"{STEER}approve/", {"id": cheap.pk, **wrong}).status_code == 200, "it asks again"
    assert waiting().count() == 3

    supposed = tables.assemble(tables.read().approving({cheap.pk: 0.125}), 1)
    said = {"id": [cheap.pk, depth[0].pk], "share": "12.5", "reason": "a canary", "next": PAGE}
    assert ops.post(f"{STEER}approve/", said)["Location"] == PAGE
    table = tables.build(1)
    assert table.lanes["depth", None].by_id[cheap.pk].share == 0.125
    assert replace(supposed, revision=table.revision) == table, "as it was foretold"
    kept = ConfigRevision.objects.latest("id")
    assert (kept.who, kept.why) == ("operator", "admin: approve: a canary (offer)")
    assert set(kept.summary.splitlines()) == {
        f"active, share 0.125: {BIRCH} / depth", f"active: {BIRCH}", f"discovered: {BIRCH} / pose",
    }  # fmt: skip
    other.refresh_from_db()
    assert other.mode == Mode.DISCOVERED and waiting().count() == 2
    told = text_of(ops)
    assert "1 approved, for 12.5 % of the traffic at the most" in told
    assert "1 did not wait for approval any more and stay as they are." in told


def test_a_rejected_one_is_disabled_and_asked_about_no_more(ops: Client, depth: list[Offer]) -> None:
    _serving, cheap, dear = depth
    assert "so none will be missed" in ops.get(f"{STEER}reject/", {"id": cheap.pk}).content.decode()
    assert ops.post(f"{STEER}reject/", {"id": cheap.pk, "reason": ""}).status_code == 200, "it asks why"
    ops.post(f"{STEER}reject/", {"id": [cheap.pk, dear.pk], "reason": "unknown operator"})
    assert list(Offer.objects.filter(mode=Mode.DISABLED)) == [cheap, dear] and not waiting().exists()
    assert ConfigRevision.objects.latest("id").why == "admin: reject: unknown operator (offer)"
    assert "2 rejected: they are disabled now." in text_of(ops)


@pytest.mark.parametrize(
    ("mode", "home", "expected"),
    [
        (Mode.DISCOVERED, Mode.ACTIVE, True),
        (Mode.ACTIVE, Mode.TRIAL, True),
        (Mode.ACTIVE, Mode.ACTIVE, False),
        (Mode.TRIAL, Mode.DRAINING, False),
        (Mode.DISABLED, Mode.DISCOVERED, False),
    ],
)
def test_who_waits(mode: Mode, home: Mode, expected: bool) -> None:
    row = offer(orchestrator(ALDER, mode=home), "depth", mode=mode)
    assert waits(row) is expected and waiting().exists() is expected


@pytest.mark.parametrize("role", ["Viewer", "Key manager"])
def test_who_may_not_operate_reads_and_changes_nothing(client: Client, depth: list[Offer], role: str) -> None:
    reader, row = person(client, role), depth[1]
    assert str(row.orchestrator) in text_of(reader)
    assert "Approve…" not in text_of(reader) and 'type="checkbox"' not in text_of(reader)
    for url in (f"{STEER}approve/", f"{STEER}reject/", "/admin/orchestrators/offer/act/run_trial/"):
        assert reader.get(url, {"id": row.pk}).status_code == 403
        assert reader.post(url, {"id": row.pk, "reason": "x", "share": "5"}).status_code == 403
    assert waiting().count() == 2
    strict = Client(enforce_csrf_checks=True)
    person(strict, "Operator")
    assert strict.post(f"{STEER}reject/", {"id": row.pk, "reason": "x"}).status_code == 403


def test_the_empty_page_tells_what_to_do(client: Client) -> None:
    editor = person(client, "Policy editor")
    assert "manage.py discover_orchestrators</code>" in text_of(editor)
    assert "/admin/orchestrators/discoverysource/add/" in text_of(editor)
    DiscoverySource.objects.create(name="pool", text="[]")
    assert "manage.py discover_orchestrators --loop</code>" in text_of(editor)


def test_without_a_sample_request_no_trial_is_offered(ops: Client) -> None:
    offer(orchestrator(ALDER), "depth", mode=Mode.TRIAL)
    assert "act/run_trial/" in text_of(ops)
    capability("depth", sample_request=None)
    assert "no trial can be run" in text_of(ops)
