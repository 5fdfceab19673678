"""History goes after its days, and nothing else does."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from importlib import import_module
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from orchestrators.models import ConfigRevision, HealthSnapshot
from routing import partitions, retention
from routing.journal.records import LineRecord
from routing.journal.rows import store
from routing.journal.sample import Sample
from routing.models import Attempt, Chore, Job, UsageHour
from tests.orchestrators.scenes import offer, orchestrator
from tests.routing.journal.cast import attempt, job, written
from tests.support.gateway import Gateway

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 20, 15, tzinfo=UTC)
DAY = timedelta(days=1)
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="there are no partitions")


def record(days_ago: float, name: str | None = None) -> LineRecord:
    at = (NOW - days_ago * DAY).timestamp()
    return written(job(name or f"job-{days_ago}", at=at, attempts=(attempt(at=at),)))


def prune(**days: int) -> None:
    while retention.prune(days, NOW):
        pass


def kept() -> tuple[list[str], list[str]]:
    jobs = list(Job.objects.order_by("-at").values_list("request_id", flat=True))
    return jobs, list(Attempt.objects.order_by("-at").values_list("job_id", flat=True))


def test_it_takes_jobs_and_attempts_each_after_its_own_days() -> None:
    store([record(days) for days in (1, 5, 9, 40)], Sample())
    prune(jobs=7, attempts=3)
    assert kept() == (["job-1", "job-5"], ["job-1"])
    assert UsageHour.objects.count() == 4
    prune(jobs=0, attempts=0)
    assert kept() == (["job-1", "job-5"], ["job-1"])


def test_it_takes_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step is one short transaction, however much is to go."""
    monkeypatch.setattr(retention, "BATCH", 3)
    store([record(9, f"old-{number}") for number in range(7)] + [record(1, "young")], Sample())
    before = NOW - 7 * DAY
    assert [retention.prune_one("jobs", before) for _ in range(4)] == [3, 3, 1, None]
    assert kept()[0] == ["young"]


def test_it_keeps_the_latest_configuration_however_old() -> None:
    for days in (90, 60, 50):
        ConfigRevision.objects.create(at=NOW - days * DAY, who="ann", via="admin", policy=1, bundle=b"")
    prune(revisions=55)
    assert ConfigRevision.objects.count() == 1
    prune(revisions=5)
    assert ConfigRevision.objects.get().at == NOW - 50 * DAY


def test_it_takes_snapshots() -> None:
    somewhere = offer(orchestrator("alder"), "depth")
    for days in (20, 2):
        HealthSnapshot.objects.create(offer=somewhere, at=NOW - days * DAY)
    prune(snapshots=14)
    assert HealthSnapshot.objects.get().at == NOW - 2 * DAY


def test_one_process_prunes_an_hour() -> None:
    assert retention.is_due(NOW)
    assert not retention.is_due(NOW + timedelta(minutes=59))
    assert retention.is_due(NOW + timedelta(minutes=60))
    assert Chore.objects.get().due == NOW + timedelta(hours=2)


def test_it_is_due_once_the_clock_of_whoever_did_it_last_was_put_back() -> None:
    assert retention.is_due(NOW + timedelta(days=365))
    assert retention.is_due(NOW)
    assert not retention.is_due(NOW - timedelta(minutes=1)), "as far as the clocks of two nodes differ"


@pytest.mark.django_db(transaction=True)
async def test_a_worker_prunes_when_it_is_due(gateway: Gateway) -> None:
    def make_old_history_due() -> None:
        store([record(40), record(0)], Sample())
        Chore.objects.update_or_create(name="prune history", defaults={"due": NOW - DAY})

    await sync_to_async(make_old_history_due)()
    until = time.monotonic() + 10
    while await sync_to_async(kept)() != ([], []) and time.monotonic() < until:
        await gateway.runtime.prune()
    assert await sync_to_async(kept)() == ([], [])  # both days are months ago by now
    assert (await Chore.objects.aget(name="prune history")).due > timezone.now()


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("prune_history", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_says_what_would_go_and_what_went(settings: Any) -> None:
    settings.BYOCGW_KEEP_DAYS = {"jobs": 30, "attempts": 30, "snapshots": 14, "revisions": 0}
    now = timezone.now().timestamp()
    store([written(job("old", at=now - 31 * 86400)), written(job("new", at=now))], Sample())
    assert "jobs: 1 rows would go\nattempts: 2 rows would go" in run("--dry-run")
    assert Job.objects.count() == 2
    assert "attempts: kept for ever" in run("--days", "jobs=60", "attempts=0")
    assert Job.objects.count() == 2
    assert "jobs: 1 rows older than 30 days are gone" in run()
    assert kept()[0] == ["new"]


@pytest.mark.parametrize("wrong", ["jobs", "jobs=-1", "jobs=x", "usage=3"])
def test_the_command_refuses_days_it_does_not_understand(wrong: str) -> None:
    with pytest.raises(CommandError, match=f"--days {wrong}"):
        run("--days", wrong)


# --- days of PostgreSQL ------------------------------------------------------------------------------


def ends() -> list[datetime]:
    return [each.end for each in partitions.partitions("routing_job") if each.end]


@on_postgresql
def test_days_are_made_ahead_and_dropped_whole() -> None:
    for days_ago in (10, 9, 1, 0):
        partitions.make_days("routing_job", NOW - days_ago * DAY)
    store([record(days) for days in (10, 9, 1)], Sample())
    assert Job.objects.count() == 3
    assert max(ends()) == datetime(2026, 3, 27, tzinfo=UTC)
    oldest = min(ends())
    prune(jobs=9)
    assert oldest < min(ends())
    assert kept()[0] == ["job-1", "job-9"]  # a day goes when all of it is too old
    prune(jobs=7)
    assert kept()[0] == ["job-1"]


@on_postgresql
def test_a_day_that_somebody_else_has_dropped_is_gone() -> None:
    """`prune_history`, while a worker prunes."""
    partitions.make_days("routing_job", NOW - 9 * DAY)
    oldest = partitions.partitions("routing_job")[0]
    for _ in range(2):
        partitions.drop(oldest)
    assert oldest.name not in [each.name for each in partitions.partitions("routing_job")]


@on_postgresql
def test_a_day_that_is_made_late_takes_its_rows_from_the_default() -> None:
    store([record(0), record(3)], Sample())
    partitions.make_days("routing_job", NOW)
    partitions.make_days("routing_job", NOW)
    assert Job.objects.count() == 2
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT request_id FROM routing_job_20260320 UNION ALL SELECT '-' FROM routing_job_default"
        )
        assert cursor.fetchall() == [("job-0",), ("-",)]


def somebody_waits() -> bool:
    """For a table of this database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE datname = current_database() AND NOT granted"
        )
        return cursor.fetchone() is not None


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_two_processes_may_make_the_same_days_at_once() -> None:
    """The second waits for the first, and finds them made."""
    made, seen = threading.Event(), threading.Event()

    def first() -> None:
        try:
            with transaction.atomic():
                partitions.make_days("routing_job", NOW)
                made.set()
                assert seen.wait(60)
        finally:
            connection.close()

    def second() -> None:
        try:
            partitions.make_days("routing_job", NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor() as threads:
        one = threads.submit(first)
        assert made.wait(60)
        other = threads.submit(second)
        try:
            while not somebody_waits():
                assert not other.done(), "it did not wait"
        finally:
            seen.set()
        one.result(60)
        other.result(60)
    week = [NOW.replace(hour=0) + number * DAY for number in range(7)]
    days = [each for each in partitions.partitions("routing_job") if each.start in week]
    for each in days:
        partitions.drop(each)
    assert [each.start for each in days] == week


@on_postgresql
def test_a_line_applied_twice_is_refused_there_too() -> None:
    """R13: at the same moment, which is what a line says."""
    partitions.make_days("routing_job", NOW)
    store([record(0)], Sample())
    with pytest.raises(IntegrityError), transaction.atomic():
        store([record(0)], Sample())
    assert Job.objects.count() == 1


@on_postgresql
def test_tables_with_rows_become_the_first_partition() -> None:
    """The migration, on tables as they were before it, in a schema of their own."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA old; SET LOCAL search_path TO old, public")
        for table, key in (("routing_job", "request_id"), ("routing_attempt", "id")):
            cursor.execute(f"CREATE TABLE {table} (LIKE public.{table} INCLUDING ALL)")
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD PRIMARY KEY ({key})")
        cursor.execute("ALTER TABLE routing_attempt ALTER id DROP DEFAULT")
        cursor.execute("ALTER TABLE routing_attempt ALTER id ADD GENERATED BY DEFAULT AS IDENTITY")
    store([record(days) for days in (40, 2, 0)], Sample())

    migration = import_module("routing.migrations.0005_partitions")
    with connection.schema_editor() as editor:
        migration.partition(apps, editor)
    store([record(-1), record(-2)], Sample())
    partitions.make_days("routing_job", NOW)

    everybody = ["job--2", "job--1", "job-0", "job-2", "job-40"]
    assert kept() == (everybody, everybody)
    assert Attempt.objects.values("pk").distinct().count() == 5
    first, *following = sorted(ends())
    assert (first, following[0]) == (datetime(2026, 3, 21, tzinfo=UTC), datetime(2026, 3, 22, tzinfo=UTC))
    assert retention.prune_one("jobs", NOW) is None  # it goes as a whole, when the last of it is too old
    assert retention.prune_one("jobs", NOW + DAY) is not None
    assert kept()[0] == everybody[:2]
