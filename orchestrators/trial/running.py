"""Which offers are tried, when, and how many at a time.

One offer of an orchestrator at a time, or its trials would measure each other; several orchestrators at
once. A trial holds the prober's lease on its row: what a prober holds is tried a little later.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings as django_settings
from django.db import InterfaceError, OperationalError, close_old_connections, connections
from django.db.models import Q, QuerySet

from orchestrators.core.price import Price
from orchestrators.core.scorecard import Scorecard
from orchestrators.core.signature import Signature
from orchestrators.models import FailureSignature, Mode, Offer, Trial
from orchestrators.models.orchestrator import ProtocolChoice
from orchestrators.prober.assignment import Assignment, Sample, assign, load, sample_of
from orchestrators.prober.leases import claim, give_back, make_rows, moment
from orchestrators.trial.consequences import (
    INTERVAL,
    Ceilings,
    advance,
    affordable,
    ceilings_of,
    evidence,
    store,
    store_unrunnable,
)
from orchestrators.trial.course import LONGEST, Course, Way, go
from orchestrators.upstream.registry import Upstreams
from orchestrators.upstream.transport import Pool

log = logging.getLogger(__name__)

ORCHESTRATORS_AT_ONCE = 8
# Of new offers, in one run of the prober; the others in its next.
MOST_NEW = 16
# `watch` looks so often, in seconds.
LOOK_EVERY = 5.0
# A row that a prober holds is asked for again, for so many seconds.
LEASE_WAIT = 5.0
_LEASE_AGAIN = 0.2
_STOP_AGAIN = 0.1


@dataclass(frozen=True, slots=True)
class Order:
    """`who`, `why`, `via`: of the change of mode that a pass brings. `ceilings`: what clients may pay.
    `within`: seconds after which no further trial is begun. `clock`: wall seconds.
    """

    who: str
    why: str = "passed its trial"
    via: str = "command"
    ceilings: Ceilings = ceilings_of
    within: float = float("inf")
    clock: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class Result:
    """One trial as the operator sees it. `activated`: its mode, or its orchestrator's, changed."""

    offer: Offer
    trial: Trial
    card: Scorecard
    activated: bool

    @property
    def told(self) -> str:
        """In one line: the verdict, what was wrong, and whether it is active now."""
        wrong = [f"{each.name}: {each.sentence}" for each in self.card.wrong]
        return " ".join([f"{self.card.verdict}.", *wrong, *(["It is active now."] if self.activated else [])])

    @property
    def document(self) -> dict[str, Any]:
        """For programs."""
        trial = self.trial
        return {
            "orchestrator": self.offer.orchestrator.name,
            "capability": self.offer.capability.slug,
            "verdict": self.card.verdict.value,
            "points": trial.points,
            "cold_ms": trial.cold_ms,
            "warm_ms": trial.warm_ms,
            "warm_p95_ms": trial.warm_p95_ms,
            "calls": trial.calls,
            "activated": self.activated,
        }


@dataclass(slots=True)
class Summary:
    """`left`: a prober held the row. `unfinished`: not begun or not ended when it was stopped, or the offer was
    deleted."""

    tried: int = 0
    left: int = 0
    unfinished: int = 0


def untried(offers: QuerySet[Offer]) -> QuerySet[Offer]:
    """Of these, the new ones that wait for their first trial: on trial, claimed, with a sample request."""
    awake = (Mode.ACTIVE, Mode.TRIAL)
    on_trial = Q(mode=Mode.TRIAL) | Q(orchestrator__mode=Mode.TRIAL)
    served = Q(advert__claimed=True) | Q(
        orchestrator__protocol=ProtocolChoice.DIRECT, health__probed_at__isnull=False
    )
    return offers.filter(
        on_trial & served,
        mode__in=awake,
        orchestrator__mode__in=awake,
        capability__sample_request__isnull=False,
        trials=None,
    )


def run(
    offers: QuerySet[Offer],
    order: Order,
    *,
    stop: threading.Event | None = None,
    on_result: Callable[[Result], None] = lambda result: None,
    tell: Callable[[str], None] = lambda text: None,
) -> Summary:
    """Try each of these offers now. `stop` ends it early, within a second; `tell` hears of the progress.

    Offers of capabilities without a sample request are passed over. Not for a thread with a running event
    loop. Raises OperationalError or InterfaceError when the database is away.
    """
    stop, summary, until = stop or threading.Event(), Summary(), time.monotonic() + order.within
    make_rows(offers)
    triable = offers.filter(capability__sample_request__isnull=False)
    waiting = list(triable.values_list("pk", "orchestrator_id"))
    while waiting and not stop.is_set() and time.monotonic() < until:
        first_of_each = {home: offer_id for offer_id, home in reversed(waiting)}
        chosen = set(list(first_of_each.values())[:ORCHESTRATORS_AT_ONCE])
        waiting = [each for each in waiting if each[0] not in chosen]
        for result in _try(chosen, order, stop, tell, summary):
            on_result(result)
    summary.unfinished += len(waiting)
    return summary


def watch(
    offers: QuerySet[Offer],
    order: Order,
    *,
    stop: threading.Event,
    on_result: Callable[[Result], None] = lambda result: None,
) -> None:
    """Try what is new among these offers, until `stop`: for a thread beside `prober.watch`."""
    try:
        while not stop.is_set():
            try:
                close_old_connections()
                fresh = list(untried(offers).values_list("pk", flat=True)[:MOST_NEW])
                run(Offer.objects.filter(pk__in=fresh), order, stop=stop, on_result=on_result)
            except (OperationalError, InterfaceError) as error:
                log.warning("The database is away, trying again: %s", error)
            except Exception:
                log.exception("A trial went wrong; the next are run all the same.")
            stop.wait(LOOK_EVERY)
    finally:
        connections.close_all()


@dataclass(frozen=True, slots=True)
class _Entrant:
    """An offer about to be tried, as plain values beside its rows. `lease`: ours."""

    offer: Offer
    lease: datetime
    assignment: Assignment
    sample: Sample
    ceilings: tuple[Price | None, ...]


def _try(
    offer_ids: set[int], order: Order, stop: threading.Event, tell: Callable[[str], None], summary: Summary
) -> Iterator[Result]:
    """Offers of different orchestrators, all at once; the database before and after, never meanwhile."""
    leases = _claim(offer_ids, order, stop)
    summary.left += len(offer_ids) - len(leases)
    signatures = FailureSignature.objects.in_force()
    entrants = []
    for offer in load(leases):
        entrant = _prepare(offer, leases[offer.pk], signatures, order)
        if isinstance(entrant, ValueError):
            summary.tried += 1
            yield _unrunnable(offer, leases[offer.pk], entrant, order)
        else:
            entrants.append(entrant)
    courses = asyncio.run(_courses(entrants, order, stop, tell))
    here = set(Offer.objects.filter(pk__in=leases).values_list("pk", flat=True))
    for entrant, came in zip(entrants, courses, strict=True):
        if came is None or entrant.offer.pk not in here:
            summary.unfinished += 1
            give_back(entrant.offer.pk, entrant.lease, moment(order.clock()))
            continue
        summary.tried += 1
        if isinstance(came, Exception):
            log.error("Offer %s could not be tried.", entrant.offer.pk, exc_info=came)
            yield _unrunnable(entrant.offer, entrant.lease, came, order)
        else:
            yield _settle(entrant, came, order)


def _claim(offer_ids: set[int], order: Order, stop: threading.Event) -> dict[int, datetime]:
    """The leases we got."""
    until, leases = time.monotonic() + LEASE_WAIT, dict[int, datetime]()
    while True:
        for offer_id in offer_ids - set(leases):
            lease = claim(offer_id, moment(order.clock()))
            if lease is not None:
                leases[offer_id] = lease
        if len(leases) == len(offer_ids) or time.monotonic() >= until or stop.wait(_LEASE_AGAIN):
            return leases


def _prepare(
    offer: Offer, lease: datetime, signatures: tuple[Signature, ...], order: Order
) -> _Entrant | ValueError:
    """What people wrote may be no contract, or no sample request: the error is the result."""
    try:
        assignment = assign(offer, lease, signatures=signatures, now=order.clock(), interval=INTERVAL)
        sample = sample_of(offer.capability)
    except ValueError as error:
        return error
    return _Entrant(offer, lease, assignment, sample, order.ceilings(offer.capability_id))


async def _courses(
    entrants: Sequence[_Entrant], order: Order, stop: threading.Event, tell: Callable[[str], None]
) -> list[Course | Exception | None]:
    """What came of each; None for those who were stopped."""
    pool = Pool()
    upstreams = Upstreams(pool, django_settings.BYOCGW_SENDER_ADDRESS)
    try:
        tasks = [asyncio.create_task(_course(each, upstreams, order, tell)) for each in entrants]
        under_way: set[asyncio.Task[Course]] = set(tasks)
        while under_way:
            _, under_way = await asyncio.wait(under_way, timeout=_STOP_AGAIN)
            if stop.is_set():
                break
        for task in under_way:
            task.cancel()
        came = await asyncio.gather(*tasks, return_exceptions=True)
        return [each if isinstance(each, Course | Exception) else None for each in came]
    finally:
        await pool.aclose()


async def _course(entrant: _Entrant, upstreams: Upstreams, order: Order, tell: Callable[[str], None]) -> Course:
    offer, assignment = entrant.offer, entrant.assignment
    way = Way(
        upstream=upstreams[assignment.target.protocol],
        may_call=lambda sighting: affordable(assignment, sighting, entrant.ceilings),
        at_once=offer.max_in_flight or offer.capability.effective("max_in_flight"),
        tell=lambda text: tell(f"{offer}: {text}"),
        until=time.monotonic() + LONGEST,
    )
    return await go(assignment, entrant.sample, way, clock=order.clock)


def _settle(entrant: _Entrant, course: Course, order: Order) -> Result:
    profile = entrant.offer.capability.profile
    seen = evidence(
        course,
        target=profile.latency_target_ms / 1000,
        ceilings=entrant.ceilings,
        suggestion=str(profile.suggested_ceiling),
    )
    trial, card = store(course, seen, who=order.who)
    activated = trial.passed and advance(entrant.offer, who=order.who, why=order.why, via=order.via)
    return Result(entrant.offer, trial, card, activated)


def _unrunnable(offer: Offer, lease: datetime, error: Exception, order: Order) -> Result:
    give_back(offer.pk, lease, moment(order.clock() + INTERVAL))
    trial, card = store_unrunnable(offer, error, who=order.who, now=order.clock())
    return Result(offer, trial, card, False)
