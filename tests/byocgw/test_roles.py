"""Who may do what in the console: the groups that `migrate` makes, against every URL there is."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from orchestrators.models import Capability, ConfigRevision, Mode, Offer, Orchestrator
from routing.models import ApiKey, PriceCeiling, Tier
from routing.models import Client as ApiClient
from routing.roles import ROLES, make_groups
from tests.orchestrators.scenes import ALDER, offer, orchestrator
from tests.support.forms import act, submit
from tests.support.screens import MODELS, addresses

pytestmark = pytest.mark.django_db

KEPT_APART = {"sessions", "admin"}  # sessions come and go; the log tells of what was done, which is compared


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def fleet(shipped_groups: None) -> Offer:
    """A row of everything that people decide."""
    row = offer(orchestrator(ALDER), "depth")
    tier = Tier.objects.create(slug="pro")
    PriceCeiling.objects.create(capability=row.capability, price="1000 wei/second")
    acme = ApiClient.objects.create(name="acme", tier=tier)
    ApiKey.issue(acme, now=timezone.now())[0].save()
    return row


@pytest.fixture
def shipped_groups() -> None:
    make_groups("default")


def person(client: Client, role: str) -> Client:
    user = User.objects.create_user(role.split()[0].lower(), password="for-tests-only", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    return client


def contents() -> dict[str, list[Any]]:
    """Every row of the database, but for sessions and the log of log-ins."""
    return {
        model._meta.label: [*model._default_manager.order_by("pk").values()]
        for config in apps.get_app_configs()
        if config.label not in KEPT_APART
        for model in config.get_models()
        if model is not User
    }


# Of forms, actions and buttons all at once: each page takes what it knows (and see test_who_may_write.py).
WRITES: list[dict[str, Any]] = [
    {
        "post": "yes",
        "_save": "Save",
        "name": "mallory",
        "slug": "mallory",
        "username": "mallory",
        "usual": "yes",
    }
    | {"action": "delete_selected", "index": "0", "_selected_action": ["1"], "id": "1", "reason": "x"}
    | {"hours": "1", "confirm": "yes", "mode": "disabled", "send": "yes", "body": "{}"},
    {"action": "drain", "index": "0", "_selected_action": ["1"], "reason": "x", "capability": "depth"},
]


def test_a_viewer_can_change_nothing_by_any_url(client: Client, fleet: Offer) -> None:
    """Issue 5, section 3: every address of the admin, asked and posted to."""
    viewer = person(client, "Viewer")
    before = contents()
    asked = [each for each in addresses() if not each.endswith(("logout/", "login/", "password_change/"))]
    assert len(asked) > 80
    for address in asked:
        assert viewer.get(address).status_code < 500, address
        for data in WRITES:
            assert viewer.post(address, data).status_code < 500, address
    assert contents() == before


@pytest.mark.parametrize("role", ["Viewer", "Operator"])
def test_who_may_not_edit_still_sees_everything_that_is_ours(client: Client, fleet: Offer, role: str) -> None:
    someone = person(client, role)
    for model in MODELS:
        if model._meta.app_label in ("orchestrators", "routing"):
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
            assert someone.get(reverse(name)).status_code == 200, name
    assert someone.get(reverse("admin:auth_user_changelist")).status_code == 403


@pytest.mark.parametrize("role", ["Viewer", "Operator", "Policy editor", "Key manager", "Administrator"])
def test_no_link_leads_where_its_reader_may_not_go(client: Client, fleet: Offer, role: str) -> None:
    """From the first page on, along every link; of pages that differ by a number one."""
    someone = person(client, role)
    found, kinds = ["/admin/"], set[str]()
    for address in found:
        answer = someone.get(address)
        assert answer.status_code == 200, address
        for link in re.findall(r'href="([^"#]+)', answer.content.decode()):
            to = urljoin(address, unescape(link))
            kind = re.sub(r"\d+|\?.*", "", to)
            if to.startswith("/admin/") and kind not in kinds:
                kinds.add(kind)
                found.append(to)
    assert len(found) > 30, "they are found"


def test_an_operator_drains_and_cannot_edit(client: Client, fleet: Offer) -> None:
    operator = person(client, "Operator")
    home = fleet.orchestrator
    act(operator, reverse("admin:orchestrators_orchestrator_changelist"), "drain", home)
    home.refresh_from_db()
    assert home.mode == Mode.DRAINING
    assert ConfigRevision.objects.get().who == "operator"
    page = reverse("admin:orchestrators_orchestrator_change", args=[home.pk])
    assert operator.post(page, {"name": "mallory", "_save": "Save"}).status_code == 403
    assert (
        "delete_selected"
        not in operator.get(reverse("admin:orchestrators_orchestrator_changelist")).content.decode()
    )


def test_a_policy_editor_edits_policy_and_issues_no_key(client: Client, fleet: Offer) -> None:
    editor = person(client, "Policy editor")
    ceiling = PriceCeiling.objects.get()
    submit(editor, reverse("admin:routing_priceceiling_change", args=[ceiling.pk]), price="7 wei/second")
    ceiling.refresh_from_db()
    assert str(ceiling.price) == "7 wei/second"
    assert editor.get(reverse("admin:routing_apikey_add")).status_code == 403
    assert editor.get(reverse("admin:routing_client_changelist")).status_code == 200


def test_a_key_manager_issues_keys_and_leaves_policy_alone(client: Client, fleet: Offer) -> None:
    manager = person(client, "Key manager")
    fields = {"client": ApiClient.objects.get().pk, "label": "new", "scope": "all", "networks": ""}
    assert manager.post(reverse("admin:routing_apikey_add"), fields).status_code == 200
    assert ApiKey.objects.filter(label="new").exists()
    capability = reverse("admin:orchestrators_capability_change", args=[fleet.capability_id])
    assert manager.post(capability, {"slug": "mallory", "_save": "Save"}).status_code == 403
    assert act_status(manager, "disable", fleet.orchestrator) == Mode.ACTIVE


def act_status(client: Client, action: str, home: Orchestrator) -> str:
    data = {"action": action, "index": "0", "_selected_action": [str(home.pk)]}
    client.post(reverse("admin:orchestrators_orchestrator_changelist"), data)
    home.refresh_from_db()
    return home.mode


def test_an_administrator_manages_people_without_being_a_superuser(client: Client, fleet: Offer) -> None:
    boss = person(client, "Administrator")
    assert boss.get(reverse("admin:auth_user_changelist")).status_code == 200
    assert boss.get(reverse("admin:routing_apikey_add")).status_code == 200
    assert boss.get(reverse("admin:orchestrators_capability_add")).status_code == 200


def test_migrate_puts_the_shipped_rights_back(shipped_groups: None) -> None:
    """A permission that was taken away returns, one that was added goes: other rights are for other groups."""
    viewer = Group.objects.get(name="Viewer")
    viewer.permissions.set(Permission.objects.filter(codename="delete_capability"))
    make_groups("default")
    names = set(viewer.permissions.values_list("codename", flat=True))
    assert "delete_capability" not in names and "view_job" in names
    assert set(Group.objects.values_list("name", flat=True)) >= set(ROLES)
    assert Capability.objects.exists()
