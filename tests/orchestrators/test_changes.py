"""The bell on every door: whatever way policy is written, the database itself says so; and change sets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection, models
from django.test.utils import CaptureQueriesContext

from orchestrators import changes, sqlite, triggers
from orchestrators.changes import change_set, configuration_at
from orchestrators.checks import triggers_are_there
from orchestrators.core.price import Price
from orchestrators.models import (
    Advert,
    Capability,
    Certificate,
    ConfigRevision,
    FailureSignature,
    Offer,
    OfferHealth,
    Orchestrator,
    Revision,
    RoutingProfile,
)
from routing import configuration
from routing.models import AlertRule, ApiKey, Client, PriceCeiling, Tier

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def numbers() -> tuple[int, int]:
    row = Revision.objects.get(pk=1)
    return row.policy, row.health


def decided() -> int:
    return Revision.objects.get(pk=1).decided


@contextmanager
def moves(*, policy: bool = False, health: bool = False) -> Iterator[None]:
    before = numbers()
    yield
    after = numbers()
    assert (after[0] > before[0], after[1] > before[1]) == (policy, health)


@pytest.fixture
def offer() -> Offer:
    alder = Orchestrator.objects.create(name="alder", service_uri="https://127.0.0.1:9101")
    return Offer.objects.create(orchestrator=alder, capability=Capability.objects.get(slug="depth"))


@pytest.fixture
def advert(offer: Offer) -> Advert:
    return Advert.objects.create(offer=offer, claimed=True, price=Price.parse("10 wei/second"), capacity=2)


@pytest.fixture
def health(offer: Offer) -> OfferHealth:
    return OfferHealth.objects.create(offer=offer)


# --- every way of writing --------------------------------------------------------------------------


def test_it_notices_save_and_delete(offer: Offer) -> None:
    with moves(policy=True):
        offer.mode = "draining"
        offer.save()
    with moves(policy=True):
        offer.delete()


def test_it_notices_update_bulk_and_upsert(offer: Offer) -> None:
    with moves(policy=True):
        Offer.objects.update(share=0.5)
    with moves(policy=True):
        offer.share = 0.25
        Offer.objects.bulk_update([offer], ["share"])
    birch = Orchestrator(name="birch", service_uri="http://127.0.0.1:9102")
    with moves(policy=True):
        Orchestrator.objects.bulk_create([birch])
    with moves(policy=True):
        again = Orchestrator(name="birch", service_uri="http://127.0.0.1:9103")
        Orchestrator.objects.bulk_create(
            [again], update_conflicts=True, unique_fields=["name"], update_fields=["service_uri"]
        )
    with moves(policy=True):
        Orchestrator._base_manager.filter(name="birch").update(region="eu")


def test_it_notices_many_to_many_tables() -> None:
    depth, pose = Capability.objects.filter(slug__in=["depth", "pose"])
    acme = Client.objects.create(name="acme")
    for write in (
        lambda: acme.capabilities.add(depth),
        lambda: acme.capabilities.set([pose]),
        lambda: acme.capabilities.clear(),
        lambda: depth.parts.add(pose),
    ):
        with moves(policy=True):
            write()


def test_it_notices_cascades(offer: Offer) -> None:
    with moves(policy=True):
        offer.orchestrator.delete()
    assert not Offer.objects.exists()


def test_it_notices_raw_sql(offer: Offer) -> None:
    with connection.cursor() as cursor:
        with moves(policy=True):
            cursor.execute("UPDATE orchestrators_offer SET share = 0.125")
        with moves(policy=True):
            cursor.execute(
                "WITH chosen AS (SELECT id FROM orchestrators_offer) "
                "UPDATE orchestrators_offer SET share = 1 WHERE id IN (SELECT id FROM chosen)"
            )
        with moves(policy=True):
            cursor.execute("DELETE FROM orchestrators_offer")


def test_it_notices_loaddata(tmp_path: Path) -> None:
    fixture = tmp_path / "tiers.json"
    fixture.write_text(json.dumps([{"model": "routing.tier", "pk": 7, "fields": {"slug": "gold"}}]))
    with moves(policy=True):
        call_command("loaddata", str(fixture), verbosity=0)


def test_it_notices_every_decided_table(offer: Offer) -> None:
    tier = Tier.objects.create(slug="gold")
    acme = Client.objects.create(name="acme")
    key, _ = ApiKey.issue(acme, now=NOW)
    key.save()
    ceiling = PriceCeiling.objects.create(capability=offer.capability)
    rows: list[tuple[models.Model, str, object]] = [
        (offer.capability.profile, "value_of_second", 0),
        (offer.capability, "stateful", True),
        (offer.orchestrator, "mode", "trial"),
        (offer, "path", "v1/depth"),
        (tier, "burst", 3),
        (acme, "is_active", False),
        (key, "revoked_at", NOW),
        (ceiling, "price", Price.parse("1 wei/second")),
    ]
    for row, name, value in rows:
        with moves(policy=True):
            setattr(row, name, value)
            row.save()
        with moves():
            row.save()


# --- what does not count ---------------------------------------------------------------------------


def test_it_ignores_an_unchanged_probe(advert: Advert, health: OfferHealth) -> None:
    with moves():
        advert.capacity, advert.checked_at, advert.detail, advert.empty_streak = 1, NOW, "seen", 1
        advert.save()
        Advert.objects.filter(pk=advert.pk).update(claimed=True, price=Price.parse("10 wei/second"))
        OfferHealth.objects.filter(pk=health.pk).update(probed_at=NOW, next_probe_at=NOW, lease_until=NOW)


def test_it_notices_a_changed_claim(advert: Advert) -> None:
    for change in ({"price": Price.parse("11 wei/second")}, {"claimed": False}, {"largest_capacity": 4}):
        with moves(policy=True):
            Advert.objects.filter(pk=advert.pk).update(**change)


def test_it_tells_health_from_policy(health: OfferHealth) -> None:
    with moves(health=True):
        OfferHealth.objects.filter(epoch=0).update(epoch=1, state="down", until=NOW)
    with moves():
        OfferHealth.objects.update(streak=3, warm_ms=12.5, reason="slow")


def test_it_ignores_notes_and_use(offer: Offer) -> None:
    key, _ = ApiKey.issue(Client.objects.create(name="acme"), now=NOW)
    key.save()
    Certificate.objects.create(orchestrator=offer.orchestrator, trusted="aa", seen="aa", seen_at=NOW)
    with moves():
        ApiKey.objects.update(last_used=NOW)
        Orchestrator.objects.update(notes="a friend")
        Certificate.objects.update(seen="bb", seen_at=NOW)
    with moves(policy=True):
        Certificate.objects.update(trusted="bb")


def test_it_ignores_statements_that_touch_no_row(offer: Offer) -> None:
    with moves(), connection.cursor() as cursor:
        cursor.execute("UPDATE orchestrators_offer SET share = 0.5 WHERE id = -1")
        cursor.execute("DELETE FROM orchestrators_offer WHERE id = -1")
        cursor.execute("INSERT INTO routing_tier (slug) SELECT slug FROM routing_tier WHERE id = -1")


def test_it_sees_two_rows_swap_their_values(offer: Offer) -> None:
    birch = Orchestrator.objects.create(name="birch", service_uri="http://127.0.0.1:9102")
    Offer.objects.filter(pk=offer.pk).update(share=0.25)
    Offer.objects.create(orchestrator=birch, capability=offer.capability, share=0.75)
    with moves(policy=True):
        Offer.objects.update(share=1.0 - models.F("share"))


# --- triggers and migrations -----------------------------------------------------------------------


def drop_a_trigger() -> None:
    with connection.cursor() as cursor:
        on = " ON orchestrators_offer" if connection.vendor == "postgresql" else ""
        cursor.execute(f'DROP TRIGGER "byocgw_policy_update_orchestrators_offer"{on}')


def test_it_reports_a_lost_trigger() -> None:
    assert triggers_are_there(None) == []
    drop_a_trigger()
    [error] = triggers_are_there(None)
    assert error.id == "byocgw.E001"
    assert "UPDATE on orchestrators_offer, for policy" in error.msg


def test_it_reports_a_lost_revision_row() -> None:
    Revision.objects.all().delete()
    assert triggers.missing_triggers() == ["row 1 of orchestrators_revision"]


@pytest.mark.django_db(transaction=True)
def test_migrate_puts_triggers_back_and_moves_all_numbers_once() -> None:
    drop_a_trigger()
    with pytest.raises(SystemCheckError, match=r"byocgw\.E001"):
        call_command("check")
    before = *numbers(), decided()
    triggers.install_triggers()
    assert (*numbers(), decided()) == tuple(each + 1 for each in before)
    drop_a_trigger()
    call_command("migrate", verbosity=0, skip_checks=False)
    assert triggers.missing_triggers() == []


def test_a_database_of_an_earlier_version_waits_for_migrate() -> None:
    """Whoever upgrades has a table without the newest number, and `migrate` is the way to it."""
    triggers.remove_triggers()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE orchestrators_revision DROP COLUMN decided")
    assert triggers.missing_triggers() == []
    triggers.install_triggers()


@pytest.mark.django_db(transaction=True)
def test_a_migration_may_drop_a_watched_column() -> None:
    """Both databases refuse that, each in its way, while a trigger names the column."""
    note = models.TextField(default="")
    note.set_attributes_from_name("extra")
    with connection.schema_editor() as editor:
        editor.add_field(Tier, note)
    columns = ("id", "slug", "extra")
    triggers._watched["routing_tier", "policy"] = triggers.Watch("routing_tier", "policy", columns)
    try:
        triggers.install_triggers()
        triggers.remove_triggers()
        with connection.schema_editor() as editor:
            editor.remove_field(Tier, note)
        triggers.install_triggers()  # though the watch names a column that is gone
    finally:
        triggers.watch(Tier)
        triggers.install_triggers()
    with moves(policy=True):
        Tier.objects.create(slug="gold")


# --- change sets -----------------------------------------------------------------------------------


def test_a_change_set_is_recorded_once_with_the_configuration_after_it(offer: Offer) -> None:
    with change_set("ada", "alder is slow", "admin") as changed:
        Offer.objects.update(mode="draining")
        Orchestrator.objects.update(region="eu")
        changed.summary.append("alder drains")
    recorded = ConfigRevision.objects.get()
    assert (recorded.who, recorded.why, recorded.via) == ("ada", "alder is slow", "admin")
    assert recorded.policy == numbers()[0]
    assert recorded.summary == "alder drains"
    [alder] = configuration_at(recorded)["orchestrators"]
    assert (alder["region"], alder["offers"][0]["mode"]) == ("eu", "draining")


def test_an_empty_change_set_leaves_no_trace(offer: Offer) -> None:
    with change_set("ada", "", "admin"):
        offer.save()
    assert not ConfigRevision.objects.exists()


def test_a_failed_change_set_changes_nothing(offer: Offer) -> None:
    before = numbers()
    with pytest.raises(RuntimeError), change_set("ada", "", "admin"):
        Offer.objects.update(mode="disabled")
        raise RuntimeError
    offer.refresh_from_db()
    assert offer.mode == "active"
    assert numbers() == before
    with change_set("ada", "", "admin"):  # the failed one is not still open
        Offer.objects.update(mode="trial")
    assert ConfigRevision.objects.count() == 1


def test_an_inner_change_set_is_part_of_the_outer_one(offer: Offer) -> None:
    with change_set("ada", "", "admin") as outer:
        with change_set("bob", "", "command") as inner:
            Offer.objects.update(mode="trial")
        assert inner is outer
        with pytest.raises(RuntimeError), change_set("bob", "", "command"):
            Offer.objects.update(mode="disabled")
            raise RuntimeError
    recorded = ConfigRevision.objects.get()
    assert recorded.who == "ada"
    assert configuration_at(recorded)["orchestrators"][0]["offers"][0]["mode"] == "trial"


def test_what_no_tool_has_changed_is_recorded_before_the_next_change(offer: Offer) -> None:
    """Issue 5, screen 10: whoever changes something next is not taken for the one who did."""
    with change_set("ada", "", "admin"):
        Orchestrator.objects.update(region="eu")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE orchestrators_offer SET share = 0.125")
    with change_set("bob", "", "apply"):
        Orchestrator.objects.update(region="us")
    told = [(row.who, row.via) for row in ConfigRevision.objects.all()]
    assert told == [("bob", "apply"), ("", "outside"), ("ada", "admin")]
    [alder] = configuration_at(ConfigRevision.objects.get(via="outside"))["orchestrators"]
    assert (alder["region"], alder["offers"][0]["share"]) == ("eu", 0.125)


def test_a_claim_that_moves_is_no_change_from_outside(offer: Offer, advert: Advert) -> None:
    with change_set("ada", "", "admin"):
        Offer.objects.update(share=0.5)
    Advert.objects.update(price=Price.parse("11 wei/second"))
    assert not changes.note_outside()
    Offer.objects.update(share=0.75)
    assert changes.note_outside() and not changes.note_outside()
    assert [row.via for row in ConfigRevision.objects.all()] == ["outside", "admin"]


def test_notes_are_part_of_a_change_that_tells_of_them(offer: Offer) -> None:
    """They are no policy, and in the configuration all the same."""
    with change_set("ada", "", "admin"):
        Offer.objects.update(share=0.5)
    for _twice in range(2):
        with change_set("ada", "", "admin") as changed:
            Orchestrator.objects.update(notes="a friend")
            changed.summary.append("changed orchestrator alder: Notes")
    assert ConfigRevision.objects.count() == 2


def test_the_document_on_record_is_in_force_until_somebody_decides_otherwise(
    offer: Offer, advert: Advert, health: OfferHealth
) -> None:
    """Whatever machines write, however often; only what is decided outside the tools has to be written down."""

    def is_on_record() -> bool:
        with CaptureQueriesContext(connection) as queries:
            document = changes.configuration_in_force()
        assert document == configuration.export()
        return len(queries) == 1

    with change_set("ada", "", "admin"):
        Orchestrator.objects.update(notes="a friend")
    assert ConfigRevision.objects.get().who == "ada" and is_on_record()
    Advert.objects.update(price=Price.parse("11 wei/second"), largest_capacity=9)
    OfferHealth.objects.update(state="down", until=NOW)
    Offer.objects.update(ignored_until=NOW)
    assert is_on_record()
    for write in (
        lambda: FailureSignature.objects.filter(order=10).update(note="seen"),
        lambda: AlertRule.objects.create(name="slow", kind="p95", threshold=9),
        lambda: AlertRule.objects.get(name="slow").channels.create(name="us"),
        lambda: PriceCeiling.objects.create(capability=offer.capability),
        lambda: Offer.objects.update(share=0.5),
    ):
        write()
        assert not is_on_record()
        assert changes.note_outside() and is_on_record() and not changes.note_outside()
    triggers.install_triggers()  # as after an upgrade
    assert not is_on_record()
    assert not changes.note_outside() and is_on_record()


@pytest.mark.django_db(transaction=True)
def test_change_sets_that_cross_wait_for_each_other() -> None:
    """Without the lock on the revision row PostgreSQL finds a deadlock here."""
    one, other = Tier.objects.create(slug="gold"), Tier.objects.create(slug="silver")
    rounds = 10

    def write(first: Tier, second: Tier) -> None:
        for burst in range(1, rounds + 1):
            with change_set(first.slug, "", "command"):
                for tier in (first, second):
                    Tier.objects.filter(pk=tier.pk).update(burst=burst * 1000 + first.pk)
        connection.close()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write, one, other), pool.submit(write, other, one)]:
            done.result(timeout=60)
    assert ConfigRevision.objects.count() == 2 * rounds
    assert len(set(Tier.objects.values_list("burst", flat=True))) == 1


# --- the file --------------------------------------------------------------------------------------


def test_it_says_when_there_is_no_database_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a b.sqlite3"
    monkeypatch.setitem(connection.settings_dict, "NAME", f"file:{tmp_path}/a%20b.sqlite3?mode=rw")
    if connection.vendor != "sqlite":
        assert sqlite.absent() == ""
        return
    assert sqlite.sqlite_file() == file
    assert sqlite.absent() == f"The database {file} does not exist yet: run manage.py migrate."
    file.touch()
    assert sqlite.absent() == ""


def test_watching_an_unknown_field_fails() -> None:
    with pytest.raises(Exception, match="no field named 'colour'"):
        triggers.watch(RoutingProfile, ignored=("colour",))
