"""Deleting what people decided, with all that machines wrote about it: possible, told by numbers, and quick."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrators.models import Advert, HealthSnapshot, Offer, OfferHealth, ReputationEvent, Trial
from routing.models import PriceCeiling
from tests.byocgw.test_roles import person, shipped_groups  # noqa: F401  (a fixture)
from tests.orchestrators.scenes import ALDER, BIRCH, offer, orchestrator

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("shipped_groups")]


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def known() -> Offer:
    """An offer that has been probed and tried, and has cost its orchestrator some reputation."""
    row, now = offer(orchestrator(ALDER), "depth"), timezone.now()
    Advert.objects.create(offer=row, claimed=True, price="10 wei/second", checked_at=now)
    OfferHealth.objects.create(offer=row, state="healthy")
    look(row, 3)
    Trial.objects.create(offer=row, at=now, who="ada", verdict="pass")
    ReputationEvent.objects.create(orchestrator=row.orchestrator, offer=row, at=now, kind="mismatch", points=15)
    return row


def look(row: Offer, times: int) -> None:
    seen = {"source": "probe", "outcome": "ok", "before": "healthy", "after": "healthy"}
    HealthSnapshot.objects.bulk_create(
        HealthSnapshot(offer=row, at=timezone.now(), **seen) for _ in range(times)
    )


def address(row: Any) -> str:
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/delete/"


def test_what_has_been_probed_can_be_deleted(client: Client, known: Offer) -> None:
    editor = person(client, "Policy editor")
    told = dict(editor.get(address(known)).context["model_count"])
    assert told == {"offers": 1, "adverts": 1, "offer health": 1, "health snapshots": 3, "trials": 1}
    assert editor.post(address(known), {"post": "yes", "reason": "it is sold"}).status_code == 302
    assert not Offer.objects.exists() and not HealthSnapshot.objects.exists()
    assert ReputationEvent.objects.get().offer is None, "of the orchestrator, which stays"
    home = known.orchestrator
    assert editor.post(address(home), {"post": "yes", "reason": "it is sold"}).status_code == 302
    assert not ReputationEvent.objects.exists()


def test_what_people_decided_is_named_and_needs_its_own_permission(client: Client, known: Offer) -> None:
    PriceCeiling.objects.create(capability=known.capability, price="20 wei/second")
    page = person(client, "Policy editor").get(address(known.capability))
    names = " ".join(map(str, page.context["deleted_objects"]))
    assert "Offer: alder / depth" in names and "Price ceiling: depth" in names and "snapshot" not in names
    assert page.context["perms_lacking"] == set()
    operator = person(client, "Operator")
    assert operator.post(address(known.capability), {"post": "yes"}).status_code == 403
    assert Offer.objects.exists()


def test_it_asks_fifteen_questions_however_much_there_is(client: Client, known: Offer) -> None:
    """Issue 5, bar 2."""
    editor = person(client, "Policy editor")
    for number in range(4):
        row = offer(orchestrator(f"{BIRCH}-{number}"), "depth")
        look(row, 40)
        look(offer(known.orchestrator, f"another-{number}"), 40)
    editor.get(address(known))  # reads the routing table
    for row in (known, known.orchestrator, known.capability):
        with CaptureQueriesContext(connection) as queries:
            assert editor.get(address(row)).context["perms_lacking"] == set()
        assert len(queries) <= 15, [each["sql"][:100] for each in queries]
