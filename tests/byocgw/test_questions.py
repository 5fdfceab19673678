"""No screen asks the database more than fifteen questions (issue 5, bar 2); how long they take on a full one is
measured by `python -m tests.benchmarks.console`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from routing.models import Job
from tests.benchmarks.console import MOST_QUERIES, screens
from tests.browser import seed
from tests.byocgw.test_roles import person, shipped_groups  # noqa: F401  (a fixture)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("shipped_groups")]


@pytest.fixture
def fleet(settings: Any, tmp_path: Path) -> None:
    """The browser tests' fleet, without its past."""
    settings.STATIC_ROOT = tmp_path
    now = timezone.now()
    seed.supply(now)
    seed.demand()
    seed.alerts(now)
    seed.changes()
    fields = {"client": "acme", "capability": "depth", "code": "ok", "status": 200, "attempts_made": 1}
    numbers = dict.fromkeys(("ms", "bytes_in", "bytes_out", "wei", "policy"), 1)
    Job.objects.create(request_id="one", at=now, orchestrator="ams-gpu-01", **fields, **numbers)


def test_no_screen_asks_more_than_fifteen_questions(client: Client, fleet: None) -> None:
    boss, asked = person(client, "Administrator"), dict[str, int]()

    def look(address: str, sent: Any = None) -> Any:
        with CaptureQueriesContext(connection) as queries:
            answer = boss.post(address, sent) if sent else boss.get(address)
        asked[address] = len(queries)
        return answer

    look("/admin/")  # reads the routing table
    found = list(screens(boss, look))
    assert len(found) > 200
    for each in found:
        if each.address not in asked or each.sent:
            assert look(each.address, each.sent).status_code == 200
        if asked[each.address] > MOST_QUERIES:
            look(each.address, each.sent)  # the first of a kind: Django keeps what it has learned of the models
    beyond = [f"{each}: {asked[each.address]}" for each in found if asked[each.address] > MOST_QUERIES]
    assert not beyond, "\n".join(beyond)
