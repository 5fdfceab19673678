"""The admin's lists of history are found by an index, whatever is filtered."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.support.history import LISTS, fill, name_everybody

TABLES = r"(?:routing_job|routing_attempt|orchestrators_healthsnapshot)"
MOST_IN_VAIN = 10_000


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


@pytest.mark.long
@pytest.mark.django_db
def test_no_filter_reads_a_whole_table(client: Client) -> None:
    """Among 100,000 jobs, as many attempts and 20,000 snapshots; ten million: tests/benchmarks/history.py."""
    name_everybody()
    fill(datetime(2026, 3, 1, tzinfo=UTC), 10, 10_000)
    client.force_login(User.objects.create_superuser("ada"))
    seen, bad = 0, []
    for path in LISTS:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"/admin/{path}").status_code == 200
        for sql in (each["sql"] for each in queries.captured_queries):
            if not re.search(rf'FROM "{TABLES}', sql):
                continue
            seen += 1
            if plan := reads_too_much(sql):
                bad.append(f"{path}\n{sql[-300:]}\n{plan}")
    assert seen >= len(LISTS)
    assert not bad, "\n\n".join(bad)
