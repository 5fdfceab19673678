"""Ceilings against prices, as a picture with the numbers beside it (R13, R74)."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrators.core.price import Price
from orchestrators.models import Capability, Offer, Orchestrator
from routing.models import PriceCeiling, Rate, Tier

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Any) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path


def test_it_shows_who_is_within_the_ceiling_and_who_is_not(client: Client) -> None:
    client.force_login(User.objects.create_superuser("ada"))
    depth = Capability.objects.get(slug="depth")
    for name, price in (
        ("alder", "100 gwei/second"),
        ("birch", "100000000001 wei/second"),
        ("cedar", "40 gwei/second"),
        ("dogwood", "1 wei/pixel"),
    ):
        home = Orchestrator.objects.create(name=name, service_uri=f"http://{name}:1", protocol="direct")
        Offer.objects.create(orchestrator=home, capability=depth, price=Price.parse(price))
    PriceCeiling.objects.create(capability=depth, price=Price.parse("100 gwei/second"))
    tier = Tier.objects.create(slug="free")
    PriceCeiling.objects.create(capability=depth, tier=tier, price=Price.parse("50 gwei/second"))
    Rate.objects.create(per_eth="2000", as_of=timezone.now())
    client.get("/admin/prices/")
    with CaptureQueriesContext(connection) as queries:
        page = client.get("/admin/prices/")
    assert len(queries) <= 15
    (row,) = [each for each in page.context["rows"] if each.slug == "depth"]
    assert [(each.orchestrator, each.allowed) for each in row.asked] == [
        ("cedar", True), ("alder", True), ("birch", False),
    ]  # fmt: skip
    assert (row.allowed, row.strange, row.tiers) == (2, 1, [("free", Price.parse("50 gwei/second"), 1)])
    text = page.content.decode()
    assert "depth: 2 of 3 offers are within 100000000000 wei/second" in text
    assert text.count('class="mark good"') == 2 and text.count('class="mark bad"') == 1
    assert "$0.000200" in text and "undecided: only free offers are called" in text
