"""What was spent: exact whatever it is asked by, at an address of its own, as a page and as a table."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from routing.models import OfferDay, Rate, UsageHour
from routing.spend import LONGEST, BadSpan, Span, breakdown, total

pytestmark = pytest.mark.django_db
DAY = date(2026, 3, 1)
HUGE = 2**63 + 1


@pytest.fixture(autouse=True)
def collected(settings: Any, tmp_path: Any) -> None:
    """Whether static files have been collected is nothing to these tests; their server warns if not."""
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ada"))
    return client


@pytest.fixture
def spent() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for at, client, capability, requests, failures, wei in (
        (noon, "acme", "depth", 10, 1, HUGE),
        (noon + timedelta(hours=1), "acme", "pose", 5, 0, 70),
        (noon + timedelta(hours=1), "globex", "depth", 2, 2, 0),
        (noon + timedelta(days=1), "globex", "depth", 4, 0, HUGE),
        (noon - timedelta(days=1), "acme", "depth", 100, 0, 5),
    ):
        UsageHour.objects.create(
            hour=at, client=client, capability=capability, requests=requests, failures=failures,
            milliseconds=100 * requests, wei=wei,
        )  # fmt: skip
    for day, name, capability, attempts, failures, wei in (
        (DAY, "alder", "depth", 11, 0, HUGE),
        (DAY, "alder", "pose", 5, 0, 70),
        (DAY, "cedar", "depth", 7, 6, 0),
        (DAY + timedelta(days=1), "alder", "depth", 4, 0, HUGE),
    ):
        OfferDay.objects.create(
            day=day, orchestrator=name, capability=capability, attempts=attempts, failures=failures, wei=wei
        )


def told(of: str, span: Span) -> list[tuple[str, int, int, int]]:
    return [(row.name, row.calls, row.failures, row.wei) for row in breakdown(of, span)]


def test_every_way_of_asking_adds_up_to_the_same_wei(spent: None) -> None:
    """Also above 2**63, where SQLite's own sums end."""
    span = Span(DAY, DAY + timedelta(days=1))
    assert told("capability", span) == [("depth", 16, 3, 2 * HUGE), ("pose", 5, 0, 70)]
    assert told("client", span) == [("acme", 15, 1, HUGE + 70), ("globex", 6, 2, HUGE)]
    assert told("orchestrator", span) == [("alder", 20, 0, 2 * HUGE + 70), ("cedar", 7, 6, 0)]
    assert {total(breakdown(of, span)).wei for of in ("time", "capability", "client", "orchestrator")} == {
        2 * HUGE + 70
    }


def test_two_days_are_told_by_hour_and_more_by_day(spent: None) -> None:
    hours = told("time", Span(DAY, DAY))
    assert len(hours) == 24 and hours[12] == ("2026-03-01 12:00", 10, 1, HUGE)
    assert hours[13] == ("2026-03-01 13:00", 7, 2, 70) and hours[14][1] == 0
    days = told("time", Span(DAY - timedelta(days=1), DAY + timedelta(days=1)))
    assert [(name, calls) for name, calls, *_ in days] == [
        ("2026-02-28", 100),
        ("2026-03-01", 17),
        ("2026-03-02", 4),
    ]


def test_a_name_narrows_it(spent: None) -> None:
    depth = Span(DAY, DAY, capability="depth")
    assert told("client", depth) == [("acme", 10, 1, HUGE), ("globex", 2, 2, 0)]
    assert told("orchestrator", depth) == [("alder", 11, 0, HUGE), ("cedar", 7, 6, 0)]
    assert told("capability", Span(DAY, DAY, client="globex")) == [("depth", 2, 2, 0)]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"from": "soon"}, "from: 'soon' is no date"),
        ({"to": "0001-01-01"}, "to: '0001-01-01' is no date"),
        ({"to": "9999-12-31"}, "to: '9999-12-31' is no date"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "to: must not be before from"),
        ({"from": "2025-03-02", "to": "2026-03-01"}, f"from: at most {LONGEST} days"),
    ],
)
def test_it_names_what_it_cannot_read(ada: Client, parameters: dict[str, str], said: str) -> None:
    with pytest.raises(BadSpan, match=said):
        Span.read(parameters, DAY)
    page = ada.get("/admin/spend/", parameters)
    assert page.status_code == 400 and said.partition(":")[0] + ": " in page.content.decode()
    assert ada.get("/admin/spend/client.csv", parameters).status_code == 400


def test_the_page_says_it_in_wei_and_dollars_and_links_the_calls_behind(ada: Client, spent: None) -> None:
    """R74: never a dollar without the rate's age."""
    asked = {"from": "2026-03-01", "to": "2026-03-01"}
    assert "Set a rate" in ada.get("/admin/spend/", asked).content.decode()
    Rate.objects.create(per_eth="2000", as_of=timezone.now() - timedelta(hours=3))
    with CaptureQueriesContext(connection) as queries:
        text = ada.get("/admin/spend/", asked).content.decode()
    assert len(queries) <= 15, [each["sql"][:120] for each in queries]
    assert f"{HUGE + 70:,} wei" in text and "$18446.74" in text and "1 ETH = $2000, 3 h ago" in text
    german = ada.get("/admin/spend/", asked, headers={"accept-language": "de"}).content.decode()
    assert "$18446,74" in german and "1 ETH = $2000, vor 3 h" in german
    assert "?client=acme&amp;since=2026-03-01T00%3A00&amp;until=2026-03-02T00%3A00" in text
    assert "/admin/spend/?from=2026-03-01&amp;to=2026-03-01&amp;capability=depth" in text


def test_a_table_of_it_has_every_wei(ada: Client, spent: None) -> None:
    answer = ada.get("/admin/spend/orchestrator.csv", {"from": "2026-03-01", "to": "2026-03-01"})
    assert (
        answer["content-type"].startswith("text/csv")
        and "spend-orchestrator-2026-03-01" in answer["content-disposition"]
    )
    rows = list(csv.DictReader(answer.content.decode().splitlines()))
    assert rows[0] == {"name": "alder", "calls": "16", "failures": "0", "seconds": "0.0", "wei": str(HUGE + 70)}
    assert ada.get("/admin/spend/nothing.csv").status_code == 404


def test_who_may_not_see_usage_sees_none_of_it(client: Client) -> None:
    client.force_login(User.objects.create_user("bob", is_staff=True))
    for address in ("/admin/spend/", "/admin/spend/client.csv", "/admin/prices/"):
        assert client.get(address).status_code == 403, address
    assert "/admin/spend/" not in client.get("/admin/").content.decode()
