"""The past of the seeded fleet: a day of looks at every offer, a week of calls, and the sums they add up to.

Rows go into the tables as they are, past the models, a block at a time: a million calls in half a minute.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from django.db import connection, transaction
from django.db.models import Model

from orchestrators.models import HealthSnapshot
from routing.models import Attempt, Job, OfferDay, UsageHour

DAY, WEEK = timedelta(days=1), timedelta(days=7)
BLOCK = 10_000  # rows
CLIENTS = {"acme": 2, "globex": 1, "initech": 1}
CODES = {"ok": 970, "client_error": 12, "exhausted": 12, "none_available": 6}
STATUS = {"ok": 200, "client_error": 422, "exhausted": 502, "none_available": 503}
SEEN = {"ok": 288, "timeout": 4, "gpu_oom": 4, "unreachable": 4}
BYTES_IN, BYTES_OUT = 20_000, 80_000
QUOTED = "200000000000 wei/second"
# Columns, as the rows have them.
LOOK = "offer_id at source outcome before after claimed latency_ms cold price capacity detail"
JOB = (
    "request_id at client capability worker_path code status orchestrator attempts_made ms"
    " bytes_in bytes_out wei policy decision trace"
)
ATTEMPT = "job_id number orchestrator capability outcome at ms status detail cold held_against"
DAY_SUMS = "day orchestrator capability attempts failures milliseconds wei"
HOUR_SUMS = "hour client capability requests failures milliseconds bytes_in bytes_out wei"

Row = tuple[Any, ...]
Offers = list[tuple[int, str, str]]  # id, orchestrator, capability
Usual = Mapping[str, int]  # milliseconds of a capability


def fill(offers: Offers, usual: Usual, now: datetime, snapshots: int, calls: int, dice: random.Random) -> None:
    """The latest day and the latest seven. Sums hold exactly what the calls add up to."""
    now = now.astimezone(UTC).replace(tzinfo=None)  # as text the databases take it for UTC
    with _unindexed(HealthSnapshot, Job, Attempt):
        _store(HealthSnapshot, LOOK, _looks(offers, usual, now, snapshots, dice))
        week = _Week(offers, usual, dice)
        for first in range(0, calls, BLOCK):
            moments = [now - WEEK * (1 - place / calls) for place in range(first, min(first + BLOCK, calls))]
            _store(Job, JOB, week.jobs(moments))
            _store(Attempt, ATTEMPT, week.attempts())
    _store(OfferDay, DAY_SUMS, ((*key, *sums) for key, sums in week.days.items()))
    _store(UsageHour, HOUR_SUMS, ((str(hour), *key, *sums) for (hour, *key), sums in week.hours.items()))


def _looks(offers: Offers, usual: Usual, now: datetime, number: int, dice: random.Random) -> Iterator[Row]:
    rounds = max(number // len(offers), 1)
    for left in range(rounds, 0, -1):
        at = str(now - DAY * left / rounds)
        for (key, _, slug), outcome in zip(offers, _drawn(dice, SEEN, len(offers)), strict=True):
            ms = usual[slug] * dice.uniform(0.7, 1.6) if outcome == "ok" else None
            yield key, at, "probe", outcome, "healthy", "healthy", True, ms, False, QUOTED, 4, ""


class _Week:
    """`days`, `hours`: sums by the keys of OfferDay and UsageHour."""

    def __init__(self, offers: Offers, usual: Usual, dice: random.Random) -> None:
        self._usual, self._dice = usual, dice
        self._homes = {slug: [name for _, name, of in offers if of == slug] for slug in usual}
        self._decisions = {slug: json.dumps(_decision(homes)) for slug, homes in self._homes.items()}
        self._wanted = dict(zip(usual, range(len(usual), 0, -1), strict=True))
        self._attempts: list[Row] = []
        self._made = 0
        self.days: dict[Row, list[int]] = defaultdict(lambda: [0] * 4)
        self.hours: dict[Row, list[int]] = defaultdict(lambda: [0] * 6)

    def jobs(self, moments: list[datetime]) -> list[Row]:
        drawn = (_drawn(self._dice, each, len(moments)) for each in (self._wanted, CLIENTS, CODES))
        return [self._job(*each) for each in zip(moments, *drawn, strict=True)]

    def attempts(self) -> list[Row]:
        """Of the jobs since the last time."""
        told, self._attempts = self._attempts, []
        return told

    def _job(self, at: datetime, slug: str, client: str, code: str) -> Row:
        dice, status = self._dice, STATUS[code]
        self._made += 1
        key = f"{self._made:012x}{dice.getrandbits(80):020x}"
        ms = int(self._usual[slug] * dice.lognormvariate(0, 0.35))
        tries = 0 if code == "none_available" else 1 + (code == "exhausted" or dice.random() < 0.03)
        names = dice.choices(self._homes[slug], k=tries)
        for number, name in enumerate(names, 1):
            outcome = code if number == tries and code != "exhausted" else "timeout"
            self._attempt((key, number, name, slug, outcome), at, ms // tries)
        wei = ms * 200_000_000 if code == "ok" else 0
        if wei:
            self.days[at.date(), names[-1], slug][3] += wei
        hour = at.replace(minute=0, second=0, microsecond=0)
        _add(self.hours[hour, client, slug], 1, status >= 500, ms, BYTES_IN, BYTES_OUT, wei)
        decision, trace = ("{}", None) if tries == 1 else (self._decisions[slug], key)
        server = names[-1] if status < 500 else ""
        told = (key, str(at), client, slug, "", code, status, server, tries, ms)
        return (*told, BYTES_IN, BYTES_OUT, wei, 1, decision, trace)

    def _attempt(self, told: Row, at: datetime, ms: int) -> None:
        _, number, name, slug, outcome = told
        failed = outcome == "timeout"
        _add(self.days[at.date(), name, slug], 1, failed, ms)
        at += timedelta(milliseconds=2 + (number - 1) * (ms + 25))
        answer = (None, "no answer within 5.0 s") if failed else (STATUS[outcome], "")
        self._attempts.append((*told, str(at), ms, *answer, False, True))


def _add(sums: list[int], *more: int) -> None:
    for place, number in enumerate(more):
        sums[place] += number


def _drawn(dice: random.Random, weights: Mapping[str, int], number: int) -> list[str]:
    return dice.choices(list(weights), list(weights.values()), k=number)


def _decision(names: list[str]) -> dict[str, Any]:
    """A choice as it is kept: two that could serve, two that could not (see routing/decisions.py)."""
    one, two, three, four = (names * 4)[:4]
    return {
        "d": [0.2, 0.6, 0.9],
        "s": 300_000_000_000,
        "c": [
            [one, 0, 1, 240_000_000_000, 0.7, 612.4, 0.012, 355_000_000_000, 1, 2, 8],
            [two, 1, 2, 180_000_000_000, 0.9, 910.0, 0.08, 472_000_000_000, 0, 0, 4],
        ],
        "r": [[three, 0, "430000000000", "400000000000"], [four, 10, "gpu_oom", "212"]],
    }


def _store(model: type[Model], names: str, rows: Iterable[Row]) -> None:
    columns = names.split()
    quoted, places = ", ".join(f'"{each}"' for each in columns), ", ".join(["%s"] * len(columns))
    sql = f"INSERT INTO {model._meta.db_table} ({quoted}) VALUES ({places})"
    rows = iter(rows)
    while block := list(islice(rows, BLOCK)):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.executemany(sql, block)


@contextmanager
def _unindexed(*models: type[Model]) -> Iterator[None]:
    """To build an index of a million rows takes a fifth of what keeping it with each row does."""
    indexes = [(model, index) for model in models for index in model._meta.indexes]
    with connection.schema_editor() as editor:
        for each in indexes:
            editor.remove_index(*each)
    yield
    with connection.schema_editor() as editor:
        for each in indexes:
            editor.add_index(*each)
