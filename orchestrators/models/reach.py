"""How far back one page searches what machines write: over so many rows, and no further in one go.

What is asked for may be rare, or nowhere: who reads on until a page is full reads ten million rows then. An
index for each column that is asked for costs a call more than its rows do (docs/history.md). So there is one by
time, which holds those columns; a page reads so much of it, and says how far it came.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar

from django.db.models import Model, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

ROWS = 150_000  # twice read, at most, to know where to stop and to search: some 40 ms of a core
EVER = datetime.min.replace(tzinfo=UTC)
M = TypeVar("M", bound=Model)


def end_of(rows: QuerySet[M]) -> datetime | None:
    """Where a search of these ends, which are ordered by `at` alone; None: it sees all of them. One query."""
    moments = list(rows.values_list("at", flat=True)[ROWS : ROWS + 1])
    return moments[0] if moments else None


def within(rows: QuerySet[M]) -> QuerySet[M]:
    """Those that a search of these sees, newest first; no query of its own."""
    end = Subquery(rows.values("at")[ROWS : ROWS + 1])
    return rows.filter(at__gte=Coalesce(end, Value(EVER)))
