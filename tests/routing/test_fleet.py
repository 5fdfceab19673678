"""An orchestrator's page, and what is said before traffic is taken away: figures, not guesses."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrators.core.health import State
from orchestrators.models import Advert, ConfigRevision, HealthSnapshot, Mode, Offer, OfferHealth
from orchestrators.scoreboard import Scoreboard
from orchestrators.standing import Standing, with_standing
from routing import configuration
from routing import table as tables
from routing.fleet import fleet, losses
from routing.models import Attempt, Job, OfferDay, PriceCeiling
from routing.roles import make_groups
from tests.orchestrators.scenes import ALDER, BIRCH, CEDAR, offer, orchestrator

pytestmark = pytest.mark.django_db
HOMES, OFFERS = "/admin/orchestrators/orchestrator/", "/admin/orchestrators/offer/"


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path


def person(client: Client, role: str) -> Client:
    make_groups("default")
    user = User.objects.create_user(role.split()[0].lower(), is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    return client


@pytest.fixture
def ops(client: Client) -> Client:
    return person(client, "Operator")


def well(row: Offer, price: str = "10 wei/second", **health: Any) -> Offer:
    now = timezone.now()
    Advert.objects.create(offer=row, claimed=True, price=price, capacity=4, largest_capacity=4, checked_at=now)
    values = {"state": "healthy", "warm_ms": 50.0, "probed_at": now}
    OfferHealth.objects.create(offer=row, **(values | health))
    return row


def called(row: Offer, number: int, *, failed: int = 0, ms: int = 40) -> None:
    """So many good calls, and attempts that failed."""
    now, name, slug = timezone.now(), row.orchestrator.name, row.capability.slug
    for place in range(number + failed):
        good = place < number
        job = Job.objects.create(
            request_id=f"{name}-{slug}-{place}", at=now - timedelta(minutes=place), client="acme",
            capability=slug,
            code="ok" if good else "all_failed", status=200 if good else 502, orchestrator=name if good else "",
            attempts_made=1, ms=ms, bytes_in=1, bytes_out=1, wei=1, policy=1,
        )  # fmt: skip
        Attempt.objects.create(
            job=job, number=1, at=job.at, orchestrator=name, capability=slug, ms=ms,
            outcome="ok" if good else "gpu_oom", detail="" if good else "CUDA out of memory",
        )  # fmt: skip
    OfferDay.objects.create(
        day=timezone.now(), orchestrator=name, capability=slug, attempts=number + failed, failures=failed
    )


@pytest.fixture
def depth() -> list[Offer]:
    """Alder serves one call in four, Birch the others; Cedar is above the ceiling."""
    rows = [well(offer(orchestrator(name), "depth")) for name in (ALDER, BIRCH)]
    dear = well(offer(orchestrator(CEDAR), "depth"), "2000 wei/second")
    PriceCeiling.objects.create(capability=dear.capability, price="1000 wei/second")
    called(rows[0], 5)
    called(rows[1], 15)
    return [*rows, dear]


def test_it_says_what_would_be_missed(depth: list[Offer]) -> None:
    (loss,) = losses(depth[:1], timezone.now())
    assert (loss.slug, loss.served, loss.of, loss.others, loss.in_flight) == ("depth", 5, 20, 1, 0)
    (loss,) = losses(depth[:2], timezone.now())
    assert (loss.served, loss.others) == (20, 0)
    assert losses([], timezone.now()) == []


def test_a_drain_says_what_will_happen_and_keeps_the_reason(ops: Client, depth: list[Offer]) -> None:
    home = depth[0].orchestrator
    url, before = f"{HOMES}steer/drain/", ConfigRevision.objects.count()
    said = ops.get(url, {"id": home.pk}).content.decode()
    assert "removes 25.0 % of its traffic" in said and "1 other stays" in said and "0 calls will finish" in said
    both = ops.get(url, {"id": [each.orchestrator_id for each in depth[:2]]}).content.decode()
    assert "nobody else can serve it now" in both
    assert ops.post(url, {"id": home.pk, "reason": " "}).status_code == 200, "it asks again"
    home.refresh_from_db()
    assert home.mode == Mode.ACTIVE and ConfigRevision.objects.count() == before
    elsewhere = ops.post(url, {"id": home.pk, "reason": "new fans", "next": "https://evil.example/"})
    assert elsewhere["Location"] == HOMES
    home.refresh_from_db()
    kept = ConfigRevision.objects.latest("id")
    assert home.mode == Mode.DRAINING
    assert (kept.who, kept.why, kept.summary) == (
        "operator", "admin: drain: new fans (orchestrator)", f"draining: {ALDER}",
    )  # fmt: skip
    assert "No call goes there now" in ops.get(url, {"id": home.pk}).content.decode()


def test_a_deletion_says_it_too(client: Client, depth: list[Offer]) -> None:
    boss = person(client, "Policy editor")
    new = offer(orchestrator("dogwood"), "depth")  # what was measured is deleted by nobody
    called(new, 5)
    url = f"{HOMES}{new.orchestrator_id}/delete/"
    assert "removes 20.0 % of its traffic; 2 others stay" in " ".join(boss.get(url).content.decode().split())
    many = {"action": "delete_selected", "index": "0", "_selected_action": [new.pk]}
    assert "2 others stay" in boss.post(OFFERS, many).content.decode()
    boss.post(url, {"post": "yes", "reason": "sold"})
    assert (
        ConfigRevision.objects.latest("id").why == f"admin: delete {new.orchestrator_id}: sold (orchestrator)"
    )


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("base", [HOMES, OFFERS])
def test_nothing_is_deleted_without_saying_why(
    client: Client, depth: list[Offer], base: str, many: bool
) -> None:
    """Whatever the browser thinks of the field: the page comes back and names it."""
    boss = person(client, "Policy editor")
    new = offer(orchestrator("dogwood"), "depth")
    key = new.orchestrator_id if base == HOMES else new.pk
    url, before = base if many else f"{base}{key}/delete/", ConfigRevision.objects.count()
    data = {"action": "delete_selected", "index": "0", "_selected_action": [key], "post": "yes"}
    for silent in (data, data | {"reason": " "}, data | {"reason": ""}):
        answer = boss.post(url, silent)
        assert answer.status_code == 200 and "Why is empty" in answer.content.decode()
        assert 'name="post" value="yes"' in answer.content.decode(), "it can be said now"
    assert Offer.objects.filter(pk=new.pk).exists() and ConfigRevision.objects.count() == before
    if many:
        asked = boss.post(url, {key: each for key, each in data.items() if key != "post"} | {"reason": "sold"})
        assert 'value="sold"' in asked.content.decode() and "Why is empty" not in asked.content.decode()
    assert boss.post(url, data | {"reason": "sold"}).status_code == 302
    assert not Offer.objects.filter(pk=new.pk).exists()
    assert ConfigRevision.objects.latest("id").why.partition(": sold")[1], "kept with the change"


def test_an_ignored_offer_gets_no_call_and_comes_back_by_itself(ops: Client, depth: list[Offer]) -> None:
    row = depth[0]
    ops.post(f"{OFFERS}steer/ignore/", {"id": row.pk, "reason": "driver update", "hours": "1"})
    row.refresh_from_db()
    assert row.ignored_until is not None and row.mode == Mode.ACTIVE
    assert with_standing(Offer.objects.filter(pk=row.pk)).get().standing == Standing.OFF
    table = tables.build(1)
    (refused,) = [each for each in table.lanes["depth", None].refused if each.offer_id == row.pk]
    assert refused.detail.startswith("the offer is ignored until ")
    assert table.until == row.ignored_until.timestamp()
    assert "ignored_until" not in str(configuration.export())
    Offer.objects.filter(pk=row.pk).update(ignored_until=timezone.now() - timedelta(seconds=1))
    assert row.pk in [each.id for each in tables.build(1).lanes["depth", None].offers]
    ops.post(f"{OFFERS}steer/activate/", {"id": row.pk})
    row.refresh_from_db()
    assert row.ignored_until is None and "not ignored any more" in ConfigRevision.objects.latest("id").summary


def test_a_reset_reaches_every_gateway(ops: Client, depth: list[Offer]) -> None:
    row, now = depth[0], timezone.now()
    OfferHealth.objects.filter(offer=row).update(
        state="down", until=now + timedelta(minutes=9), cause="gpu_oom", ejections=5, streak=4, epoch=7
    )
    board = Scoreboard(lambda: 0.0)
    board.adopt(OfferHealth.objects.all())
    assert board.live(row.pk).health.state is State.DOWN
    answer = ops.post(f"{OFFERS}act/reset/", {"id": row.pk, "next": f"{HOMES}1/change/#offer-{row.pk}"})
    assert answer["Location"] == f"{HOMES}1/change/#offer-{row.pk}"
    board.adopt(OfferHealth.objects.all())
    health = board.live(row.pk).health
    assert (health.state, health.ejections, health.streak) == (State.UNKNOWN, 0, 0)
    due = OfferHealth.objects.get(offer=row).next_probe_at
    assert due is not None and due <= timezone.now()


def test_its_page_tells_each_capability_apart(depth: list[Offer]) -> None:
    home = depth[0].orchestrator
    now = timezone.now()
    down = {
        "state": "down",
        "until": now + timedelta(minutes=2),
        "cause": "gpu_oom",
        "reason": "2 faults: gpu_oom",
    }
    pose = well(offer(home, "pose"), **down)
    called(pose, 1, failed=3)
    for outcome in ("ok", "gpu_oom"):
        HealthSnapshot.objects.create(
            offer=pose, at=now, source="probe", outcome=outcome, before="healthy", after="down"
        )
    told = fleet(home, now)
    first, second = told["lines"]
    assert (first.offer.capability.slug, first.place, first.eligible, first.breaker) == (
        "depth",
        1,
        2,
        "closed",
    )
    assert (first.served, first.of, first.record.p95, first.of_ceiling) == (5, 20, 40, (10.0, 1000.0))
    assert (second.breaker, second.why, second.record.faults, second.record.calls) == (
        "open",
        "2 faults: gpu_oom",
        3,
        4,
    )
    assert second.looks == ["good", "bad"] and second.place is None
    assert [each.detail for each in told["failures"]] == ["CUDA out of memory"] * 3
    assert fleet(home, now + timedelta(minutes=3))["lines"][1].breaker == "half-open", "its time is over"
    (dear,) = fleet(depth[2].orchestrator, now)["lines"]
    assert dear.place is None and dear.why == "2000 wei/second is above the ceiling of 1000 wei/second"


def test_it_asks_fifteen_questions_at_the_most_however_many_offers(client: Client, depth: list[Offer]) -> None:
    """Issue 5, bar 2: for a member of a group, once the routing table is there."""
    editor, home = person(client, "Policy editor"), depth[0].orchestrator
    for number in range(8):
        called(well(offer(home, f"cap-{number}")), 2)
    page = f"{HOMES}{home.pk}/change/"
    assert editor.get(page).status_code == 200
    for url in (page, f"{HOMES}steer/disable/?id={home.pk}"):
        with CaptureQueriesContext(connection) as queries:
            text = editor.get(url).content.decode()
        assert len(queries) <= 15, [each["sql"][:100] for each in queries]
        assert "cap-7" in text


def test_only_a_post_by_who_may_operate_does_anything(client: Client, depth: list[Offer]) -> None:
    viewer, row = person(client, "Viewer"), depth[0]
    page = viewer.get(f"{HOMES}{row.orchestrator_id}/change/").content.decode()
    assert "Ignore until" not in page and "Drain" not in page
    for url in (
        f"{OFFERS}steer/drain/",
        f"{OFFERS}act/reset/",
        f"{HOMES}steer/disable/",
        f"{HOMES}act/probe_now/",
    ):
        assert viewer.post(url, {"id": row.pk, "reason": "x"}).status_code == 403
    client.force_login(User.objects.create_superuser("ada"))
    assert client.get(f"{OFFERS}act/reset/", {"id": row.pk}).status_code == 405
    assert client.post(f"{OFFERS}act/delete/", {"id": row.pk}).status_code == 404
    assert client.post(f"{OFFERS}steer/retire/", {"id": row.pk}).status_code == 404
    assert client.post(f"{HOMES}steer/ignore/", {"id": row.pk}).status_code == 404
    assert client.get(f"{OFFERS}steer/drain/", {"id": "1 OR 1"}).status_code == 404
