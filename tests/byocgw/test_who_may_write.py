"""What the console can do to each table, tried by whoever may not, with requests that take effect for others.

`test_roles.py` knocks at every address there is; here each form is filled in, each action and button pressed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from byocgw.console.changes import digest, way_back
from orchestrators.changes import change_set
from orchestrators.models import (
    Capability,
    Certificate,
    ConfigRevision,
    DiscoverySource,
    FailureSignature,
    OfferHealth,
)
from routing import configuration
from routing.models import Alert, AlertChannel, AlertRule, ApiKey, Pipeline, PriceCeiling, Rate, Tier
from routing.models import Client as ApiClient
from routing.roles import make_groups
from tests.byocgw.test_roles import contents, person
from tests.orchestrators.scenes import ALDER, offer, orchestrator
from tests.support.forms import shown

pytestmark = pytest.mark.django_db
Request = tuple[str, dict[str, Any]]

PASSWORD = {"password1": "a-new-password-1", "password2": "a-new-password-1"}
NOW = {"as_of_0": "2026-01-01", "as_of_1": "00:00:00"}
# Of each model that has a form: what makes of the row there is another one, and a new row beside it.
SAID: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "orchestrators.DiscoverySource": ({"name": "mallory"}, {"name": "eve"}),
    "orchestrators.FailureSignature": ({"text": "mallory"}, {"name": "eve", "text": "eve"}),
    "orchestrators.RoutingProfile": ({"description": "mallory"}, {"slug": "eve"}),
    "orchestrators.Orchestrator": ({"notes": "mallory"}, {"name": "eve", "service_uri": "https://eve.example"}),
    "orchestrators.Offer": ({"wire_name": "mallory"}, {"capability": "pose", "wire_name": "eve"}),
    "orchestrators.Capability": ({"description": "mallory"}, {"slug": "eve"}),
    "routing.AlertChannel": ({"email": "mallory@example.org"}, {"name": "eve"}),
    "routing.AlertRule": ({"threshold": "99"}, {"name": "eve"}),
    "routing.PriceCeiling": ({"price": "7 wei/second"}, {"capability": "pose"}),
    "routing.Rate": ({"per_eth": "1.5"} | NOW, {}),  # there is one currency
    "routing.Tier": ({"burst": "7"}, {"slug": "eve"}),
    "routing.Client": ({"notes": "mallory"}, {"name": "eve"}),
    "routing.ApiKey": ({"label": "mallory"}, {"client": "acme", "label": "eve"}),
    "routing.Pipeline": ({"wire_names": '{"a": "mallory"}'}, {"path": "upscale"}),
    "auth.User": ({"first_name": "Mallory"}, {"username": "eve", "usable_password": "true"} | PASSWORD),
    "auth.Group": ({"name": "mallory"}, {"name": "eve"}),
}
ELSEWHERE = {"probe_now", "run_trial", "send_test_message"}  # speak to others; not tried by who may
# Of each group: what it may change. What else changes then is told of every change.
MAY: dict[str, set[str]] = {
    "Viewer": set(),
    "Operator": {
        *("orchestrators.Orchestrator", "orchestrators.Offer", "orchestrators.OfferHealth", "routing.Alert"),
    },
    "Key manager": {"routing.Client", "routing.ApiKey"},
    "Policy editor": {
        label for label in SAID if label not in ("routing.Client", "routing.ApiKey", "auth.User", "auth.Group")
    },
}
MAY["Policy editor"] |= MAY["Operator"] | {"orchestrators.Certificate"}
TOLD = {"orchestrators.Revision", "orchestrators.ConfigRevision"}
STEERED = {"mode", "ignored_until", "share"}


@pytest.fixture(autouse=True)
def everything(settings: Any, tmp_path: Path) -> None:
    """A row of whatever people decide, and of what they act on."""
    settings.STATIC_ROOT = tmp_path
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    make_groups("default")
    now = timezone.now()
    row = offer(orchestrator(ALDER), "depth")
    Capability.objects.get_or_create(slug="pose", defaults={"profile": row.capability.profile})
    OfferHealth.objects.create(offer=row, state="down")
    Certificate.objects.create(orchestrator=row.orchestrator, trusted="aa" * 32, seen="bb" * 32, seen_at=now)
    DiscoverySource.objects.create(name="naap", url="https://lists.example/pool")
    FailureSignature.objects.create(name="full", text="full", cls="busy", status_from=500, status_to=502)
    tier = Tier.objects.create(slug="pro")
    PriceCeiling.objects.create(capability=row.capability, price="1000 wei/second")
    Rate.objects.create(per_eth="3600.50", as_of=now)
    Pipeline.objects.create(path="text-to-image", capability=row.capability)
    acme = ApiClient.objects.create(name="acme", tier=tier)
    ApiKey.issue(acme, now=now)[0].save()
    AlertChannel.objects.create(name="ops", kind="email", email="ops@example.org")
    rule = AlertRule.objects.create(name="calls fail", kind="errors", threshold=20)
    Alert.objects.create(rule=rule, began_at=now, seen_at=now)
    for price in ("2000 wei/second", "3000 wei/second"):  # the first is what to go back to
        with change_set(who="ada", why=price, via="admin"):
            PriceCeiling.objects.update(price=price)
    User.objects.create_user("zoe", is_staff=True)  # the latest person is nobody who asks here


def latest(label: str) -> Any:
    return apps.get_model(label)._default_manager.order_by("pk").last()


def address(label: str, kind: str, *keys: Any) -> str:
    return reverse(f"admin:{label.lower().replace('.', '_')}_{kind}", args=keys)


def saves(ada: Client) -> list[Request]:
    """Every form, as a superuser sees it, with something changed; and every form of a new row."""
    made = []
    for label, (change, new) in SAID.items():
        page = address(label, "change", latest(label).pk)
        values = shown(ada, page)
        made.append((page, values | change | {"_save": "Save"}))
        own = {name: value for name, value in values.items() if "-" not in name}
        empty = shown(ada, address(label, "add"))
        made.append((address(label, "add"), empty | own | _by_key(new) | {"_save": "Save"}))
    return made


def _by_key(said: dict[str, Any]) -> dict[str, Any]:
    keys = {
        "capability": lambda slug: Capability.objects.get(slug=slug).pk,
        "client": lambda name: ApiClient.objects.get(name=name).pk,
    }
    return {name: keys[name](value) if name in keys else value for name, value in said.items()}


def presses() -> Iterator[Request]:
    """Every action and button of lists and rows, and the pages of no model."""
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_active=True)
    for model, site in admin.site._registry.items():
        row = latest(model._meta.label)
        for name in () if row is None else site.get_actions(request):
            if name != "delete_selected":
                yield (
                    address(model._meta.label, "changelist"),
                    {"action": name, "index": "0", "_selected_action": [row.pk], "reason": "x"},
                )
        for kind, names in (("steer", "steps"), ("act", "acts")):
            for name in getattr(site, names, ()):
                data = {"id": row.pk, "reason": "x", "hours": "1", "share": "0.5"}
                yield address(model._meta.label, kind, name), data
    key, zoe = latest("routing.ApiKey").pk, User.objects.get(username="zoe").pk
    yield f"{address('routing.ApiKey', 'rotate')}?ids={key}", {"reason": "x", "overlap": "0"}
    yield f"{address('routing.ApiKey', 'revoke')}?ids={key}", {"reason": "x"}
    yield reverse("admin:auth_user_password_change", args=[zoe]), PASSWORD | {"set-password": "1"}
    for said in ({"acknowledge": "yes"}, {"silence": "8"}, {"usual": "yes"}):
        yield reverse("admin:alerts"), {"alert": [latest("routing.Alert").pk], **said}
    revision = ConfigRevision.objects.order_by("pk")[0]
    back = reverse("admin:orchestrators_configrevision_back", args=[revision.pk])
    document, _left = way_back(request, revision)
    yield back, {"reason": "x", "digest": digest(configuration.plan(document, prune=True))}
    yield f"{reverse('admin:playground')}?capability=depth", {"do": "save", **JSON}
    yield f"{reverse('admin:playground')}?capability=depth&key={key}", {"do": "send", **JSON}
    yield address("orchestrators.DiscoverySource", "discover"), {"digest": ""}


JSON = {"content_type": "application/json", "body": '{"a": 1}', "once": "x" * 32, "path": ""}


def deletions() -> Iterator[Request]:
    for label in SAID:
        row = latest(label)
        many = {"action": "delete_selected", "index": "0", "_selected_action": [row.pk]}
        yield address(label, "changelist"), many | {"post": "yes", "reason": "x"}
        yield address(label, "delete", row.pk), {"post": "yes", "reason": "x"}


def rows() -> dict[str, list[Any]]:
    return contents() | {"auth.User": [*User.objects.order_by("pk").values()]}


def test_a_superusers_requests_take_effect(client: Client) -> None:
    """Or those of others below would prove nothing; every form that there is is among them."""
    ada = User.objects.create_superuser("ada")
    client.force_login(ada)
    request = RequestFactory().get("/")
    request.user = ada
    sites = admin.site._registry.items()
    assert {model._meta.label for model, site in sites if site.has_add_permission(request)} == set(SAID)
    before = rows()
    for url, data in saves(client):
        client.post(url, data)
    saved = rows()
    for label in SAID:
        keys = [each["id"] for each in before[label]]
        assert [each for each in saved[label] if each["id"] in keys] != before[label], label
        assert len(saved[label]) == len(before[label]) + (label != "routing.Rate"), label
    for url, data in deletions():
        client.post(url, data)
    deleted = rows()
    for label in SAID:
        assert len(deleted[label]) < len(saved[label]), label


def test_who_may_write_nothing_holds_up_nobody(client: Client) -> None:
    """A refused request never gets as far as the lock that every change of policy takes."""
    viewer, row = person(client, "Viewer"), latest("orchestrators.Capability")
    with CaptureQueriesContext(connection) as asked:
        assert viewer.post(address("orchestrators.Capability", "change", row.pk), {}).status_code == 403
    assert not [each["sql"] for each in asked if "orchestrators_revision" in each["sql"]]


def test_who_may_not_changes_nothing_by_a_full_request() -> None:
    """Issue 5, section 3: every group, and what it may not."""
    ada = Client()
    ada.force_login(User.objects.create_superuser("ada"))
    requests = [*presses(), *saves(ada), *deletions()]
    for role, may in MAY.items():
        someone, before = person(Client(), role), rows()
        for url, data in requests:
            if not (may and ELSEWHERE & {data.get("action"), url.split("/")[-2]}):
                assert someone.post(url, data).status_code < 500, (role, url)
        after = rows()
        changed = {label for label in before if after[label] != before[label]}
        assert changed <= (may and may | TOLD), role
        assert changed >= may, f"{role}: what it may, it can"
        if role == "Operator":
            for label in ("orchestrators.Orchestrator", "orchestrators.Offer"):
                for old, new in zip(before[label], after[label], strict=True):
                    assert {name for name in old if old[name] != new[name]} <= STEERED
