"""The admin's lists of history are found by an index, whatever is filtered."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from orchestrators.models import reach
from tests.support.history import fill, lists, name_everybody

TABLES = r"(?:routing_job|routing_attempt|orchestrators_healthsnapshot)"
SEARCHED = 10_000
MOST_IN_VAIN = 3 * SEARCHED  # PostgreSQL may read the two days that a search reaches into from end to end


def reads_too_much(sql: str) -> str:
    """The plan, if it looks at rows in vain; else nothing.

    On SQLite: reads a table from end to end though something is looked for. PostgreSQL may do so where nearly
    every row will do, or a partition is empty; there the rows are counted.
    """
    sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        cursor.execute(("EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN (ANALYZE, TIMING OFF) ") + sql)
        plan = "\n".join(str(row[-1]) for row in cursor.fetchall())
    if sqlite:
        return plan if " WHERE " in sql and re.search(rf"SCAN {TABLES}\b", plan) else ""
    in_vain = sum(map(int, re.findall(r"Rows Removed by Filter: (\d+)", plan)))
    return plan if in_vain > MOST_IN_VAIN else ""


@pytest.mark.django_db
def test_a_call_pays_for_one_index_of_each_table() -> None:
    """Issue 4, section 3: and for the keys; the migration drops the others by hand."""
    found = set[str]()
    with connection.cursor() as cursor:
        for table in ("routing_job", "routing_attempt"):
            for each in connection.introspection.get_constraints(cursor, table).values():
                if each["index"] and not each["primary_key"]:
                    found.add(",".join(each["columns"]))
    found.discard("request_id")  # PostgreSQL's second one of a key of text
    assert found == {"at,client,capability,orchestrator,code", "job_id", "at,orchestrator,capability"}


@pytest.mark.django_db
def test_a_list_is_searched_so_far_back_and_from_there(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "ROWS", 5)
    name_everybody()
    fill(datetime(2026, 3, 1, tzinfo=UTC), 1, 40)
    client.force_login(User.objects.create_superuser("ada"))
    for path, rows in (
        ("routing/attempt/?orchestrator=orchestrator-rare", 40),
        ("orchestrators/healthsnapshot/?outcome=gpu_oom", 8),
    ):
        pages, seen = 0, 0
        while path:
            answer = client.get(f"/admin/{path}")
            text = answer.content.decode()
            pages, seen = pages + 1, seen + len(answer.context["cl"].result_list)
            further = re.search(r'href="(\?[^"]*)">Search further', text)
            path = path.partition("?")[0] + html.unescape(further[1]) if further else ""
        assert (pages, seen) == (-(-rows // 6), 5)
    assert client.get("/admin/routing/attempt/?before=soon").status_code == 302, "Django's own way to say so"
    one = client.get(f"/admin/routing/attempt/?q={3:032x}")
    assert len(one.context["cl"].result_list) == 1, "one request's are found however old"


@pytest.mark.long
@pytest.mark.django_db
def test_no_filter_reads_a_whole_table(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among 100,000 jobs, as many attempts and 20,000 snapshots; ten million: tests/benchmarks/history.py."""
    monkeypatch.setattr(reach, "ROWS", SEARCHED)
    name_everybody()
    fill(datetime(2026, 3, 1, tzinfo=UTC), 10, 10_000)
    client.force_login(User.objects.create_superuser("ada"))
    seen, bad = 0, []
    paths = lists(datetime(2026, 3, 5, tzinfo=UTC))
    for path in paths:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"/admin/{path}").status_code in (200, 302)
        for sql in (each["sql"] for each in queries.captured_queries):
            if not re.search(rf'FROM "{TABLES}', sql):
                continue
            seen += 1
            if plan := reads_too_much(sql):
                bad.append(f"{path}\n{sql[-300:]}\n{plan}")
    assert seen >= len(paths)
    assert not bad, "\n\n".join(bad)
