"""Much history, made by the database itself: days of calls, with names that are common, rare, and of nobody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations, product

from django.db import connection

from orchestrators.models import Capability, HealthSnapshot, Offer, Orchestrator, RoutingProfile
from routing import partitions
from routing.models import Attempt, Client, Job

DAY = timedelta(days=1)
ORCHESTRATORS, CAPABILITIES, CLIENTS = 50, 10, 20

# What the lists are asked for by name: common, common elsewhere (the two meet in no row), rare, and in no row.
_OF_JOBS = {
    "code": ("ok", "failed", "exhausted", "deadline", "body_too_large"),
    "capability": ("capability-1", "capability-2", "capability-rare"),
    "client": ("client-1", "client-2", "client-rare"),
    "orchestrator": ("orchestrator-1", "orchestrator-2", "orchestrator-rare"),
}
_OF_ATTEMPTS = {name: _OF_JOBS[name] for name in ("capability", "orchestrator")}
_OF_SNAPSHOTS = {
    "source__exact": ("probe", "trial"),
    "outcome": ("ok", "gpu_oom", "timeout"),
    "offer__orchestrator__name": ("orchestrator-1", "orchestrator-2", "orchestrator-rare"),
    "offer__capability__slug": ("capability-0", "capability-1"),
}


def _asked(names: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """Every name alone, and every two of different columns."""
    for column, values in names.items():
        yield from (f"?{column}={value}" for value in values)
    for first, second in combinations(names, 2):
        for pair in product(names[first], names[second]):
            yield f"?{first}={pair[0]}&{second}={pair[1]}"


# Rows are numbered `i` from 0 within a day and `n` over all days. Only the very first of all are rare.
_COLUMNS = {
    Job: {
        "request_id": "{id}",
        "at": "{at}",
        "client": "CASE WHEN n < 5 THEN 'client-rare' ELSE {name_client} END",
        "capability": "CASE WHEN n < 5 THEN 'capability-rare' ELSE {name_capability} END",
        "worker_path": "'/draw'",
        "code": "CASE WHEN n < 5 THEN 'deadline' WHEN n % 50 = 0 THEN 'exhausted' ELSE 'ok' END",
        "status": "200",
        "orchestrator": "CASE WHEN n < 5 THEN 'orchestrator-rare' ELSE {name_orchestrator} END",
        "attempts_made": "1",
        "ms": "400 + n % 300",
        "bytes_in": "1000",
        "bytes_out": "2000",
        "wei": "70",
        "policy": "3",
        "decision": "'{{}}'",
    },
    Attempt: {
        "job_id": "{id}",
        "number": "1",
        "at": "{at}",
        "orchestrator": "CASE WHEN n < 5 THEN 'orchestrator-rare' ELSE {name_orchestrator} END",
        "capability": "CASE WHEN n < 5 THEN 'capability-rare' ELSE {name_capability} END",
        "outcome": "CASE WHEN n % 50 = 0 THEN 'timeout' ELSE 'ok' END",
        "status": "200",
        "ms": "400 + n % 300",
        "cold": "n < 0",
        "held_against": "n >= 0",
        "detail": "''",
    },
    HealthSnapshot: {
        "offer_id": "(SELECT MIN(id) FROM orchestrators_offer) + n % {offers}",
        "at": "{at}",
        "source": "CASE WHEN n < 5 THEN 'trial' ELSE 'probe' END",
        "outcome": "CASE WHEN n < 5 THEN 'gpu_oom' ELSE 'ok' END",
        "before": "'healthy'",
        "after": "'healthy'",
        "claimed": "n >= 0",
        "latency_ms": "400 + n % 300",
        "cold": "n < 0",
        "price": "'1000 wei/second'",
        "capacity": "1",
        "detail": "''",
    },
}
_IN_SQLITE = {
    "id": "printf('%032x', n)",
    "at": "strftime('%Y-%m-%d %H:%M:%f', {day} + i * {step}, 'unixepoch')",
    "series": "WITH RECURSIVE s(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i + 1 < {rows})",
}
_IN_POSTGRESQL = {
    "id": "lpad(to_hex(n), 32, '0')",
    "at": "to_timestamp({day} + i * {step})",
    "series": "WITH s AS (SELECT generate_series(0, {rows} - 1) AS i)",
}


def lists(middle: datetime) -> list[str]:
    """The pages of the admin that show history: with every filter, far back, and the search box.

    `middle`: a moment amid what was filled.
    """
    deep = f"{int(middle.timestamp()) * 10**6}-x"
    span = f"since={middle:%Y-%m-%d}&until={middle + DAY:%Y-%m-%d}"
    pages = {
        "routing/job": (
            *("", f"?before={deep}", f"?after={deep}", f"?code=failed&before={deep}"),
            *(f"?client=client-1&before={deep}", f"?client=client-1&after={deep}"),
            f"?client=client-1&orchestrator=orchestrator-2&before={deep}",
            *(f"?{span}&capability=capability-1", *_asked(_OF_JOBS)),
            "?code=ok&capability=capability-1&client=client-1&orchestrator=orchestrator-2",
            *(f"{40_000:032x}/change/", f"?q={40_000:032x}", "?q=nobody"),
        ),
        "routing/attempt": ("", "?p=150", *_asked(_OF_ATTEMPTS), f"?q={40_000:032x}", "?q=nobody"),
        "orchestrators/healthsnapshot": (
            *("", "?p=150", *_asked(_OF_SNAPSHOTS), "?q=orchestrator-1", "?q=nobody"),
        ),
    }
    return [f"{page}/{query}" for page, queries in pages.items() for query in queries]


def name_everybody() -> None:
    """The rows that the admin's filters take their names from, and offers to look at."""
    profile = RoutingProfile.objects.all()[0]
    for number in [*range(CAPABILITIES), "rare"]:
        Capability.objects.create(slug=f"capability-{number}", profile=profile)
    for number in [*range(CLIENTS), "rare"]:
        Client.objects.create(name=f"client-{number}")
    for number in [*range(ORCHESTRATORS), "rare"]:
        name = f"orchestrator-{number}"
        row = Orchestrator.objects.create(name=name, service_uri=f"http://{name}.invalid")
        Offer.objects.create(orchestrator=row, capability=Capability.objects.get(slug="capability-0"))


def fill(first: datetime, days: int, rows_a_day: int, filled: int = 0) -> None:
    """So many calls a day, of one attempt each, and a snapshot for every fifth. `filled`: days before."""
    midnight = first.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for number in range(filled, filled + days):
        day = midnight + (number - filled) * DAY
        for model, rows in ((Job, rows_a_day), (Attempt, rows_a_day), (HealthSnapshot, rows_a_day // 5)):
            if model is not HealthSnapshot:
                partitions.make_days(model._meta.db_table, day)
            _fill_day(model, day, number, rows)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE")


def _fill_day(model: type[Job | Attempt | HealthSnapshot], day: datetime, number: int, rows: int) -> None:
    dialect = _IN_SQLITE if connection.vendor == "sqlite" else _IN_POSTGRESQL
    values = {
        "id": dialect["id"],
        "at": dialect["at"].format(day=int(day.timestamp()), step=86400 / rows),
        "offers": ORCHESTRATORS,
        "name_client": f"'client-' || (n % {CLIENTS})",
        "name_capability": f"'capability-' || (n % {CAPABILITIES})",
        "name_orchestrator": f"'orchestrator-' || (n % {ORCHESTRATORS})",
    }
    columns = _COLUMNS[model]
    names = ", ".join(f'"{name}"' for name in columns)
    terms = ", ".join(term.format(**values) for term in columns.values())
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {model._meta.db_table} ({names}) {dialect['series'].format(rows=rows)}"
            f" SELECT {terms} FROM (SELECT i, i + {number * rows} AS n FROM s) AS numbered"
        )
