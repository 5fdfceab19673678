"""What sources answered, remembered: the last good entry of every endpoint, and how each run went."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import OuterRef, QuerySet, Subquery

from orchestrators.core.clocks import has_come
from orchestrators.core.discovery import Answer, Format, NotTheFormat, read
from orchestrators.core.storable import storable
from orchestrators.discovery.fetching import LIMITS, fetch
from orchestrators.models import DiscoveredEndpoint, DiscoveryRun, DiscoverySource
from orchestrators.upstream.transport import Limits

MOST_KEPT = 10_000  # endpoints of one source
RUNS_KEPT = 200  # of one source
MOST_TOLD = 50  # lines of one run


@dataclass(frozen=True, slots=True)
class Look:
    """`answer`: None with a reason in `error`."""

    source: DiscoverySource
    answer: Answer | None
    error: str = ""


def due(sources: QuerySet[DiscoverySource], now: datetime) -> list[DiscoverySource]:
    """Those whose interval is over since they were last asked."""
    latest = DiscoveryRun.objects.filter(source=OuterRef("pk")).order_by("-id").values("at")[:1]
    return [
        each
        for each in sources.annotate(asked_at=Subquery(latest)).order_by("name")
        if each.asked_at is None
        or has_come(each.asked_at.timestamp() + each.interval, now.timestamp(), each.interval)
    ]


def look(sources: Sequence[DiscoverySource], limits: Limits = LIMITS) -> list[Look]:
    """Ask, and read. The database is left alone."""
    answers = fetch(sources, limits)
    return [_read(source, answers[source.pk]) for source in sources]


def _read(source: DiscoverySource, said: bytes | str) -> Look:
    if isinstance(said, str):
        return Look(source, None, said)
    try:
        return Look(source, read(Format(source.format), said))
    except NotTheFormat as exc:
        return Look(source, None, str(exc))


def remember(looks: Iterable[Look], now: datetime) -> list[str]:
    """Write it down; what an operator should hear of, a line each. Within a transaction: what another process
    asked of the same sources waits, and a source that was deleted meanwhile is passed over."""
    events: list[str] = []
    looks = list(looks)
    asked = DiscoverySource.objects.filter(pk__in=[each.source.pk for each in looks]).order_by("pk")
    here = set(asked.select_for_update().values_list("pk", flat=True))
    for each in looks:
        if each.source.pk not in here:
            continue
        lines = [each.error] if each.answer is None else _hear(each.source, each.answer, now)
        told = [storable(line) for line in lines]
        _note(each, told, now)
        failed = "failed: " if each.answer is None else ""
        events.extend(f"{each.source}: {failed}{line}" for line in told)
    return events


def _hear(source: DiscoverySource, answer: Answer, now: datetime) -> Iterator[str]:
    yield from answer.remarks
    known = {each.service_uri: each for each in source.endpoints.all()}
    room = max(0, MOST_KEPT - len(known))
    fresh: list[DiscoveredEndpoint] = []
    heard: list[DiscoveredEndpoint] = []
    changed: list[DiscoveredEndpoint] = []
    for entry in answer.entries:
        endpoint = known.pop(entry.service_uri, None)
        if endpoint is not None:
            heard.append(endpoint)
            gone, differs = endpoint.hear(entry, now)
            if differs:
                changed.append(endpoint)
            if gone:
                yield f"{endpoint} no longer serves {', '.join(gone[:10])}; kept as last seen."
        elif len(fresh) < room:
            endpoint = DiscoveredEndpoint(source=source, service_uri=entry.service_uri, first_seen=now)
            endpoint.hear(entry, now)
            fresh.append(endpoint)
    DiscoveredEndpoint.objects.bulk_create(fresh, batch_size=500)
    DiscoveredEndpoint.objects.bulk_update(changed, ["said"], batch_size=200)
    for batch in _batches([each.pk for each in heard]):
        DiscoveredEndpoint.objects.filter(pk__in=batch).update(last_seen=now, listed=True)
    if left := len(answer.entries) - len(heard) - len(fresh):
        yield f"{left} new endpoints are not kept: this source has named {MOST_KEPT}; delete what is old."
    yield from _miss([each for each in known.values() if each.listed])


def _miss(gone: list[DiscoveredEndpoint]) -> Iterator[str]:
    """An answer without them: they stay as they were, and get older."""
    for each in gone:
        yield f"{each} is no longer named; last seen {each.last_seen:%Y-%m-%d %H:%M} UTC, kept."
    for batch in _batches([each.pk for each in gone]):
        DiscoveredEndpoint.objects.filter(pk__in=batch).update(listed=False)


def _batches(keys: list[int], size: int = 500) -> Iterator[list[int]]:
    """As many as any database takes in one statement."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def _note(each: Look, told: list[str], now: datetime) -> None:
    more = [f"{len(told) - MOST_TOLD} more lines."] if len(told) > MOST_TOLD else []
    DiscoveryRun.objects.create(
        source=each.source,
        at=now,
        ok=each.answer is not None,
        found=len(each.answer.entries) if each.answer else 0,
        detail="\n".join([*told[:MOST_TOLD], *more]),
    )
    oldest_kept = each.source.runs.values_list("pk", flat=True)[RUNS_KEPT - 1 : RUNS_KEPT].first()
    if oldest_kept is not None:
        each.source.runs.filter(pk__lt=oldest_kept).delete()
