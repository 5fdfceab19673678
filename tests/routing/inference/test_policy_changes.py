"""What people change reaches the next request within a second, whichever way they wrote it.

Nothing here refreshes the gateway by hand: its own task has to find out. One second is promised and
four are allowed.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import Model
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from orchestrators.models import (
    Capability,
    ConfigRevision,
    FailureSignature,
    Offer,
    Orchestrator,
    Revision,
    RoutingProfile,
)
from orchestrators.simulator import Container, Simulator
from routing.configuration import apply
from routing.models import ApiKey, Client, Pipeline, PriceCeiling, Tier
from tests.routing.inference.scenes import PICTURE, ask, depth_by
from tests.support.forms import submit
from tests.support.gateway import Gateway, in_thread

ALLOWED = 4.0


async def statuses_follow(gateway: Gateway, change: Callable[[], object], status: int) -> float:
    """Make a change, then ask until the answer has this status; seconds it took. Fails when it never does."""
    await in_thread(change)
    began = time.monotonic()
    while (answer := await ask(gateway)).status_code != status:
        assert time.monotonic() - began < ALLOWED, answer.text
    return time.monotonic() - began


class Admin:
    """A person at the admin: opens a change form, changes some fields, and saves it."""

    def __init__(self) -> None:
        user = get_user_model().objects.create_superuser("ada", password="only for this test")
        self.browser = Browser()
        self.browser.force_login(user)

    def save(self, row: Any, **changes: Any) -> None:
        url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
        page = self.browser.get(url)
        assert page.status_code == 200
        saved = self.browser.post(url, _filled(page.context) | changes)
        assert saved.status_code == 302, saved.context["adminform"].form.errors


def _filled(context: Any) -> dict[str, Any]:
    """Every field of the page as it stands, the inlines' included."""
    inlines = [inline.formset for inline in context["inline_admin_formsets"]]
    forms = [context["adminform"].form]
    for formset in inlines:
        forms += [formset.management_form, *formset.initial_forms]
    values = {bound.html_name: bound.value() for form in forms for bound in form}
    return {name: value for name, value in values.items() if value not in (None, False)}


@pytest.fixture
async def priced(gateway: Gateway) -> Any:
    async with Simulator("alder", capabilities=[Container("depth", price=1000)]) as alder:
        await depth_by(gateway, alder)
        assert (await ask(gateway)).status_code == 200
        yield alder


def set_ceiling(text: str) -> Callable[[], object]:
    return lambda: PriceCeiling.objects.filter(capability__slug="depth").update(price=text)


def by_sql() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE orchestrators_orchestrator SET mode = 'draining'")


def by_saving() -> None:
    offer = Offer.objects.get()
    offer.mode = "disabled"
    offer.save()


def by_applying() -> None:
    document = {"capabilities": [{"slug": "depth", "profile": "per-frame", "price_ceiling": "999 wei/second"}]}
    assert not apply(document, who="test", why="test").errors


WAYS: dict[str, Callable[[], object]] = {
    "update": set_ceiling("1 wei/second"),
    "save": by_saving,
    "sql": by_sql,
    "apply": by_applying,
}


@pytest.mark.parametrize("way", WAYS)
async def test_it_follows_every_way_of_writing(gateway: Gateway, priced: Simulator, way: str) -> None:
    """R7, R9: `update()`, a save, raw SQL and `apply` each end the traffic to the only offer."""
    await statuses_follow(gateway, WAYS[way], 503)


async def test_it_follows_the_admin(gateway: Gateway, priced: Simulator) -> None:
    """R7, R9: saved in the admin's own forms: an orchestrator's mode, an offer's, the capability's policy."""
    admin = await in_thread(Admin)

    def save(model: Any, **changes: Any) -> Callable[[], object]:
        return lambda: admin.save(model.objects.get(**FOUND_BY.get(model, {})), **changes)

    await statuses_follow(gateway, save(Orchestrator, mode="draining"), 503)
    await statuses_follow(gateway, save(Orchestrator, mode="active"), 200)
    await statuses_follow(gateway, save(Offer, mode="disabled"), 503)
    await statuses_follow(gateway, save(Offer, mode="active"), 200)
    await statuses_follow(gateway, save(PriceCeiling, price="999 wei/second"), 503)
    await statuses_follow(gateway, save(PriceCeiling, price="1000 wei/second"), 200)
    await in_thread(save(Capability, value_of_second="0", max_attempts="1"))
    deadline = time.monotonic() + ALLOWED
    while gateway.runtime.table.policies["depth"].max_attempts != 1:
        assert time.monotonic() < deadline
        await ask(gateway)
    assert gateway.runtime.table.policies["depth"].value_of_second == 0
    written = await in_thread(
        lambda: list(ConfigRevision.objects.filter(via="admin").values_list("who", flat=True))
    )
    assert written == ["ada"] * 7


async def follows(change: Callable[[], object], seen: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Make a change, then look until it is to be seen."""
    await in_thread(change)
    began = time.monotonic()
    while (found := await seen()) != wanted:
        assert time.monotonic() - began < ALLOWED, found


async def test_it_follows_the_admin_in_whatever_else_decides(gateway: Gateway, priced: Simulator) -> None:
    """R7, R9, R31: a profile, a failure signature, a stock pipeline's path, a tier."""
    document = {
        "pipelines": [{"path": "text-to-image", "capability": "depth"}],
        "tiers": [{"slug": "small", "requests_per_minute": 600_000}],
        "clients": [{"name": "acme", "tier": "small"}],
    }
    await gateway.apply(document)
    admin = await in_thread(Admin)

    async def seconds() -> object:
        return (await gateway.get("/v1/capabilities/depth")).json()["timeout_seconds"]

    async def limit() -> object:
        return (await ask(gateway)).headers["ratelimit-limit"]

    async def by_pipeline() -> object:
        return (await gateway.post("/image-to-image", json=PICTURE)).status_code

    async def failed_as() -> object:
        return (await ask(gateway)).json()["attempts"][0]["class"]

    def save(app: str, model: type[Model], found_by: dict[str, str], **changes: Any) -> Callable[[], object]:
        def submitted() -> None:
            row = model._default_manager.get(**found_by)
            submit(admin.browser, f"/admin/{app}/{model._meta.model_name}/{row.pk}/change/", **changes)

        return submitted

    per_frame = {"slug": "per-frame"}
    await follows(save("orchestrators", RoutingProfile, per_frame, retry_timeout="20"), seconds, 20 + 3 + 15)
    await follows(save("routing", Tier, {}, requests_per_minute="300000"), limit, "300000")
    await follows(save("routing", Pipeline, {}, path="image-to-image"), by_pipeline, 200)
    priced.fault("depth", "gpu_oom")
    assert await failed_as() == "gpu_oom"
    for name in await in_thread(lambda: [each.name for each in FailureSignature.objects.filter(cls="gpu_oom")]):
        await in_thread(save("orchestrators", FailureSignature, {"name": name}, enabled=""))
    await follows(lambda: None, failed_as, "upstream_error")


FOUND_BY: dict[Any, dict[str, str]] = {Capability: {"slug": "depth"}}


async def test_it_refuses_a_revoked_key(gateway: Gateway, priced: Simulator) -> None:
    """A key revoked, or its client switched off, is refused; switched on, it is let in again."""

    def active(is_active: bool) -> Callable[[], object]:
        return lambda: Client.objects.update(is_active=is_active)

    await statuses_follow(gateway, active(False), 401)
    await statuses_follow(gateway, active(True), 200)
    await statuses_follow(gateway, lambda: ApiKey.objects.update(revoked_at=timezone.now()), 401)


async def test_it_lets_a_client_call_what_it_may(gateway: Gateway, priced: Simulator) -> None:
    """A many-to-many row is enough."""

    def allow(slug: str) -> None:
        Client.objects.get().capabilities.set(Capability.objects.filter(slug=slug))

    await statuses_follow(gateway, lambda: allow("pose"), 403)
    await statuses_follow(gateway, lambda: allow("depth"), 200)


async def test_it_knows_a_new_capability(gateway: Gateway, priced: Simulator) -> None:
    """R1: added without a change of code or a restart, an open name is served."""
    priced.registry.add(Container("subtitle-burn", kind="depth"))
    assert (await ask(gateway, "subtitle-burn")).status_code == 404

    def add() -> None:
        new = {"slug": "subtitle-burn", "profile": "chained", "price_ceiling": "none"}
        offers = [{"capability": "depth"}, {"capability": "subtitle-burn"}]
        alder = {"name": "alder", "service_uri": priced.service_uri, "offers": offers}
        assert not apply({"capabilities": [new], "orchestrators": [alder]}, who="test", why="test").errors

    await in_thread(add)
    await gateway.probe()
    answer = await gateway.post("/v1/capabilities/subtitle-burn", json=PICTURE)
    assert answer.status_code == 200


async def test_it_serves_from_memory_while_the_database_fails(gateway: Gateway, priced: Simulator) -> None:
    """The last good table keeps serving, nothing is lost, and the change made meanwhile comes through."""
    policy = await in_thread(lambda: Revision.objects.get().policy)
    await in_thread(Revision.objects.all().delete)
    await gateway.runtime.refresh()
    assert [(await ask(gateway)).status_code for _ in range(5)] == [200] * 5

    def restore() -> None:
        Revision.objects.create(pk=1, policy=policy)
        Orchestrator.objects.update(mode="draining")

    await statuses_follow(gateway, restore, 503)
