"""`/api/`: a job, and who would serve a capability now, as JSON for staff who may view them. Read-only."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser
from django.utils import timezone

from orchestrators.core.outcome import Outcome, OutcomeClass
from orchestrators.core.price import Price
from orchestrators.models import Advert, Capability, Offer, Orchestrator
from routing.models import Attempt, Job, PriceCeiling, Tier
from tests.support.gateway import Gateway, in_thread

pytestmark = pytest.mark.django_db
JOB = "/api/jobs/request-1/"
EXPLAIN = "/api/capabilities/depth/explain/"


@pytest.fixture(autouse=True)
def one_of_each(settings: Any, tmp_path: Any, shipped: None) -> None:
    """Alder offers depth; one job went from Cedar to Alder."""
    settings.STATIC_ROOT = tmp_path
    depth = Capability.objects.get(slug="depth")
    alder = Orchestrator.objects.create(name="alder", service_uri="https://alder:8935")
    offer = Offer.objects.create(orchestrator=alder, capability=depth)
    Advert.objects.create(offer=offer, claimed=True, price=Price.parse("700 wei/second"))
    PriceCeiling.objects.create(capability=depth, price=Price.parse("1000 wei/second"))
    now = timezone.now()
    job = Job.objects.create(
        request_id="request-1",
        at=now,
        client="acme",
        capability="depth",
        code="ok",
        status=200,
        orchestrator="alder",
        attempts_made=2,
        ms=1234,
        bytes_in=1,
        bytes_out=2,
        wei=2**53 + 1,
        policy=7,
        decision={
            "d": [0.25, 0.5, 0.75],
            "s": 300,
            "c": [
                ["cedar", 0, 1, 10, 0.5, 99.0, 0.0, 30, 1, 0, 8],
                ["alder", 0, 1, 700, 0.5, 99.0, 0.0, 400, 1, 0, 8],
            ],
            "r": [["douglas", 0, "5000", "1000"]],
        },
    )
    for number, (name, outcome) in enumerate([("cedar", "timeout"), ("alder", "ok")], 1):
        Attempt.objects.create(
            job=job, number=number, at=now, orchestrator=name, capability="depth", outcome=outcome, ms=600
        )


def bob(client: Browser, *permissions: str) -> Browser:
    """Bob is staff with these permissions."""
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


def test_it_tells_all_of_a_job(admin_client: Browser) -> None:
    """Candidates, what removed each other one, terms, draw, attempts, revision."""
    answer = admin_client.get(JOB)
    told = answer.json()
    assert (answer.status_code, answer["content-type"]) == (200, "application/json")
    assert (told["request_id"], told["client"], told["orchestrator"], told["revision"]) == (
        *("request-1", "acme", "alder"),
        7,
    )
    assert told["wei"] == "9007199254740993", "exact, beyond what a JSON number holds"
    assert [(each["orchestrator"], each["class"], each["ms"]) for each in told["attempts"]] == [
        ("cedar", "timeout", 600),
        ("alder", "ok", 600),
    ]
    decision = told["decision"]
    assert [each["orchestrator"] for each in decision["candidates"]] == ["cedar", "alder"]
    assert decision["candidates"][1]["terms"]["price"] == "700 wei/second"
    assert decision["refused"][0]["reason"] == "price_ceiling"
    assert decision["draws"] == [0.25, 0.5, 0.75]


def test_it_says_that_a_decision_was_not_kept(admin_client: Browser) -> None:
    Job.objects.update(decision={})
    assert admin_client.get(JOB).json()["decision"] is None


def test_it_explains_a_capability_as_the_command_does(admin_client: Browser) -> None:
    told = admin_client.get(EXPLAIN).json()
    assert (told["capability"], told["ceiling"], told["chosen"]) == ("depth", "1000 wei/second", "alder")
    assert told["candidates"][0]["terms"]["price"] == "700 wei/second"


async def test_it_explains_by_what_this_worker_has_seen(gateway: Gateway, admin_client: Browser) -> None:
    """Calls in flight and averages are in memory alone; looking at them leaves them as they are."""
    alder = await Offer.objects.aget()
    board = gateway.runtime.board
    seat = board.seat(alder.pk, 2)
    for _ in range(5):
        board.observe(alder.pk, Outcome(OutcomeClass.OK, status=200, latency=0.5), now=time.time())
    [told] = (await in_thread(admin_client.get, EXPLAIN)).json()["candidates"]
    assert seat is not None
    assert (told["terms"]["in_flight"], told["terms"]["against"]) == (1, ["slow"])
    assert told["evidence"] == [
        "slow for its profile: p95 of its warm answers about 500 ms, the target is 50 ms"
    ]
    assert board.live(alder.pk).until == 0.0


def test_it_explains_for_a_tier(admin_client: Browser) -> None:
    """A ceiling of its own refuses what everybody else may use."""
    tier = Tier.objects.create(slug="small")
    PriceCeiling.objects.create(
        capability=Capability.objects.get(slug="depth"), tier=tier, price=Price.parse("5 wei/second")
    )
    told = admin_client.get(EXPLAIN, {"tier": "small"}).json()
    assert (told["chosen"], told["refused"][0]["reason"]) == (None, "price_ceiling")
    unknown = admin_client.get(EXPLAIN, {"tier": "large"})
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "There is no tier 'large'."})


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/api/jobs/request-2/", "There is no job of this id."),
        ("/api/capabilities/weather/explain/", "There is no capability 'weather'."),
        ("/api/", "Not found."),
        ("/api/jobs/", "Not found."),
        ("/api/jobs/request-1", "Not found."),
    ],
)
def test_it_says_as_json_what_is_not_there(admin_client: Browser, path: str, detail: str) -> None:
    answer = admin_client.get(path)
    assert (answer.status_code, answer["content-type"]) == (404, "application/json")
    assert answer.json()["detail"].startswith(detail)


@pytest.mark.parametrize("path", [JOB, EXPLAIN, "/api/jobs/request-2/", "/api/else/"])
def test_it_tells_strangers_nothing(client: Browser, path: str) -> None:
    """Nor those who are logged in and not staff, whatever they may view."""
    answer = client.get(path)
    assert (answer.status_code, answer["content-type"]) == (403, "application/json")
    user = User.objects.create_user("eve")
    user.user_permissions.set(Permission.objects.all())
    client.force_login(user)
    assert client.get(path).status_code == 403


@pytest.mark.parametrize(
    ("path", "permissions"),
    [
        (JOB, ["view_job", "view_attempt"]),
        (EXPLAIN, ["view_capability", "view_orchestrator", "view_offer", "view_priceceiling"]),
    ],
)
def test_it_wants_the_permission_to_view_each_model(client: Browser, path: str, permissions: list[str]) -> None:
    browser = bob(client, *permissions)
    assert browser.get(path).status_code == 200
    for missing in permissions:
        kept = [each for each in permissions if each != missing]
        User.objects.get(username="bob").user_permissions.set(Permission.objects.filter(codename__in=kept))
        assert browser.get(path).status_code == 403, missing


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
@pytest.mark.parametrize("path", [JOB, EXPLAIN])
def test_it_is_read_only(admin_client: Browser, path: str, method: str) -> None:
    answer = getattr(admin_client, method)(path)
    assert (answer.status_code, answer["content-type"]) == (405, "application/json")
    assert Job.objects.count() == 1
