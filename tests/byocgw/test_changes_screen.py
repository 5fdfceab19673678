"""Changes in the console: the list, one change, and the way back to it (issue 5, screen 10)."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from orchestrators.changes import change_set, configuration_at, note_outside
from orchestrators.models import Capability, ConfigRevision
from routing import configuration
from routing.models import AlertChannel, AlertRule, OfferDay, PriceCeiling, Tier
from routing.models import Client as ApiClient
from routing.roles import make_groups
from tests.orchestrators.scenes import ALDER, BIRCH, offer, orchestrator

pytestmark = pytest.mark.django_db
MOST_QUERIES, NOW = 15, datetime(2026, 11, 23, tzinfo=UTC)
LIST = reverse("admin:orchestrators_configrevision_changelist")


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path


@pytest.fixture(autouse=True)
def history() -> None:
    """A ceiling, decided; then lowered by mistake; and a client switched off."""
    ceiling = PriceCeiling(capability=offer(orchestrator(ALDER), "depth").capability)
    with change_set("ada", "what depth is worth", "admin") as changing:
        ceiling.price = "1000 wei/second"
        ceiling.save()
        ApiClient.objects.create(name="acme")
        changing.summary += ["added price ceiling depth", "added client acme"]
    with change_set("bob", "a slip", "apply"):
        PriceCeiling.objects.update(price="1 wei/second")
        ApiClient.objects.update(is_active=False)


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ada"))
    return client


def editor(client: Client, group: str) -> Client:
    make_groups("default")
    user = User.objects.create_user("eve", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    client.force_login(user)
    return client


def back(number: int) -> str:
    return reverse("admin:orchestrators_configrevision_back", args=[number])


def go_back(client: Client, number: int, **said: str) -> Any:
    """As the page's form does it."""
    digest = client.get(back(number)).context["digest"]
    return client.post(back(number), {"digest": digest, "reason": "it was a slip"} | said)


def ceiling() -> str:
    return str(PriceCeiling.objects.get().price)


def revisions() -> list[ConfigRevision]:
    return list(ConfigRevision.objects.all())


def test_the_list_tells_who_what_and_why(ada: Client) -> None:
    PriceCeiling.objects.update(price="3 wei/second")
    note_outside()
    with CaptureQueriesContext(
        connection,
    ) as asked:
        text = ada.get(LIST).content.decode()
    assert len(asked) <= MOST_QUERIES
    assert ">outside the tools</a>" in ada.get("/admin/").content.decode(), "on the first page too"
    for told in ("outside the tools", "a slip", "bob", "added price ceiling depth …", "what depth is worth"):
        assert told in text, told


def test_a_change_is_told_field_by_field(ada: Client) -> None:
    latest, earliest = revisions()
    url = reverse("admin:orchestrators_configrevision_change", args=[latest.pk])
    with CaptureQueriesContext(connection) as asked:
        text = ada.get(url).content.decode()
    assert len(asked) <= MOST_QUERIES
    assert "<del>1000 wei/second</del>" in text and "<ins>1 wei/second</ins>" in text
    assert "is_active" in text and "Back to here" in text and "in force" in text
    url = reverse("admin:orchestrators_configrevision_change", args=[earliest.pk])
    assert "earliest change on record" in ada.get(url).content.decode()


def test_back_to_here_shows_the_plan_and_is_a_change_of_its_own(ada: Client) -> None:
    """Issue 5, bar 3: roll a policy back."""
    _latest, earliest = revisions()
    text = ada.get(back(earliest.pk)).content.decode()
    assert "price_ceiling 1 wei/second -&gt; 1000 wei/second" in text
    assert ceiling() == "1 wei/second", "the plan alone changes nothing"
    assert go_back(ada, earliest.pk).status_code == 302
    assert ceiling() == "1000 wei/second" and ApiClient.objects.get().is_active
    made = revisions()[0]
    assert (made.who, made.via, made.why) == ("ada", "admin", f"back to #{earliest.pk}: it was a slip")
    assert len(revisions()) == 3
    assert "Nothing would change" in ada.get(back(made.pk)).content.decode()


def test_going_back_needs_a_reason(ada: Client) -> None:
    _latest, earliest = revisions()
    answer = go_back(ada, earliest.pk, reason=" ")
    assert answer.status_code == 200 and "errorlist" in answer.content.decode()
    assert len(revisions()) == 2


def test_what_was_shown_is_what_is_done_or_nothing(ada: Client) -> None:
    _latest, earliest = revisions()
    digest = ada.get(back(earliest.pk)).context["digest"]
    Capability.objects.filter(slug="depth").update(max_attempts=7)
    answer = ada.post(back(earliest.pk), {"digest": digest, "reason": "it was a slip"})
    assert "Something has changed since" in answer.content.decode()
    assert "max_attempts 7" in answer.content.decode()
    assert ceiling() == "1 wei/second"


def test_the_way_back_asks_fifteen_questions_whatever_it_would_do(ada: Client) -> None:
    """Issue 5, bar 2: things come and go, with a past and without; nothing is written by who only looks."""
    earliest = revisions()[-1]
    with change_set("bob", "new", "apply"):
        for number, name in enumerate((ALDER, BIRCH, "birch-2", "birch-3")):
            row = offer(orchestrator(name), f"new-{number}")
            OfferDay.objects.create(day=NOW, orchestrator=name, capability=f"new-{number}", attempts=number % 2)
            ApiClient.objects.create(name=f"client-{number}").capabilities.add(row.capability)
            PriceCeiling.objects.create(capability=row.capability, tier=Tier.objects.create(slug=f"t-{number}"))
            AlertRule.objects.create(name=f"rule-{number}", kind="p95", threshold=9, capability=row.capability)
            AlertChannel.objects.create(name=f"channel-{number}")
    posts = ({"digest": "", "reason": ""}, {"digest": "another", "reason": "it was a slip"})
    for said in (None, *posts):
        with CaptureQueriesContext(connection) as asked:
            answer = ada.post(back(earliest.pk), said) if said else ada.get(back(earliest.pk))
        assert len(answer.context["plan"].changes) > 20
        assert len(asked) <= MOST_QUERIES, [each["sql"][:90] for each in asked]
        assert not [each for each in asked if each["sql"].startswith(("UPDATE", "INSERT", "DELETE", "BEGIN"))]
    assert go_back(ada, earliest.pk).status_code == 302
    assert not configuration.plan(configuration_at(earliest), prune=True).changes


def test_what_cannot_be_applied_any_more_is_told(ada: Client) -> None:
    _latest, earliest = revisions()
    document = {"capabilities": [{"slug": "depth", "profile": "gone"}]}

    ConfigRevision.objects.filter(pk=earliest.pk).update(bundle=gzip.compress(json.dumps(document).encode()))
    text = ada.get(back(earliest.pk)).content.decode()
    assert "there is no routing profile gone" in text and "Go back to it" not in text
    go_back(ada, earliest.pk)
    assert len(revisions()) == 2


def test_nobody_writes_by_going_back_what_they_may_not_write(client: Client) -> None:
    """A policy editor may change no client, so going back leaves them as they are, and says so."""
    _latest, earliest = revisions()
    eve = editor(client, "Policy editor")
    text = eve.get(back(earliest.pk)).content.decode()
    assert re.search(r"you may not change them:\s+clients", text)
    assert go_back(eve, earliest.pk).status_code == 302
    assert ceiling() == "1000 wei/second" and not ApiClient.objects.get().is_active


@pytest.mark.parametrize("group", ["Viewer", "Operator", "Key manager"])
def test_who_edits_no_policy_cannot_go_back(client: Client, group: str) -> None:
    someone, (latest, earliest) = editor(client, group), revisions()
    url = reverse("admin:orchestrators_configrevision_change", args=[latest.pk])
    assert someone.get(url).status_code == 200
    if group != "Key manager":
        assert "Back to here" not in someone.get(url).content.decode()
        assert someone.get(back(earliest.pk)).status_code == 403
    someone.post(back(earliest.pk), {"digest": "", "reason": "x"})
    assert ceiling() == "1 wei/second"
    assert someone.get(back(999)).status_code == 404
