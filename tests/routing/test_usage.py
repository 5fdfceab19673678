"""What was used, as the books have it: by hour, day and month, for the client and for staff."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser

from orchestrators.simulator import Container, Simulator
from routing import usage
from routing.models import UsageHour
from routing.usage import BadSpan, Span
from tests.routing.inference.scenes import ask, depth_by
from tests.support.gateway import Gateway, in_thread

NOW = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)
HOURS = [
    (datetime(2026, 11, 24, 23, tzinfo=UTC), "acme", "depth", 3, 1, 1500, 10, 20, 10**20),
    (datetime(2026, 11, 25, 0, tzinfo=UTC), "acme", "depth", 1, 0, 250, 1, 2, 7),
    (datetime(2026, 11, 25, 9, tzinfo=UTC), "acme", "depth", 2, 0, 250, 1, 2, 10**20),
    (datetime(2026, 11, 25, 9, tzinfo=UTC), "acme", "pose", 5, 5, 0, 0, 0, 0),
    (datetime(2026, 11, 25, 9, tzinfo=UTC), "zoo", "depth", 9, 0, 9, 9, 9, 9),
    (datetime(2026, 10, 31, 23, tzinfo=UTC), "acme", "depth", 8, 0, 8, 8, 8, 8),
]


@pytest.fixture
def books(db: None) -> None:
    names = ("hour", "client", "capability", *usage.SUMS)
    UsageHour.objects.bulk_create(UsageHour(**dict(zip(names, row, strict=True))) for row in HOURS)


def told(client: str | None = "acme", **asked: str) -> list[tuple[Any, ...]]:
    rows = usage.read(Span.read(asked, NOW), client)
    return [(row["from"], row["capability"], row["requests"], row["wei"]) for row in rows]


def test_this_month_by_day_is_what_comes_unasked(books: None) -> None:
    assert told() == [
        ("2026-11-24", "depth", 3, str(10**20)),
        ("2026-11-25", "depth", 3, str(10**20 + 7)),
        ("2026-11-25", "pose", 5, "0"),
    ]


def test_a_span_holds_its_first_hour_and_not_its_last(books: None) -> None:
    assert told(since="2026-11-25", until="2026-11-25T09:00:00+00:00", by="hour") == [
        ("2026-11-25T00:00:00Z", "depth", 1, "7")
    ]
    # 01:00 at +02:00 is 23:00 of the day before
    assert told(since="2026-11-25T01:00:00+02:00", until="2026-11-25", by="hour") == [
        ("2026-11-24T23:00:00Z", "depth", 3, str(10**20))
    ]


def test_all_clients_by_month(books: None) -> None:
    rows = usage.read(Span.read({"since": "2026-10-01", "by": "month"}, NOW))

    assert [(row["from"], row["client"], row["requests"]) for row in rows] == [
        ("2026-10", "acme", 8),
        ("2026-11", "acme", 6),
        ("2026-11", "acme", 5),
        ("2026-11", "zoo", 9),
    ]
    assert usage.total(rows) == {
        "requests": 28,
        "failures": 6,
        "seconds": 2.017,
        "bytes_in": 29,
        "bytes_out": 41,
        "wei": str(2 * 10**20 + 7 + 9 + 8),
    }


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"by": "week"}, "by: 'week' is none of hour, day, month"),
        ({"since": "yesterday"}, "since: 'yesterday' is no ISO 8601"),
        ({"until": "2026-11-01"}, "until: must be later"),
        ({"since": "2026-01-01", "by": "hour"}, "since: at most 31 days"),
    ],
)
def test_what_cannot_be_told_is_named(asked: dict[str, str], says: str) -> None:
    with pytest.raises(BadSpan, match=says):
        Span.read(asked, NOW)


async def test_a_client_sees_its_own_use_to_the_wei(gateway: Gateway) -> None:
    async with Simulator("alder", capabilities=[Container("depth", price=9)]) as alder:
        await depth_by(gateway, alder)
        other = await gateway.issue_key("zoo")
        for _ in range(3):
            await ask(gateway)
        await gateway.post("/v1/capabilities/depth", json={}, headers={"authorization": f"Bearer {other}"})
        await gateway.drained()
        answer = await gateway.get("/v1/usage")
        bad = await gateway.get("/v1/usage?by=week")
        long = await gateway.get("/v1/usage?" + "a=&" * 2_000)

    booked = await in_thread(
        lambda: list(UsageHour.objects.filter(client="acme").values_list("requests", "wei"))
    )
    (row,) = answer.json()["usage"]
    assert (row["capability"], row["requests"]) == ("depth", 3)
    assert booked == [(3, int(answer.json()["total"]["wei"]))]
    assert "zoo" not in answer.text
    assert (bad.status_code, bad.json()["code"]) == (400, "bad_request")
    assert (long.status_code, long.json()["code"]) == (400, "bad_request")


def staff(permission: str | None) -> Browser:
    user = User.objects.create_user("ada", is_staff=True)
    if permission:
        user.user_permissions.add(Permission.objects.get(codename=permission))
    browser = Browser()
    browser.force_login(user)
    return browser


def test_staff_read_it_as_json_or_csv(books: None) -> None:
    browser = staff("view_usagehour")
    asked = "client=zoo&since=2026-11-01&until=2026-11-26"

    told = browser.get(f"/api/usage/?{asked}").json()
    rows = list(csv.DictReader(io.StringIO(browser.get(f"/api/usage.csv?{asked}").content.decode())))

    assert told["total"]["requests"] == 9
    assert [(row["from"], row["client"], row["wei"]) for row in rows] == [("2026-11-25", "zoo", "9")]
    assert browser.get("/api/usage/?by=week").status_code == 400


def test_nobody_else_does(books: None) -> None:
    assert staff(None).get("/api/usage/").status_code == 403
