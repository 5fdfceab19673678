"""The log of calls: pages that meet without gap or overlap, whatever is filtered or comes meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from orchestrators.models import reach
from routing import joblog
from routing.joblog import PAGE, Asked, BadQuestion, page
from routing.models import Attempt, Job

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Any) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path


def job(number: int, **fields: Any) -> Job:
    """The numbers' order is the log's, from the oldest; three share each moment."""
    values = {"client": "acme", "capability": "depth", "code": "ok", "status": 200, "orchestrator": "alder"}
    sums = {"attempts_made": 1, "ms": 400, "bytes_in": 1, "bytes_out": 2, "wei": 5, "policy": 1}
    at = NOON + timedelta(seconds=number // 3)
    return Job.objects.create(request_id=f"{number:032x}", at=at, **{**values, **sums, **fields})


def numbers(found: joblog.Page) -> list[int]:
    return [int(each.pk, 16) for each in found.jobs]


def test_pages_meet_in_both_directions_also_within_one_moment() -> None:
    for number in range(2 * PAGE + 20):
        job(number)
    first = page(Asked())
    assert numbers(first) == list(range(119, 69, -1)) and not first.newer
    job(500)  # one that comes meanwhile moves no page
    second = page(Asked(before=first.older))
    assert numbers(second) == list(range(69, 19, -1))
    third = page(Asked(before=second.older))
    assert numbers(third) == list(range(19, -1, -1)) and not third.older
    back = page(Asked(after=third.newer))
    assert numbers(back) == numbers(second) and back.older and back.newer
    top = page(Asked(after=back.newer))
    assert numbers(top) == numbers(first) and top.newer, "the one that came meanwhile is newer still"


def test_filters_narrow_and_failed_means_whoever_is_to_blame() -> None:
    job(0, code="exhausted", status=502, client="globex")
    job(1, code="broken")
    job(2, code="client_error", status=422)
    job(3, code="none_available", status=503, orchestrator="")
    job(4, code="rate_limited", status=429)
    assert numbers(page(Asked(code="failed"))) == [3, 1, 0]
    assert numbers(page(Asked(code="failed", client="globex"))) == [0]
    assert numbers(page(Asked(orchestrator="alder", code="client_error"))) == [2]
    until = (NOON + timedelta(seconds=1)).isoformat()
    assert numbers(page(Asked(until=until))) == [2, 1, 0] and numbers(page(Asked(since=until))) == [4, 3]
    assert numbers(page(Asked(code="failed", before=page(Asked(code="failed")).older or f"{10**15}-x"))) == []


def test_failures_go_on_over_pages() -> None:
    for number in range(PAGE + 30):
        job(number, code="exhausted" if number % 2 else "deadline", status=502)
    first = page(Asked(code="failed"))
    assert numbers(first) == list(range(79, 29, -1))
    assert numbers(page(Asked(code="failed", before=first.older))) == list(range(29, -1, -1))


def test_what_is_rare_is_searched_for_so_far_at_a_time(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    """Issue 4, section 3: a page reads so many rows, says how far it came, and the next goes on from there."""
    monkeypatch.setattr(reach, "ROWS", 10)
    for number in range(40):
        job(number, client="rare" if number in (2, 30) else "acme")
    asked, seen, pages = Asked(client="rare"), list[int](), 0
    while True:
        found, pages = page(asked), pages + 1
        seen += numbers(found)
        if not found.older:
            break
        assert found.searched is not None
        asked = Asked(client="rare", before=found.older)
    assert (seen, pages, found.searched) == ([30, 2], 5, None)
    assert not found.jobs and found.newer, "an empty page has a way back, too"
    seen = []
    while found.newer:
        found = page(Asked(client="rare", after=found.newer))
        seen += numbers(found)
    assert seen == [2, 30] and found.searched is None
    assert page(Asked()).searched is None, "who filters nothing reads no more than a page"
    client.force_login(User.objects.create_superuser("ada"))
    text = client.get("/admin/routing/job/", {"client": "nobody"}).content.decode()
    assert "No call like that among these." in text and "before=" in text.split("Search further")[0]


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"since": "soon"}, "since"),
        ({"until": "0001-01-01T00:00+14:00"}, "until"),
        ({"before": "x-1"}, "before"),
        ({"after": "1"}, "after"),
    ],
)
def test_it_names_what_it_cannot_read(client: Client, asked: dict[str, str], named: str) -> None:
    with pytest.raises(BadQuestion, match=f"{named}: '"):
        page(Asked(**asked))
    client.force_login(User.objects.create_superuser("ada"))
    answer = client.get("/admin/routing/job/", asked)
    assert answer.status_code == 400 and f"{named}: " in answer.content.decode()


def test_it_asks_few_questions_and_counts_nothing(client: Client) -> None:
    """Issue 5, bar 2."""
    client.force_login(User.objects.create_superuser("ada"))
    made = [job(number, code="exhausted" if number % 9 == 0 else "ok") for number in range(60)]
    for number in (1, 2):
        Attempt.objects.create(
            job=made[0], number=number, at=NOON, orchestrator=f"o{number}", capability="depth",
            outcome="timeout", ms=200,
        )  # fmt: skip
    for path in ("", "?code=failed", f"{made[0].pk}/change/"):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"/admin/routing/job/{path}").status_code == 200
        assert len(queries) <= 15, [each["sql"][:120] for each in queries]
        jobs = [each["sql"] for each in queries if 'FROM "routing_job"' in each["sql"]]
        assert jobs and not [sql for sql in jobs if "COUNT(" in sql]


def test_a_trace_tells_attempts_as_a_waterfall_with_the_numbers_beside(client: Client) -> None:
    client.force_login(User.objects.create_superuser("ada"))
    made = job(0, code="ok", ms=1000, attempts_made=2, trace="ab" * 16)
    for number, start, ms, outcome in ((1, 100, 300, "timeout"), (2, 500, 400, "ok")):
        Attempt.objects.create(
            job=made, number=number, at=NOON + timedelta(milliseconds=start), orchestrator=f"o{number}",
            capability="depth", outcome=outcome, ms=ms, detail="said nothing" if number == 1 else "",
        )  # fmt: skip
    answer = client.get(f"/admin/routing/job/{made.pk}/change/")
    spans = answer.context["spans"]
    assert [(each.number, each.start, each.length) for each in spans] == [
        (0, 0, 100), (1, 100, 300), (0, 400, 100), (2, 500, 400), (0, 900, 100),
    ]  # fmt: skip
    text = answer.content.decode()
    assert '<rect class="bad" x="10.00" width="30.00"' in text and '<rect class="good" x="50.00"' in text
    assert "said nothing" in text and f"00-{'ab' * 16}-{made.pk[-14:]}02-00" in text
