"""The table of kept calls, one step a function. For a thread; each raises django.db.Error when it is away.

claim -> begun -> end                 by the worker that runs it
      -> release                      nothing was run: the key is free again
cancel -> cancelled_of                by whichever worker is asked, and the one that runs it
bury, sweep                           dead workers' calls, expired ones, and what is over the bounds
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q, Sum, Window
from django.db.models.functions import RowNumber

from routing.core.kept import INTERRUPTED, UNDER_WAY, State
from routing.models import Chore, KeptCall

BATCH = 500  # rows a transaction
EVERY = timedelta(minutes=1)
_OUTCOME = ("state", "code", "status", "headers", "body", "size", "expires")


@dataclass(frozen=True, slots=True)
class Bounds:
    """`seconds` that an outcome is kept; a client's `number` and `size` (bytes) of answers, the latest stay."""

    seconds: float
    number: int
    size: int

    @property
    def time(self) -> timedelta:
        return timedelta(seconds=self.seconds)


def claim(wanted: KeptCall, now: datetime) -> KeptCall | None:
    """None: it is ours, and durable. Else the call that has its key."""
    if wanted.key is not None:
        taken = KeptCall.objects.filter(client=wanted.client, key=wanted.key).first()
        if taken is not None:
            if taken.state in UNDER_WAY or taken.expires > now:
                return taken
            taken.delete()
    try:
        with transaction.atomic():
            wanted.save(force_insert=True)
    except IntegrityError:  # between the two somebody else was faster
        faster = KeptCall.objects.filter(client=wanted.client, key=wanted.key).first()
        if faster is None:  # and has given up already
            raise
        return faster
    return None


def find(request_id: str) -> KeptCall | None:
    return KeptCall.objects.filter(pk=request_id).first()


def begun(request_ids: Collection[str]) -> bool:
    KeptCall.objects.filter(pk__in=request_ids, state=State.QUEUED).update(state=State.RUNNING)
    return True


def end(call: KeptCall) -> bool:
    """Its outcome, as it stands in `call`: also of one that others have taken for dead meanwhile."""
    KeptCall.objects.filter(pk=call.pk).update(**{name: getattr(call, name) for name in _OUTCOME})
    return True


def release(request_ids: Collection[str]) -> bool:
    KeptCall.objects.filter(pk__in=request_ids).delete()
    return True


def cancel(request_id: str) -> None:
    KeptCall.objects.filter(pk=request_id, state__in=UNDER_WAY).update(cancel=True)


def cancelled_of(worker: str) -> list[str]:
    """The calls under way there that their clients have withdrawn."""
    rows = KeptCall.objects.filter(worker=worker, state__in=UNDER_WAY, cancel=True)
    return list(rows.values_list("pk", flat=True))


def bury(is_over: Callable[[str], bool], now: datetime, kept_for: timedelta) -> int:
    """End the calls of dead workers, and those that nobody can be running any more. How many there were."""
    under_way = KeptCall.objects.filter(state__in=UNDER_WAY)
    workers = under_way.values_list("worker", flat=True).distinct()
    dead = [each for each in workers if is_over(each)]
    lost = under_way.filter(Q(worker__in=dead) | Q(until__lt=now))
    return lost.update(state=State.FAILED, code=INTERRUPTED, expires=now + kept_for)


def sweep(bounds: Bounds, now: datetime) -> bool:
    """One batch of what has expired, or of answers over the bounds. False: nothing is left to do."""
    over = KeptCall.objects.filter(expires__lte=now).exclude(state__in=UNDER_WAY)
    batch = list(over.values_list("pk", flat=True)[:BATCH])
    if batch:
        KeptCall.objects.filter(pk__in=batch).delete()
        return True
    return _drop_answers(bounds) > 0


def is_due(now: datetime) -> bool:
    """Whether it is up to us, of all processes, to sweep this minute."""
    return Chore.claim("sweep kept calls", now, EVERY)


def _drop_answers(bounds: Bounds) -> int:
    """Each client's oldest answers make room for its latest. The claim stays: nothing is run twice."""
    latest_first = (F("at").desc(), F("pk").desc())
    numbered = KeptCall.objects.filter(size__gt=0).annotate(
        number=Window(RowNumber(), partition_by=F("client"), order_by=latest_first),
        total=Window(Sum("size"), partition_by=F("client"), order_by=latest_first),
    )
    over = numbered.filter(Q(number__gt=bounds.number) | Q(total__gt=bounds.size))
    batch = list(over.values_list("pk", flat=True)[:BATCH])
    return KeptCall.objects.filter(pk__in=batch).update(body=None, size=0)
