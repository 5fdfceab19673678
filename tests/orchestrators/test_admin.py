"""The admin of the supply side: everything people decide can be edited, nothing that machines measured."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrators.models import (
    Advert,
    Capability,
    Certificate,
    ConfigRevision,
    HealthSnapshot,
    Mode,
    Offer,
    OfferHealth,
    Orchestrator,
    Revision,
    RoutingProfile,
)
from orchestrators.simulator import SimulatorProcess
from tests.orchestrators.scenes import ALDER, BIRCH, CEDAR, capability, offer, orchestrator
from tests.support.forms import act, submit

pytestmark = pytest.mark.django_db

MODELS = [*apps.get_app_config("orchestrators").get_models(), *apps.get_app_config("routing").get_models()]
MEASURED = ["advert", "offerhealth", "healthsnapshot", "revision", "configrevision"]


def page(model: str, row: Any = None, *, add: bool = False) -> str:
    base = f"/admin/orchestrators/{model}/"
    return f"{base}add/" if add else f"{base}{row.pk}/change/" if row is not None else base


def observed(row: Offer, state: str = "healthy", *, claimed: bool = True, **fields: Any) -> None:
    """As if a prober had been there."""
    now = timezone.now()
    Advert.objects.update_or_create(
        offer=row, defaults={"claimed": claimed, "price": "1000 wei/second", "capacity": 4, "checked_at": now}
    )
    OfferHealth.objects.update_or_create(
        offer=row, defaults={"state": state, "warm_ms": 123.456, "probed_at": now, **fields}
    )
    seen = {"outcome": "ok", "before": "unknown", "after": state, "price": "1000 wei/second"}
    HealthSnapshot.objects.create(offer=row, at=now, source="probe", **seen)


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Path) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def ada(client: Client) -> Client:
    """Ada runs the gateway."""
    client.force_login(User.objects.create_superuser("ada"))
    return client


# --- what is there ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_it_registers_every_model_with_a_list_and_pages(ada: Client, model: Any) -> None:
    row = offer(orchestrator(ALDER), "depth")
    observed(row)
    assert admin.site.is_registered(model)
    base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    assert ada.get(base).status_code == 200
    if admin.site._registry[model].search_fields:
        assert ada.get(base, {"q": "alder"}).status_code == 200
    first = model._default_manager.first()
    if first is not None:
        assert ada.get(f"{base}{first.pk}/change/").status_code == 200


@pytest.mark.parametrize("model", ["routingprofile", "capability", "orchestrator", "offer"])
def test_it_is_edited_by_staff_with_permission_and_by_nobody_else(client: Client, model: str) -> None:
    """R7: the gateway operator's own people; not only superusers."""
    row = offer(orchestrator(ALDER), "depth")
    first = {"offer": row, "orchestrator": row.orchestrator, "capability": row.capability}.get(
        model, row.capability.profile
    )
    bob = User.objects.create_user("bob", is_staff=True)
    client.force_login(bob)
    assert client.get(page(model, first)).status_code == 403
    every = Permission.objects.filter(content_type__app_label__in=["orchestrators", "routing"])
    bob.user_permissions.set(every.filter(codename__in=[f"change_{model}", f"view_{model}"]))
    field = {"offer": "wire_name", "orchestrator": "region"}.get(model, "description")
    submit(client, page(model, first), **{field: "by-bob"})
    first.refresh_from_db()
    assert getattr(first, field) == "by-bob"


def test_it_has_nothing_that_is_an_orchestrators_or_a_developers_task(ada: Client) -> None:
    """R7, R15, R16: no building, registering or weights; no upload of any kind."""
    names = " ".join(
        str(model["name"]) for app in ada.get("/admin/").context["app_list"] for model in app["models"]
    )
    assert not [word for word in ("container", "weight", "image", "gpu") if word in names.lower()]
    fields = [field for model in MODELS for field in model._meta.get_fields()]
    assert not [field for field in fields if field.get_internal_type() in ("FileField", "FilePathField")]


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("orchestrator", "manage.py import_orch_addr"),
        ("offer", "add the orchestrator first"),
        ("discoverysource", "manage.py discover_orchestrators"),
        ("healthsnapshot", "manage.py probe_orchestrators"),
        ("trial", "manage.py run_trial ORCHESTRATOR"),
    ],
)
def test_an_empty_list_tells_what_fills_it(ada: Client, model: str, told: str) -> None:
    """Not where rows are only hidden."""
    assert told in ada.get(page(model)).content.decode()
    assert told not in ada.get(page(model), {"q": "nobody"}).content.decode()
    observed(offer(orchestrator(ALDER), "depth"))
    if model in ("orchestrator", "offer", "healthsnapshot"):
        assert told not in ada.get(page(model)).content.decode()


def test_it_makes_a_capability_that_nobody_thought_of(ada: Client) -> None:
    """R1: the vocabulary is open."""
    warm = RoutingProfile.objects.get(slug="warm")
    submit(ada, page("capability", add=True), slug="subtitle-burn", profile=warm.pk)
    made = Capability.objects.get(slug="subtitle-burn")
    assert made.effective("retry_timeout") == warm.retry_timeout


def test_it_fills_in_from_the_profile_and_lets_an_override_win(ada: Client) -> None:
    """R31."""
    row = capability("depth")
    submit(ada, page("capability", row), profile=RoutingProfile.objects.get(slug="chained").pk)
    row.refresh_from_db()
    assert row.effective("attempt_timeout") == 20
    submit(ada, page("capability", row), attempt_timeout="7.5")
    row.refresh_from_db()
    assert row.effective("attempt_timeout") == 7.5


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("retry_timeout", "0", "greater than or equal to 0.001"),
        ("retry_timeout", "nan", "Enter a number"),
        ("retry_timeout", "3601", "More than an hour is no retry budget"),
        ("max_attempts", "0", "greater than or equal to 1"),
        ("attempt_timeout", "1e308", "Give seconds, at most 86,400: a day."),
        ("cold_grace", "86401", "Give seconds, at most 86,400: a day."),
    ],
)
def test_it_refuses_what_is_no_retry_policy(ada: Client, field: str, value: str, sentence: str) -> None:
    """R12: of a profile and of a capability alike; nothing is saved."""
    row = capability("depth")
    for target, each in ((page("routingprofile", row.profile), row.profile), (page("capability", row), row)):
        before = getattr(each, field)
        with pytest.raises(AssertionError, match=sentence):
            submit(ada, target, **{field: value})
        each.refresh_from_db()
        assert getattr(each, field) == before


def test_it_refuses_a_model_id_as_a_capability_and_says_why(ada: Client) -> None:
    """R30."""
    data = {"slug": "acme/Depth_v4", "profile": RoutingProfile.objects.get(slug="warm").pk}
    with pytest.raises(AssertionError, match="(?i)model"):
        submit(ada, page("capability", add=True), **data)
    assert not Capability.objects.filter(slug__contains="acme").exists()


# --- one door ---------------------------------------------------------------------------------------


def test_it_records_each_change_once_with_who_and_what(ada: Client) -> None:
    row = orchestrator(ALDER)
    submit(ada, page("orchestrator", row), mode=Mode.DRAINING)
    revision = ConfigRevision.objects.get()
    assert (revision.who, revision.via) == ("ada", "admin")
    assert revision.why == f"admin: change {row.pk} (orchestrator)"
    assert revision.summary == "changed orchestrator alder: Mode"
    assert revision.policy == Revision.objects.get(pk=1).policy
    submit(ada, page("orchestrator", row))  # nothing differs
    assert ConfigRevision.objects.count() == 1
    ada.post(f"/admin/orchestrators/orchestrator/{row.pk}/delete/", {"post": "yes", "reason": "sold"})
    assert not Orchestrator.objects.exists()
    assert ConfigRevision.objects.first().summary == "deleted orchestrator alder"  # type: ignore[union-attr]


def test_it_records_nothing_when_a_form_is_refused(ada: Client) -> None:
    row = orchestrator(ALDER)
    with pytest.raises(AssertionError, match="must be http"):
        submit(ada, page("orchestrator", row), service_uri="ftp://alder")
    assert not ConfigRevision.objects.exists()


def test_it_takes_the_revisions_lock_before_anything_else(ada: Client) -> None:
    """Or two writers deadlock on PostgreSQL: every statement moves that one row."""
    row = orchestrator(ALDER)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        act(ada, page("orchestrator"), "drain", row)
    told = [query["sql"] for query in queries]
    written = next(i for i, sql in enumerate(told) if sql.startswith(("UPDATE", "INSERT", "DELETE")))
    locked = next(i for i, sql in enumerate(told) if "orchestrators_revision" in sql)
    assert locked < written


@pytest.mark.parametrize(
    ("action", "mode"), [("activate", "active"), ("drain", "draining"), ("disable", "disabled")]
)
def test_it_sets_modes_of_orchestrators_and_offers(ada: Client, action: str, mode: str) -> None:
    alder, birch = orchestrator(ALDER, mode="trial"), orchestrator(BIRCH, mode="trial")
    row = offer(alder, "depth", mode="trial")
    (said,) = act(ada, page("orchestrator"), action, alder, birch)
    assert said == f"2 of 2 changed to {mode}; the gateway knows within a second."
    act(ada, page("offer"), action, row)
    row.refresh_from_db()
    assert (row.mode, row.orchestrator.mode) == (mode, mode)
    latest, earlier = ConfigRevision.objects.all()
    assert earlier.summary == f"{mode}: alder\n{mode}: birch" and latest.summary == f"{mode}: alder / depth"


def test_it_does_not_overwrite_a_measurement_when_an_offer_is_saved(ada: Client) -> None:
    row = offer(orchestrator(ALDER), "depth")
    observed(row, "degraded")
    before = (Advert.objects.values().get(), OfferHealth.objects.values().get())
    submit(ada, page("offer", row), share="0.5")
    assert (Advert.objects.values().get(), OfferHealth.objects.values().get()) == before


# --- what machines wrote ----------------------------------------------------------------------------


@pytest.mark.parametrize("model", MEASURED)
def test_it_lets_nobody_touch_what_machines_wrote(ada: Client, model: str) -> None:
    observed(offer(orchestrator(ALDER), "depth"))
    submit(ada, page("orchestrator", Orchestrator.objects.get()), region="eu")
    row = apps.get_model("orchestrators", model)._default_manager.first()
    assert ada.get(page(model, add=True)).status_code == 403
    assert ada.post(page(model, row), {"_save": "Save"}).status_code == 403
    assert ada.post(f"{page(model)}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert b"_selected_action" not in ada.get(page(model)).content


def test_it_tells_what_became_of_the_configuration(ada: Client) -> None:
    row = orchestrator(ALDER)
    submit(ada, page("orchestrator", row), region="eu-north")
    text = ada.get(page("configrevision", ConfigRevision.objects.get())).content.decode()
    assert "eu-north" in text and "changed orchestrator alder" in text


STANDINGS = [
    ("ready", {}, {}),
    ("ready, degraded", {"state": "degraded"}, {}),
    ("claimed, never tried", {"state": "unknown"}, {}),
    ("claimed, down", {"state": "down"}, {}),
    ("claimed, down", {"state": "down", "until": timezone.now() + timedelta(days=1)}, {}),
    ("claimed, on probation", {"state": "down", "until": timezone.now() - timedelta(days=1)}, {}),
    ("claimed, on probation", {"state": "probation"}, {}),
    ("not claimed", {"claimed": False}, {}),
    ("not claimed", {"claimed": False, "state": "down"}, {}),
    ("off: not active", {}, {"mode": "draining"}),
    ("not probed yet", None, {}),
]


@pytest.mark.parametrize(("word", "health", "decided"), STANDINGS)
def test_it_tells_not_claimed_from_unhealthy_from_ready(
    ada: Client, word: str, health: dict[str, Any] | None, decided: dict[str, Any]
) -> None:
    row = offer(orchestrator(ALDER), "depth", **decided)
    if health is not None:
        observed(row, **health)
    (listed,) = ada.get(page("offer")).context["cl"].result_list
    assert listed.standing == word
    filters = {name.value: name.name.lower() for name in type_of_standing()}
    assert ada.get(page("offer"), {"standing": filters[word]}).context["cl"].result_count == 1
    other = next(name for value, name in filters.items() if value != word)
    assert ada.get(page("offer"), {"standing": other}).context["cl"].result_count == 0
    (home,) = ada.get(page("orchestrator")).context["cl"].result_list
    usable = word.startswith("ready") or word == "claimed, never tried"
    assert (home.ready_offers, home.all_offers) == (int(usable), 1)


@pytest.mark.parametrize("model", ["offerhealth", "orchestrator"])
def test_it_tells_for_how_long_an_offer_stays_down(ada: Client, model: str) -> None:
    home, now = orchestrator(ALDER), timezone.now()
    observed(offer(home, "depth"), "down", since=now, until=now + timedelta(hours=23, minutes=30))
    text = ada.get(page(model, home if model == "orchestrator" else None)).content.decode()
    assert ">for another 23 h</time>" in text and "until <time" not in text


def test_its_filter_of_regions_has_none_without_a_name(ada: Client) -> None:
    orchestrator(ALDER)
    assert "?region=" not in ada.get(page("orchestrator")).content.decode()
    Orchestrator.objects.update(region="eu")
    assert 'href="?region=eu">eu</a>' in ada.get(page("orchestrator")).content.decode()
    assert ada.get(page("orchestrator"), {"region": "us"}).context["cl"].result_count == 0


def type_of_standing() -> Any:
    from orchestrators.standing import Standing

    return Standing


def test_it_shows_prices_as_texts_and_latencies_in_whole_milliseconds(ada: Client) -> None:
    observed(offer(orchestrator(ALDER), "depth"), "down", reason="2 faults in a row: timeout")
    text = ada.get(page("offer")).content.decode()
    assert "1000 wei/second" in text and "123 ms" in text and "2 faults in a row: timeout" in text


# --- at any size ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", ["capability", "orchestrator", "offer", "advert", "offerhealth", "healthsnapshot", "certificate"]
)
def test_it_asks_as_many_questions_for_many_rows_as_for_few(ada: Client, model: str) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert ada.get(page(model)).status_code == 200
        return len(queries)

    def more(numbers: range) -> None:
        for number in numbers:
            home = orchestrator(f"{ALDER}-{number}", f"https://alder-{number}.invalid:8935")
            Certificate.objects.create(
                orchestrator=home, trusted="a" * 64, seen="b" * 64, seen_at=timezone.now()
            )
            observed(offer(home, f"cap-{number}"))

    more(range(2))
    few = asked()
    more(range(2, 9))
    assert asked() <= few <= 16


@pytest.mark.parametrize("model", ["orchestrator", "capability"])
def test_it_asks_as_many_questions_for_many_inlines_as_for_few(ada: Client, model: str) -> None:
    home, served = orchestrator(ALDER), capability("depth")
    observed(offer(home, "depth"))
    row = home if model == "orchestrator" else served

    def asked() -> int:
        ada.get(page(model, row))  # the routing table is read anew after a change
        with CaptureQueriesContext(connection) as queries:
            assert ada.get(page(model, row)).status_code == 200
        return len(queries)

    few = asked()
    for number in range(6):
        observed(offer(home, f"cap-{number}"))
        observed(offer(orchestrator(f"{BIRCH}-{number}"), "depth"))
    assert asked() <= few


def test_it_lists_snapshots_without_counting_or_sorting_them_all(ada: Client) -> None:
    row = offer(orchestrator(ALDER), "depth")
    now = timezone.now()
    HealthSnapshot.objects.bulk_create(
        HealthSnapshot(offer=row, at=now, source="probe", outcome="ok", before="healthy", after="healthy")
        for _ in range(60)
    )
    with CaptureQueriesContext(connection) as queries:
        listing = ada.get(page("healthsnapshot"), {"p": "2"}).context["cl"]
    assert len(listing.result_list) == 10
    about = [query["sql"] for query in queries if "healthsnapshot" in query["sql"]]
    assert about and all("LIMIT" in sql for sql in about), "nothing reads the whole table"
    (rows,) = [sql for sql in about if "COUNT" not in sql and "detail" in sql]
    with connection.cursor() as cursor:
        cursor.execute(("EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN ") + rows)
        plan = " ".join(str(column) for line in cursor.fetchall() for column in line)
    assert connection.vendor != "sqlite" or "TEMP B-TREE FOR ORDER BY" not in plan, "of one moment, at the most"


# --- doing ------------------------------------------------------------------------------------------


def test_it_probes_now_without_holding_the_lock_of_policy(ada: Client) -> None:
    with SimulatorProcess("--capability", "depth:price=7", "--capability", "pose") as alder:
        row = offer(orchestrator(ALDER, alder.service_uri), "depth")
        nobody = offer(orchestrator(CEDAR, "http://127.0.0.1:9"), "depth")
        with CaptureQueriesContext(connection) as queries:
            said = act(ada, page("orchestrator"), "probe_now", row.orchestrator, nobody.orchestrator)
    assert said[0] == "2 probed: 1 healthy, 1 unknown."
    assert said[1].startswith("cedar / depth: unknown; no endpoint: unreachable")
    # What was found is written under that lock, in a moment; nobody is asked under it.
    sent = [each["sql"] for each in queries]
    locks = [at for at, sql in enumerate(sent) if "orchestrators_revision" in sql and "FOR UPDATE" in sql]
    leased = next(at for at, sql in enumerate(sent) if sql.startswith("UPDATE") and "lease_until" in sql)
    assert all(at > leased for at in locks)
    assert not ConfigRevision.objects.exists()
    row.refresh_from_db()
    assert str(row.advert.price) == "7 wei/second"
    assert act(ada, page("offer"), "probe_now", nobody)[0] == "1 probed: 1 down."


def test_it_trusts_a_changed_certificate_only_when_told_to(ada: Client) -> None:
    alder = orchestrator(ALDER, "https://alder.invalid:8935")
    Certificate.objects.create(orchestrator=alder, trusted="a" * 64, seen="b" * 64, seen_at=timezone.now())
    assert f'now <span title="{"b" * 64}">bbbbbbbbbbbb…<' in ada.get(page("orchestrator")).content.decode()
    assert ada.get(page("certificate"), {"changed": "yes"}).context["cl"].result_count == 1
    later = timezone.now() + timedelta(minutes=5)
    OfferHealth.objects.create(offer=offer(alder, "depth"), next_probe_at=later)
    assert act(ada, page("orchestrator"), "trust_new_certificate", alder) == ["1 new certificate trusted."]
    assert Certificate.objects.get().trusted == "b" * 64
    assert OfferHealth.objects.filter(next_probe_at__lte=timezone.now()).exists(), "it is not waited for longer"
    assert ConfigRevision.objects.get().summary == f"trusted {'b' * 64} for alder"
    assert act(ada, page("certificate"), "trust_new_certificate", alder.certificate) == [
        "No certificate has changed."
    ]


@pytest.mark.parametrize("model", ["orchestrator", "certificate"])
@pytest.mark.parametrize("trusted", ["a" * 64, "b" * 64], ids=["changed", "unchanged"])
def test_it_trusts_no_certificate_that_the_list_did_not_show(ada: Client, model: str, trusted: str) -> None:
    alder, birch = orchestrator(ALDER, "https://alder.invalid"), orchestrator(BIRCH, "https://birch.invalid")
    seen = {"seen": "b" * 64, "seen_at": timezone.now()}
    Certificate.objects.create(orchestrator=alder, trusted=trusted, **seen)
    Certificate.objects.create(orchestrator=birch, trusted="a" * 64, **seen)

    def swap() -> None:
        Certificate.objects.filter(orchestrator=alder).update(seen="c" * 64)

    said = act(ada, page(model), "trust_new_certificate", alder, birch, meanwhile=swap)
    assert said == [
        "1 new certificate trusted.",
        f"Not trusted: alder shows {'c' * 64} by now, which the list did not show.",
    ]
    assert [each.trusted for each in Certificate.objects.order_by("pk")] == [trusted, "b" * 64]
    assert act(ada, page(model), "trust_new_certificate", alder) == ["1 new certificate trusted."]


@pytest.mark.parametrize(("seconds", "warned"), [("4", True), ("5", False), ("10", False), ("11", True)])
def test_it_warns_of_a_retry_timeout_outside_the_guidance_and_saves_it(
    ada: Client, seconds: str, warned: bool
) -> None:
    """R34: for the warm profile, and a warm capability's own value."""
    warm, row = RoutingProfile.objects.get(slug="warm"), capability("style-transfer")
    for target in (page("routingprofile", warm), page("capability", row)):
        said = submit(ada, target, retry_timeout=seconds)
        assert any("5 to 10 s is the guidance" in text for text in said) is warned
    warm.refresh_from_db()
    assert warm.retry_timeout == float(seconds)


def test_it_lists_first_whose_work_fits(ada: Client) -> None:
    """R20, R46: of orchestrators by the worst they serve; each capability tells its own."""
    Capability.objects.create(slug="training", profile=capability("depth").profile, stateful=True)
    Capability.objects.create(slug="upscaling", profile=capability("depth").profile, typical_seconds=30)
    works = {ALDER: ["depth", "training"], BIRCH: ["upscaling"], CEDAR: ["depth"], "douglas": []}
    for number, (name, slugs) in enumerate(works.items()):
        home = orchestrator(name, f"https://127.0.0.1:{9101 + number}")
        for slug in slugs:
            offer(home, slug)
    text = ada.get(page("orchestrator")).content.decode()
    assert re.findall(r'field-fit">(\w*|-)<', text) == ["good", "fair", "poor", "-"]
    assert text.index(CEDAR) < text.index(BIRCH) < text.index(ALDER) < text.index("douglas")
    shown = ada.get(page("capability")).content.decode()
    assert [shown.count(f'field-fit">{fit}<') for fit in ("good", "fair", "poor")] == [6, 1, 1]


def test_it_warns_of_work_that_fits_poorly(ada: Client) -> None:
    """R21."""
    row = capability("depth")
    assert any(
        "fits this gateway poorly" in text for text in submit(ada, page("capability", row), stateful="on")
    )
    said = submit(ada, page("capability", row), stateful="", typical_seconds="600")
    assert any("a request takes minutes" in text for text in said)
