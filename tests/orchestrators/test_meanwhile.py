"""Two people edit one row at once (issue 5, section 3): the second save is told, and nothing is lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from orchestrators.models import Capability, ConfigRevision, FailureSignature, Offer, Orchestrator
from routing.models import Client as ApiClient
from routing.models import PriceCeiling
from tests.orchestrators.scenes import ALDER, offer, orchestrator
from tests.support.forms import shown

pytestmark = pytest.mark.django_db
Person = Callable[[str], Client]


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def person() -> Person:
    def log_in(name: str) -> Client:
        client = Client()
        client.force_login(User.objects.create_superuser(name))
        return client

    return log_in


@pytest.fixture
def alder() -> Offer:
    row = offer(orchestrator(ALDER, region="eu"), "depth")
    PriceCeiling.objects.create(capability=row.capability, price="1000 wei/second")
    return row


def opened(client: Client, url: str) -> dict[str, Any]:
    """What the page would send, with its hidden digest."""
    seen = re.search(r'name="seen" value="([^"]+)"', client.get(url).content.decode())
    assert seen is not None
    return shown(client, url) | {"seen": seen[1].replace("&quot;", '"'), "_save": "Save"}


def url_of(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def again(answer: Any) -> dict[str, Any]:
    """The page that came back, as it would be sent again."""
    form = answer.context["adminform"].form
    data = {field.html_name: field.value() for field in form}
    for inline in answer.context["inline_admin_formsets"]:
        for each in (inline.formset.management_form, *inline.formset.forms):
            data |= {field.html_name: field.value() for field in each}
    kept = {name: "on" if value is True else value for name, value in data.items()}
    return {name: value for name, value in kept.items() if value not in (None, False)} | {
        "seen": answer.context["seen"],
        "_save": "Save",
    }


def test_the_second_save_is_told_field_by_field(person: Person, alder: Offer) -> None:
    ada, bob = person("ada"), person("bob")
    url = url_of(alder.capability)
    first, second = opened(ada, url), opened(bob, url)
    assert ada.post(url, first | {"max_attempts": "3", "attempt_timeout": "9"}).status_code == 302

    answer = bob.post(url, second | {"max_attempts": "5", "stateful": "on"})
    assert answer.status_code == 200
    form = answer.context["adminform"].form
    [told] = form.non_field_errors()
    assert "ada has changed this" in told and "Attempt timeout is now 9.0." in told
    assert form.errors["max_attempts"] == ["It is now 3; save again to make it what you typed."]
    depth = Capability.objects.get(slug="depth")
    assert (depth.max_attempts, depth.attempt_timeout, depth.stateful) == (3, 9.0, False)

    assert bob.post(url, again(answer)).status_code == 302
    depth.refresh_from_db()
    assert (depth.max_attempts, depth.attempt_timeout, depth.stateful) == (5, 9.0, True)
    assert [row.who for row in ConfigRevision.objects.all()] == ["bob", "ada"]


def test_a_save_that_nobody_crossed_is_not_held_back(person: Person, alder: Offer) -> None:
    ada = person("ada")
    for row in (alder.capability, alder.capability.profile, alder, alder.orchestrator):
        data = opened(ada, url_of(row))
        assert ada.post(url_of(row), data).status_code == 302, row


def test_a_save_may_say_why(person: Person, alder: Offer) -> None:
    ada, url = person("ada"), url_of(alder.capability)
    assert 'name="reason"' in ada.get(url).content.decode()
    ada.post(url, opened(ada, url) | {"max_attempts": "2", "reason": " two are enough "})
    assert (
        ConfigRevision.objects.get().why == f"admin: change {alder.capability_id}: two are enough (capability)"
    )


def test_a_third_change_is_told_too(person: Person, alder: Offer) -> None:
    ada, bob = person("ada"), person("bob")
    url = url_of(alder.orchestrator)
    data = opened(bob, url) | {"notes": "bob's"}
    Orchestrator.objects.update(region="us")
    answer = bob.post(url, data)
    assert "Region is now us." in answer.content.decode()
    second = again(answer)
    ada.post(url, opened(ada, url) | {"region": "ap"})
    answer = bob.post(url, second)
    assert "Region is now ap." in answer.content.decode()
    assert bob.post(url, again(answer)).status_code == 302
    home = Orchestrator.objects.get()
    assert (home.region, home.notes) == ("ap", "bob's")


def test_lines_of_a_page_are_looked_at_too(person: Person, alder: Offer) -> None:
    ada = person("ada")
    url = url_of(alder.capability)
    data = opened(ada, url)
    PriceCeiling.objects.update(price="7 wei/second")
    answer = ada.post(url, data | {"description": "what is near"})
    assert "7 wei/second" in answer.content.decode() and "Not saved yet: somebody" in answer.content.decode()
    assert ada.post(url, again(answer)).status_code == 302
    assert str(PriceCeiling.objects.get().price) == "7 wei/second"
    assert Capability.objects.get(slug="depth").description == "what is near"


def test_a_list_that_is_edited_is_looked_at_too(person: Person) -> None:
    """Failure signatures are put in order in their list."""
    ada, url = person("ada"), reverse("admin:orchestrators_failuresignature_changelist")
    FailureSignature.objects.all().delete()
    row = FailureSignature.objects.create(
        name="full", order=5, text="queue is full", cls="busy", status_from=500, status_to=502
    )
    page = ada.get(url)
    formset = page.context["cl"].formset
    data = {
        field.html_name: field.value() for form in (formset.management_form, *formset.forms) for field in form
    }
    data = {
        name: "on" if value is True else value for name, value in data.items() if value not in (None, False)
    }
    data |= {"seen": page.context["seen"], "_save": "Save", "form-0-order": "9"}
    assert 'name="seen"' in page.content.decode()
    FailureSignature.objects.update(order=7)
    assert "It is now 7; save again" in ada.post(url, data).content.decode()
    row.refresh_from_db()
    assert row.order == 7
    assert ada.post(url, data | {"seen": ada.get(url).context["seen"]}).status_code == 302
    row.refresh_from_db()
    assert row.order == 9


def test_choices_and_lists_are_merged(person: Person, alder: Offer) -> None:
    """Fields whose value is more than a text: other rows, many of them, and a box that is not ticked."""
    ada = person("ada")
    acme = ApiClient.objects.create(name="acme")
    data = opened(ada, url_of(acme))
    acme.capabilities.add(alder.capability)
    ApiClient.objects.update(is_active=False)
    answer = ada.post(url_of(acme), data | {"notes": "a friend"})
    assert "Capabilities is now depth." in answer.content.decode()
    assert ada.post(url_of(acme), again(answer)).status_code == 302
    acme.refresh_from_db()
    assert (acme.notes, acme.is_active, acme.capabilities.count()) == ("a friend", False, 1)


@pytest.mark.parametrize("seen", ["", "no JSON", "[]", '{"": 7}'])
def test_a_page_that_is_not_ours_is_saved_as_ever(person: Person, alder: Offer, seen: str) -> None:
    ada, url = person("ada"), url_of(alder.orchestrator)
    assert ada.post(url, opened(ada, url) | {"region": "us", "seen": seen}).status_code == 302
