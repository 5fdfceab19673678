"""The console's first page: the right numbers, sentences for what is wrong, and few questions."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrators.models import Advert, Offer, OfferHealth
from routing.dashboard import _kept, dashboard, percentile
from routing.models import Client as Customer
from routing.models import PriceCeiling, Tier, UsageHour
from tests.orchestrators.scenes import ALDER, BIRCH, offer, orchestrator

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path
    _kept.clear()  # of a test before, whose numbers were taken back with its rows


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ada"))
    return client


def well(row: Offer, price: str = "10 wei/second", *, probed: int = 5, **health: Any) -> None:
    now = timezone.now()
    Advert.objects.create(offer=row, claimed=True, price=price, capacity=4, checked_at=now)
    values = {"state": "healthy", "warm_ms": 50.0, "probed_at": now - timedelta(seconds=probed)}
    OfferHealth.objects.create(offer=row, **(values | health))


def said() -> list[str]:
    return [each.said for each in dashboard(timezone.now())["notices"]]


def test_it_says_when_one_is_left_and_when_nobody_is() -> None:
    alder, birch = offer(orchestrator(ALDER), "depth"), offer(orchestrator(BIRCH), "depth")
    PriceCeiling.objects.create(capability=alder.capability, price="1000 wei/second")
    well(alder), well(birch)
    assert said() == []
    Offer.objects.filter(pk=birch.pk).update(mode="draining")
    assert said() == ["depth: only one eligible orchestrator left"]
    Offer.objects.filter(pk=alder.pk).update(mode="disabled")
    (notice,) = dashboard(timezone.now())["notices"]
    assert notice.said == "depth: none of its 2 offers may serve now" and notice.fix == "2 mode offer"


def test_it_says_what_a_ceiling_excludes_and_that_probes_are_late() -> None:
    alder, birch = offer(orchestrator(ALDER), "depth"), offer(orchestrator(BIRCH), "depth")
    PriceCeiling.objects.create(capability=alder.capability, price="1000 wei/second")
    well(alder, probed=600), well(birch, "2000 wei/second", probed=700)
    assert said() == [
        "depth: only one eligible orchestrator left",
        "The ceiling excludes 1 of 2 offers of depth",
        "The latest probe was 10 min ago",
    ]
    Offer.objects.update(mode="disabled")
    assert "The latest probe was 10 min ago" not in said(), "nobody probes them"


def test_a_prober_is_late_only_where_a_probe_was_due_meanwhile() -> None:
    """Who cannot be reached is asked every five minutes; who was asleep is due for long, once it is awake."""
    now = timezone.now()
    row, asleep = offer(orchestrator(ALDER), "depth"), offer(orchestrator(BIRCH), "depth", mode="disabled")
    well(row, probed=240, next_probe_at=now + timedelta(seconds=60))
    well(asleep, probed=90000, next_probe_at=now - timedelta(days=1))
    assert not any("probe" in each for each in said())
    OfferHealth.objects.filter(offer=row).update(next_probe_at=now - timedelta(seconds=181))
    assert "The latest probe was 4 min ago" in said()
    OfferHealth.objects.filter(offer=row).update(probed_at=now)
    Offer.objects.update(mode="active")
    assert not any("probe" in each for each in said())


def test_it_says_who_is_let_in_without_a_key() -> None:
    """Only where a network is everybody's."""
    tier = Tier.objects.create(slug="open", requests_per_minute=1)
    Customer.objects.create(name="near", tier=tier, networks=["10.0.0.0/8"])
    assert said() == []
    Customer.objects.create(name="all", tier=tier, networks=["::/0", "0.0.0.0/0"])
    assert said() == ["Whoever reaches this gateway may call as all, without a key"]


def test_it_adds_up_the_last_day_by_hour_and_capability() -> None:
    offer(orchestrator(ALDER), "depth")
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    for ago, client in ((0, "acme"), (0, "globex"), (3, "acme"), (30, "acme")):
        UsageHour.objects.create(
            hour=hour - timedelta(hours=ago), client=client, capability="depth", requests=10, failures=1,
            milliseconds=500, wei=7,
        )  # fmt: skip
    told = dashboard(timezone.now())
    total = told["total"]
    assert (total.requests, total.failures, total.succeeded, total.wei) == (30, 3, 27, 21)
    assert (total.by_hour[-1], total.by_hour[-4], sum(total.by_hour)) == (20, 10, 30)
    (depth,) = [each for each in told["served"] if each.slug == "depth"]
    assert depth.traffic.requests == 30 and depth.traffic.mean_ms == 50


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([5, 1, 3], 0.95) == 5 and percentile(list(range(100)), 0.95) == 95
    assert percentile([], 0.95) is None


def test_it_asks_fifteen_questions_at_the_most_however_many_offers(ada: Client) -> None:
    """Issue 5, bar 2: once the routing table is there, which is read anew only after a change of policy."""
    for number in range(6):
        well(offer(orchestrator(f"{ALDER}-{number}"), f"cap-{number}"))
    assert ada.get("/admin/").status_code == 200
    with CaptureQueriesContext(connection) as queries:
        page = ada.get("/admin/")
    assert len(queries) <= 15, [each["sql"][:120] for each in queries]
    text = page.content.decode()
    assert f"{ALDER}-0" in text and "cap-5" in text and len(page.content) < 100_000
    part = ada.get("/admin/dashboard/").content.decode()
    assert "cap-5" in part and "<html" not in part


def test_who_may_see_none_of_it_gets_the_list_of_what_they_may_open(client: Client) -> None:
    client.force_login(User.objects.create_user("bob", is_staff=True))
    page = client.get("/admin/")
    assert page.status_code == 200 and "dashboard" not in page.context
    assert client.get("/admin/dashboard/").status_code == 403
