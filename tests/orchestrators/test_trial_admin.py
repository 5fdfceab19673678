"""Trials and reputation in the admin: run, read, and say why."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrators.core.reputation import Kind
from orchestrators.models import ConfigRevision, Mode, Offer, ReputationEvent, Trial
from orchestrators.reputation import note
from orchestrators.simulator import SimulatorProcess
from tests.orchestrators.scenes import ALDER, BIRCH, CEDAR, offer, orchestrator
from tests.support.forms import act

pytestmark = pytest.mark.django_db

OFFERS, ORCHESTRATORS = "/admin/orchestrators/offer/", "/admin/orchestrators/orchestrator/"


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def ada(client: Client) -> Client:
    """Ada runs the gateway."""
    client.force_login(User.objects.create_superuser("ada"))
    return client


def test_it_runs_a_trial_and_records_who_let_the_offer_in(ada: Client) -> None:
    """R53."""
    with SimulatorProcess("--capability", "depth") as alder:
        row = offer(orchestrator(ALDER, alder.service_uri), "depth", mode=Mode.TRIAL)
        untriable = offer(row.orchestrator, "pose", mode=Mode.TRIAL)
        said = act(ada, OFFERS, "run_trial", row, untriable)
    assert said[0] == "No sample request to try it with: alder / pose."
    assert said[1] == "alder / depth: pass. It is active now."
    row.refresh_from_db()
    assert row.mode == Mode.ACTIVE
    revision = ConfigRevision.objects.get()
    assert (revision.who, revision.why, revision.via) == ("ada", "admin: passed its trial", "admin")
    trial = Trial.objects.get()
    assert trial.who == "ada"
    text = ada.get(f"/admin/orchestrators/trial/{trial.pk}/change/").content.decode()
    assert (
        '<th scope="row">cold start</th><td data-label="Verdict"><span class="state good">pass</span></td>'
        in text
    )
    assert "Approve…" not in text, "it is active already"
    assert ada.get("/admin/orchestrators/trial/", {"verdict": "pass"}).context["cl"].result_count == 1


@pytest.mark.parametrize("model", ["trial", "reputationevent"])
def test_nobody_touches_what_a_trial_found(ada: Client, model: str) -> None:
    row = offer(orchestrator(CEDAR), "depth")
    note([row.pk], Kind.MISMATCH, "an empty body", time.time())
    trial = Trial.objects.create(offer=row, at=timezone.now(), verdict="fail")
    found = trial if model == "trial" else ReputationEvent.objects.get()
    base = f"/admin/orchestrators/{model}/"
    assert ada.get(f"{base}{found.pk}/change/").status_code == 200
    assert ada.get(f"{base}add/").status_code == 403
    assert ada.post(f"{base}{found.pk}/change/", {"_save": "Save"}).status_code == 403
    assert ada.post(f"{base}{found.pk}/delete/", {"post": "yes"}).status_code == 403


def test_it_shows_reputation_with_the_events_that_moved_it(ada: Client) -> None:
    """R57."""
    home = orchestrator(CEDAR)
    page = f"{ORCHESTRATORS}{home.pk}/change/"
    assert "Nothing has been held against it: 100 of 100." in ada.get(page).content.decode()
    note([offer(home, "depth").pk], Kind.DISHONEST_CAPACITY, "claims <4>, refused 2", time.time())
    text = ada.get(page).content.decode()
    assert "90.0 of 100: its calls count as 0.95 times as likely to succeed." in text
    assert (
        "<td>dishonest_capacity</td><td>-10</td><td>10.0 left</td><td>claims &lt;4&gt;, refused 2</td>" in text
    )
    assert '<td class="field-reputation">90</td>' in ada.get(ORCHESTRATORS).content.decode()


def test_it_asks_as_many_questions_for_many_reputations_as_for_few(ada: Client) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert ada.get(ORCHESTRATORS).status_code == 200
        return len(queries)

    note([offer(orchestrator(ALDER), "depth").pk], Kind.MISMATCH, "", time.time())
    few = asked()
    for number in range(6):
        row = offer(orchestrator(f"{BIRCH}-{number}"), "depth")
        note([row.pk], Kind.MISMATCH, "", time.time())
    assert asked() <= few


def test_who_changes_a_mode_may_say_why(ada: Client) -> None:
    row = offer(orchestrator(ALDER), "depth")
    Offer.objects.update(mode=Mode.TRIAL)
    assert 'name="reason"' in ada.get(OFFERS).content.decode()
    data = {
        "action": "activate",
        "index": "0",
        "_selected_action": [row.pk],
        "reason": ["", " the GPU is swapped "],
    }
    assert ada.post(OFFERS, data).status_code == 302
    assert ConfigRevision.objects.get().why == "admin: activate: the GPU is swapped (offer)"
    Offer.objects.update(mode=Mode.DISABLED)
    act(ada, OFFERS, "activate", row)
    assert ConfigRevision.objects.first().why == "admin: activate (offer)"  # type: ignore[union-attr]
    assert Offer.objects.get().mode == Mode.ACTIVE
