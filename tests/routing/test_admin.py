"""The admin of the demand side: ceilings, tiers, clients, keys; and what came of the calls."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrators.core.price import Price
from orchestrators.models import Capability, ConfigRevision, Offer, Orchestrator, RoutingProfile
from routing.metrics import sharing
from routing.models import ApiKey, Attempt, Client, Job, JournalMark, PriceCeiling, Tier, UsageHour
from tests.support.forms import shown, submit

pytestmark = pytest.mark.django_db


def page(model: str, row: Any = None, *, add: bool = False, app: str = "routing") -> str:
    base = f"/admin/{app}/{model}/"
    return f"{base}add/" if add else f"{base}{row.pk}/change/" if row is not None else base


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def ada(client: Browser) -> Browser:
    """Ada runs the gateway."""
    client.force_login(User.objects.create_superuser("ada"))
    return client


@pytest.fixture
def acme() -> Client:
    return Client.objects.create(name="acme")


def depth() -> Capability:
    return Capability.objects.get(slug="depth")


def ceiling(slug: str, text: str) -> PriceCeiling:
    served = Capability.objects.get(slug=slug)
    return PriceCeiling.objects.create(capability=served, price=Price.parse(text))


def job(number: int, **fields: Any) -> Job:
    values = {
        "request_id": f"request-{number:04}",
        "at": timezone.now() - timedelta(seconds=number),
        "client": "acme",
        "capability": "depth",
        "code": "ok",
        "status": 200,
        "orchestrator": "alder",
        "attempts_made": 2,
        "ms": 1234,
        "bytes_in": 1,
        "bytes_out": 2,
        "wei": 5,
        "policy": 7,
        "decision": {
            "d": [0.25, 0.5, 0.75],
            "s": 300,
            "c": [["alder", 0, 1, 1000, 0.5, 123.4, 0.01, 530, 1, 2, 8]],
            "r": [["birch", 0, "5000", "1000"]],
        },
    }
    return Job.objects.create(**values | fields)


# --- prices -----------------------------------------------------------------------------------------


def test_a_capability_tells_how_many_offers_its_ceiling_excludes(ada: Browser) -> None:
    """R13: a ceiling that is too low shows before anybody misses an answer."""
    ceiling("depth", "100 wei/second")
    for name, price in (("alder", "100 wei/second"), ("birch", "101 wei/second"), ("cedar", "99 wei/second")):
        home = Orchestrator.objects.create(name=name, service_uri=f"http://{name}:1", protocol="direct")
        Offer.objects.create(orchestrator=home, capability=depth(), price=Price.parse(price))
    told = ada.get(page("capability", depth(), app="orchestrators")).content.decode()
    assert "The ceiling excludes 1 of 3 offers with a price." in told


def test_it_lets_staff_with_permission_edit_ceilings(client: Browser) -> None:
    """R7, R13."""
    row = ceiling("depth", "1000 wei/second")
    bob = User.objects.create_user("bob", is_staff=True)
    client.force_login(bob)
    assert client.get(page("priceceiling", row)).status_code == 403
    bob.user_permissions.set(
        Permission.objects.filter(codename__in=["change_priceceiling", "view_priceceiling"])
    )
    submit(client, page("priceceiling", row), price="0.3 gwei/second")
    row.refresh_from_db()
    assert row.price == Price.parse("300000000 wei/second")
    assert ConfigRevision.objects.get().summary == f"changed price ceiling {row}: Price"


def test_it_explains_what_is_no_price(ada: Browser) -> None:
    row = ceiling("depth", "1000 wei/second")
    with pytest.raises(AssertionError, match="is not a price"):
        submit(ada, page("priceceiling", row), price="cheap")
    with pytest.raises(AssertionError, match="already has a ceiling for all tiers"):
        submit(ada, page("priceceiling", add=True), capability=row.capability_id, price="5 wei/second")


def test_it_sets_a_ceiling_on_the_capabilitys_own_page(ada: Browser) -> None:
    line = {"ceilings-TOTAL_FORMS": "1", "ceilings-0-price": "1000 wei/second", "ceilings-0-tier": ""}
    text = ada.get(page("capability", app="orchestrators")).content.decode()
    assert "undecided (suggested: " in text and ">30 gwei/s<" in text
    submit(ada, page("capability", depth(), app="orchestrators"), **line)
    assert PriceCeiling.objects.get().price == Price.parse("1000 wei/second")
    text = ada.get(page("capability", app="orchestrators")).content.decode()
    assert 'all: <span class="money" title="1000 wei/second">' in text


def test_it_warns_of_a_chain_whose_ceiling_is_below_its_parts(ada: Browser) -> None:
    """R44."""
    chained = Capability.objects.create(slug="depth-styled", profile=depth().profile)
    chained.parts.set(Capability.objects.filter(slug__in=["depth", "style-transfer"]))
    ceiling("depth", "100 wei/second"), ceiling("style-transfer", "200 wei/second")
    row = ceiling("depth-styled", "400 wei/second")
    (said,) = submit(ada, page("priceceiling", row), price="300 wei/second")
    assert "changed successfully" in said
    said, warned = sorted(submit(ada, page("priceceiling", row), price="299 wei/second"))
    assert 'add up to <span class="money" title="300 wei/second">300 wei/s</span>; its own of ' in said + warned
    assert any("add up to" in text for text in submit(ada, page("capability", chained, app="orchestrators")))
    row.refresh_from_db()
    assert row.price == Price.parse("299 wei/second"), "warned about, and saved"


def test_it_suggests_for_a_chain_what_its_parts_may_cost_together(ada: Browser) -> None:
    """R44: decided or suggested for each; never less than the chain's own profile suggests."""
    slugs = ("depth", "style-transfer", "image-to-image")
    chain = Capability.objects.create(slug="depth-styled", profile=RoutingProfile.objects.get(slug="chained"))
    told = []
    for number in range(len(slugs) + 1):
        chain.parts.set(Capability.objects.filter(slug__in=slugs[:number]))
        text = ada.get(page("capability", app="orchestrators"), {"q": "depth-styled"}).content.decode()
        told += re.findall(r'undecided \(suggested: <span class="money" title="(\d+) wei/second">', text)
    ceiling("depth", "500 gwei/second")
    text = ada.get(page("capability", app="orchestrators"), {"q": "depth-styled"}).content.decode()
    told += re.findall(r'undecided \(suggested: <span class="money" title="(\d+) wei/second">', text)
    gwei = 10**9
    assert [int(each) // gwei for each in told] == [600, 600, 600, 30 + 300 + 300, 500 + 300 + 300]


def test_it_warns_of_a_chain_that_has_less_time_than_its_parts(ada: Browser) -> None:
    """R43: its latency target and its attempt timeout, against the targets of its parts together."""
    chain = Capability.objects.create(slug="depth-styled", profile=RoutingProfile.objects.get(slug="chained"))
    parts = Capability.objects.filter(slug__in=["image-to-image", "style-transfer", "depth"])

    def said(*slugs: str, **fields: Any) -> list[str]:
        chosen = [part.pk for part in parts if part.slug in slugs]
        messages = submit(ada, page("capability", chain, app="orchestrators"), parts=chosen, **fields)
        return [each.partition("add up to ")[2] for each in messages if "latency targets" in each]

    assert said("image-to-image", "style-transfer") == []
    assert said("image-to-image", "style-transfer", attempt_timeout="2") == []
    assert said("image-to-image", "style-transfer", "depth", attempt_timeout="2.05") == [
        "2050 ms; its own of 2000 ms is lower."
    ]
    assert said("depth", attempt_timeout="0.049") == ["50 ms; its attempt timeout of 0.049 s is shorter."]


# --- who may call -----------------------------------------------------------------------------------


def issue(browser: Browser, client: Client, **fields: Any) -> tuple[ApiKey, str]:
    """As the form of a new key does; the answer itself shows the secret."""
    answer = browser.post(
        page("apikey", add=True), {"client": client.pk, "scope": "all", "networks": ""} | fields
    )
    assert "no-store" in answer["cache-control"] and "messages" not in answer.cookies
    return ApiKey.objects.latest("pk"), the_secret(answer)


def the_secret(answer: Any) -> str:
    (secret,) = re.findall(r'<code data-copy="Copy">(byoc_[\w-]+)</code>', answer.content.decode())
    return str(secret)


def test_it_shows_a_new_key_once_and_keeps_only_its_digest(ada: Browser, acme: Client) -> None:
    """Not even in a message, which would travel in a cookie."""
    key, secret = issue(ada, acme, label="laptop")
    assert (key.digest, key.label, key.client) == (ApiKey.digests_of(secret)[0], "laptop", acme)
    for again in (page("apikey"), page("apikey", key), page("client", acme), "/admin/"):
        assert secret not in ada.get(again).content.decode()
    submit(ada, page("apikey", key), label="desktop")
    key.refresh_from_db()
    assert key.label == "desktop" and key.digest == ApiKey.digests_of(secret)[0]
    assert secret not in "".join(ConfigRevision.objects.values_list("summary", flat=True))


def test_a_clients_page_leads_to_its_keys_and_tells_what_it_uses(ada: Browser, acme: Client) -> None:
    tier = Tier.objects.create(
        slug="pro", requests_per_minute=60, max_in_flight=5, daily_budget=1000, monthly_budget=10**6
    )
    acme.tier = tier
    acme.save()
    key, _secret = issue(ada, acme, label="laptop")
    job(0), job(1), job(120)
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    UsageHour.objects.create(hour=hour, client="acme", capability="depth", requests=40, failures=2, wei=250)
    UsageHour.objects.create(hour=hour, client="globex", capability="depth", requests=7, wei=5)
    with CaptureQueriesContext(connection) as queries:
        answer = ada.get(page("client", acme))
    assert len(queries) <= 15, [each["sql"][:120] for each in queries]
    told = {each.title: (each.now, each.limit) for each in answer.context["used"]["limits"]}
    assert told == {
        "Calls in the last minute": ("2", "60"),
        "In flight": ("0", "5"),
        "Spent today (UTC)": ("250 wei", "1,000 wei"),
        "Spent this month": ("250 wei", "0.001 gwei"),
    }
    assert (answer.context["used"]["requests"], answer.context["used"]["failures"]) == (40, 2)
    text = answer.content.decode()
    for way in (f"{page('apikey')}rotate/?ids={key.pk}", f"{page('apikey')}revoke/?ids={key.pk}"):
        assert way in text and ada.get(way).status_code == 200
    assert f"{page('apikey', add=True)}?client={acme.pk}" in text
    assert "250 wei" in ada.get(page("client")).content.decode()


def test_a_client_is_in_flight_at_every_worker(
    ada: Browser, acme: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_folder", None)
    sharing.open_folder()
    assert sharing._folder is not None
    for pid, number in ((101, 2), (102, 3)):
        samples: list[Any] = [("byocgw_client_calls_in_flight", (str(acme.pk),), number)]
        snapshot = sharing.Snapshot(timezone.now().timestamp(), samples)
        sharing._write(sharing._folder / f"{pid}-abcd.json", snapshot)
    limits = {each.title: each for each in ada.get(page("client", acme)).context["used"]["limits"]}
    sharing.remove_folder()
    assert (limits["In flight"].now, limits["In flight"].note) == ("5", "on this machine")


def test_revoking_says_what_it_will_do_and_does_it_by_post_alone(ada: Browser, acme: Client) -> None:
    key, _secret = issue(ada, acme)
    answer = ada.post(page("apikey"), {"action": "revoke", "index": "0", "_selected_action": [str(key.pk)]})
    assert answer.url == f"{page('apikey')}revoke/?ids={key.pk}"
    ApiKey.objects.update(last_used=timezone.now())
    asked = ada.get(answer.url).content.decode()
    assert "acme has no other key that works" in asked and "1 of them was used in the last hour" in asked
    key.refresh_from_db()
    assert key.revoked_at is None
    assert ada.get(f"{page('apikey')}revoke/?ids={'9' * 40}").status_code == 200, "nobody's"
    assert "1 key revoked" in ada.post(answer.url, {"reason": "leaked"}, follow=True).content.decode()
    key.refresh_from_db()
    assert key.revoked_at is not None and key.standing(timezone.now()) == "revoked"
    assert ConfigRevision.objects.first().why == "admin: revoke (API key): leaked"
    assert "there is nothing to do" in ada.get(answer.url).content.decode()


@pytest.mark.parametrize("overlap", [0, 3600])
def test_rotating_makes_a_successor_and_lets_the_old_key_live_on(
    ada: Browser, acme: Client, overlap: int
) -> None:
    old, _secret = issue(ada, acme, label="laptop", scope="read")
    way = f"{page('apikey')}rotate/?ids={old.pk}"
    assert "A successor is made" in ada.get(way).content.decode() and ApiKey.objects.count() == 1
    assert ada.post(way, {"overlap": "5"}).status_code == 200 and ApiKey.objects.count() == 1, "no such choice"
    answer = ada.post(way, {"overlap": str(overlap)})
    new = ApiKey.objects.latest("pk")
    assert "no-store" in answer["cache-control"]
    assert (new.digest, new.label, new.scope) == (ApiKey.digests_of(the_secret(answer))[0], "laptop", "read")
    old.refresh_from_db()
    left = old.expires_at - timezone.now()
    assert timedelta(seconds=overlap - 60) < left <= timedelta(seconds=overlap)
    assert (old.revoked_at is not None) == (overlap == 0)


def test_keys_are_found_by_how_they_stand(ada: Browser, acme: Client) -> None:
    now = timezone.now()
    for label, fields in {
        "fresh": {},
        "leaving": {"expires_at": now + timedelta(days=2)},
        "left": {"expires_at": now - timedelta(days=2)},
        "gone": {"revoked_at": now},
        "idle": {"created_at": now - timedelta(days=200)},
    }.items():
        key, _secret = ApiKey.issue(acme, now=now, label=label)
        for name, value in fields.items():
            setattr(key, name, value)
        key.save()
    words = {key.label: key.standing(now) for key in ApiKey.objects.all()}
    assert words == {
        "fresh": "valid", "leaving": "expires soon", "left": "expired", "gone": "revoked", "idle": "unused",
    }  # fmt: skip
    for chosen, labels in (
        ("valid", {"fresh", "leaving", "idle"}), ("soon", {"leaving"}), ("over", {"left", "gone"})
    ):  # fmt: skip
        rows = ada.get(page("apikey"), {"state": chosen}).context["cl"].result_list
        assert {row.label for row in rows} == labels


def test_it_does_not_move_a_key_to_another_client(ada: Browser, acme: Client) -> None:
    assert "client" not in shown(ada, page("apikey", issue(ada, acme)[0]))


def test_it_limits_a_client_to_its_capabilities(ada: Browser, acme: Client) -> None:
    submit(ada, page("client", acme), capabilities=[depth().pk])
    assert list(acme.capabilities.all()) == [depth()]
    assert "depth" in ada.get(page("client")).content.decode()


# --- what came of it --------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["job", "attempt", "usagehour", "journalmark"])
def test_it_lets_nobody_touch_what_machines_wrote(ada: Browser, model: str) -> None:
    made = job(1)
    attempt = Attempt.objects.create(
        job=made, number=1, at=made.at, orchestrator="cedar", capability="depth", outcome="timeout", ms=5000
    )
    usage = UsageHour.objects.create(
        hour=made.at, client="acme", capability="depth", requests=4, milliseconds=100
    )
    mark = JournalMark.objects.create(file="node-1.log", offset=10)
    row = {"job": made, "attempt": attempt, "usagehour": usage, "journalmark": mark}[model]
    assert ada.get(page(model, row)).status_code == 200
    assert ada.get(page(model, add=True)).status_code == 403
    assert ada.post(page(model, row), {"_save": "Save"}).status_code == 403
    assert ada.post(f"{page(model)}{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_it_shows_a_jobs_attempts_and_who_was_considered(ada: Browser) -> None:
    made = job(1)
    Attempt.objects.create(
        job=made, number=1, at=made.at, orchestrator="cedar", capability="depth", outcome="timeout", ms=5000
    )
    alder = Orchestrator.objects.create(name="alder", service_uri="https://alder:8935")
    offer = Offer.objects.create(orchestrator=alder, capability=depth())
    text = ada.get(page("job", made)).content.decode()
    assert "cedar" in text and "timeout" in text and "1.2 s" in text
    assert f'<a href="{page("offer", offer, app="orchestrators")}">alder</a>' in text
    assert "1000 wei/second" in text and "530 wei" in text and "2 / 8" in text
    assert (
        ">price ceiling<" in text
        and 'title="5000 wei/second">5,000 wei/s</span> is above the ceiling of' in text
    )
    assert ">birch<" in text, "an offer that is gone is named all the same"


def test_it_says_when_a_jobs_decision_was_not_kept(ada: Browser) -> None:
    assert "not kept" in ada.get(page("job", job(1, decision={}))).content.decode()


def test_it_finds_a_job_by_its_whole_id_and_filters_without_reading_everything(ada: Browser) -> None:
    for number in range(60):
        job(number, code="exhausted" if number == 7 else "ok")
    assert ada.get(page("job"), {"q": "request-0007"}).url == page("job") + "request-0007/change/"
    assert "There is no call request-00." in ada.get(page("job"), {"q": "request-00"}).content.decode()
    assert [each.pk for each in ada.get(page("job"), {"code": "exhausted"}).context["page"].jobs] == [
        "request-0007"
    ]
    with CaptureQueriesContext(connection) as queries:
        assert len(ada.get(page("job")).context["page"].jobs) == 50
    about = [query["sql"] for query in queries if "routing_job" in query["sql"]]
    assert about and all("LIMIT" in sql for sql in about)
    assert not [sql for sql in about if '"routing_job"."decision"' in sql], "decisions are long"


@pytest.mark.parametrize("model", ["priceceiling", "tier", "client", "apikey", "job", "attempt", "usagehour"])
def test_it_asks_as_many_questions_for_many_rows_as_for_few(ada: Browser, model: str) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert ada.get(page(model)).status_code == 200
        return len(queries)

    def more(numbers: range) -> None:
        for number in numbers:
            tier = Tier.objects.create(slug=f"tier-{number}")
            made = Client.objects.create(name=f"client-{number}", tier=tier)
            made.capabilities.add(depth())
            ApiKey.issue(made, now=timezone.now())[0].save()
            PriceCeiling.objects.create(capability=depth(), tier=tier)
            done = job(number)
            Attempt.objects.create(
                job=done, number=1, at=done.at, orchestrator="alder", capability="depth", outcome="ok", ms=1
            )
            UsageHour.objects.create(hour=done.at, client=made.name, capability="depth")

    more(range(2))
    few = asked()
    more(range(2, 9))
    assert asked() <= few <= 16


def test_it_asks_as_many_questions_for_many_ceilings_on_a_page_as_for_few(ada: Browser) -> None:
    def asked() -> int:
        for _ in range(2):  # the routing table is read anew after a change, once
            with CaptureQueriesContext(connection) as queries:
                assert ada.get(page("capability", depth(), app="orchestrators")).status_code == 200
        return len(queries)

    def more(numbers: range) -> None:
        for number in numbers:
            tier = Tier.objects.create(slug=f"tier-{number}")
            PriceCeiling.objects.create(capability=depth(), tier=tier)

    more(range(1))
    few = asked()
    more(range(1, 7))
    assert asked() <= few  # fewer: what Django remembers of the first page


def test_it_does_not_delete_the_last_capability_a_client_may_call(ada: Browser, acme: Client) -> None:
    """An empty list means everything: what limits a client must not vanish under it."""
    depth = Capability.objects.get(slug="depth")
    acme.capabilities.add(depth)
    page = ada.post(f"/admin/orchestrators/capability/{depth.pk}/delete/", {"post": "yes"})
    assert b"Client limited to it: acme" in page.content
    assert Capability.objects.filter(slug="depth").exists()
