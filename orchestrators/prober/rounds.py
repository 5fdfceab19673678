"""Who is probed next, and until when.

A seat is taken before an offer is claimed, and an origin has four: an orchestrator that hangs holds
those and no more, and nobody waits for it but its own offers.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings as django_settings
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, close_old_connections, transaction
from django.db.models import QuerySet

from orchestrators.core.signature import Signature
from orchestrators.models import FailureSignature, Offer
from orchestrators.prober.assignment import assign, load
from orchestrators.prober.contact import Finding
from orchestrators.prober.judgement import Report, judge
from orchestrators.prober.leases import POISONED_FOR, claim_all, due, give_back, make_rows, moment
from orchestrators.prober.network import Failure, Network
from orchestrators.prober.record import record, writing
from orchestrators.prober.seats import Seats

log = logging.getLogger(__name__)

BATCH = 100
BATCH_WAIT = 0.25
# How long those under way may go on once a run is to end.
GRACE = 3.0
# `watch` looks once a second, and takes at most so many; the others are due a second later, too.
LOOK_EVERY = 1.0
MOST_DUE = 2000


@dataclass(frozen=True, slots=True)
class Settings:
    """`interval`: seconds between two probes of an offer that is well. `concurrency`: probes at once.
    `clock`: wall seconds. `draw`: numbers in [0, 1).
    """

    interval: float = 30.0
    concurrency: int = 64
    clock: Callable[[], float] = time.time
    draw: Callable[[], float] = random.random


@dataclass(slots=True)
class Summary:
    """`left`: rows that another prober holds. `poisoned`: put off for an hour; the log says why.
    `unfinished`: neither begun nor ended when the run was stopped.
    """

    probed: int = 0
    left: int = 0
    poisoned: int = 0
    unfinished: int = 0


class Prober:
    """`work` is one step: tests call it, loops repeat it. It never raises for the sake of one row."""

    def __init__(self, network: Network, settings: Settings) -> None:
        self.summary = Summary()
        self.seats = Seats(settings.concurrency)
        self._network = network
        self._settings = settings
        # kept between steps, because a database that goes away interrupts one anywhere
        self._seated: deque[int] = deque()
        self._found: deque[Finding | Failure] = deque()
        self._leases: dict[int, datetime] = {}
        self._under_way: set[int] = set()

    def __repr__(self) -> str:
        return f"<Prober {self.seats}, {self.summary}>"

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    def add(self, offers: QuerySet[Offer]) -> None:
        self.seats.add(offers.values_list("pk", "orchestrator__service_uri"))

    def work(self, *, wait: float = BATCH_WAIT) -> list[Report]:
        """Start those whom there is a seat for, and write down what has come.

        Raises OperationalError or InterfaceError when the database is away.
        """
        self._seated.extend(self.seats.take())
        if self._seated:
            self._claim()
        offers = self._loaded([offer_id for offer_id in self._leases if offer_id not in self._under_way])
        signatures = FailureSignature.objects.in_force() if offers else ()
        for offer in offers:
            self._begin(offer, signatures)
        return self.collect(wait=wait if self._under_way else 0)

    def collect(self, *, wait: float) -> list[Report]:
        """Write down what has come, in one transaction; waits up to `wait` seconds for the first."""
        self._found.extend(self._network.results(BATCH, wait))
        if not self._found:
            return []
        try:
            with writing():
                settled = [(found, self._settle(found)) for found in self._found]
        except DatabaseError:
            for found in self._found:
                self._leave(found.assignment.offer_id)  # their leases run out by themselves
            raise
        finally:
            self._found.clear()
        return [report for found, came in settled if (report := self._account(found, came)) is not None]

    def close(self) -> None:
        """Give back what is under way: it is due as it was before."""
        self.summary.unfinished = len(self.seats)
        for offer_id, lease in self._leases.items():
            give_back(offer_id, lease, self._now())

    def _now(self) -> datetime:
        return moment(self._settings.clock())

    def _claim(self) -> None:
        lease, ours = claim_all(self._seated, self._now())
        for offer_id in self._seated:
            if offer_id in ours:
                self._leases[offer_id] = lease
            else:
                self.summary.left += 1
                self.seats.leave(offer_id)
        self._seated.clear()

    def _loaded(self, offer_ids: list[int]) -> list[Offer]:
        """A batch that cannot be read is halved until the spoilt row stands alone."""
        if not offer_ids:
            return []
        try:
            offers = load(offer_ids)
        except ValueError as error:
            if len(offer_ids) == 1:
                self._put_off(offer_ids[0])
                self._poisoned(offer_ids[0], error)
                return []
            middle = len(offer_ids) // 2
            return self._loaded(offer_ids[:middle]) + self._loaded(offer_ids[middle:])
        for gone in set(offer_ids) - {offer.pk for offer in offers}:
            self._leave(gone)
        return offers

    def _begin(self, offer: Offer, signatures: tuple[Signature, ...]) -> None:
        now, lease = self._settings.clock(), self._leases[offer.pk]
        try:
            assignment = assign(offer, lease, signatures=signatures, now=now, interval=self._settings.interval)
        except Exception as error:  # noqa: BLE001  (whatever a spoilt row may raise)
            self._put_off(offer.pk)
            self._poisoned(offer.pk, error)
            return
        self._under_way.add(offer.pk)
        self._network.start(assignment)

    def _settle(self, found: Finding | Failure) -> Report | Exception | None:
        """What `record` says, or the error of a row that is put off, and must not stop the others."""
        offer_id = found.assignment.offer_id
        if isinstance(found, Failure):
            self._put_off(offer_id)
            return found.error
        try:
            with transaction.atomic():
                return record(judge(found, interval=self._settings.interval, draw=self._settings.draw))
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001  (whatever a spoilt row may raise)
            self._put_off(offer_id)
            return error

    def _account(self, found: Finding | Failure, came: Report | Exception | None) -> Report | None:
        offer_id = found.assignment.offer_id
        if isinstance(came, Exception):
            self._poisoned(offer_id, came)
            return None
        self._leave(offer_id)
        if came is None:
            self.summary.left += 1
        else:
            self.summary.probed += 1
        return came

    def _put_off(self, offer_id: int) -> None:
        """A poisoned row goes an hour into the future before it is reported, or it would spoil every run."""
        give_back(offer_id, self._leases[offer_id], self._now() + POISONED_FOR)

    def _poisoned(self, offer_id: int, error: Exception) -> None:
        """Memory alone: a database that goes away leaves nobody seated."""
        self._leave(offer_id)
        self.summary.poisoned += 1
        log.error("Offer %s could not be probed; put off for an hour.", offer_id, exc_info=error)

    def _leave(self, offer_id: int) -> None:
        del self._leases[offer_id]
        self._under_way.discard(offer_id)
        self.seats.leave(offer_id)


def run(
    offers: QuerySet[Offer],
    settings: Settings,
    *,
    stop: threading.Event | None = None,
    on_report: Callable[[Report], None] = lambda report: None,
) -> Summary:
    """Probe each of these offers now, due or not. `stop` ends it early, within seconds."""
    stop = stop or threading.Event()
    with Network(django_settings.BYOCGW_SENDER_ADDRESS, clock=settings.clock) as network:
        prober = Prober(network, settings)
        make_rows(offers)
        prober.add(offers)
        while len(prober.seats) and not stop.is_set():
            for report in prober.work():
                on_report(report)
        _wind_up(prober, on_report)
    return prober.summary


def watch(
    offers: QuerySet[Offer],
    settings: Settings,
    *,
    stop: threading.Event,
    on_report: Callable[[Report], None] = lambda report: None,
) -> Summary:
    """Probe what is due among these offers, until `stop`. A database that fails is asked again."""
    with Network(django_settings.BYOCGW_SENDER_ADDRESS, clock=settings.clock) as network:
        prober = Prober(network, settings)
        while not stop.is_set():
            try:
                close_old_connections()
                _pass(prober, offers, settings, stop, on_report)
            except DatabaseError as error:  # or refuses: an offer may be deleted at any moment
                log.warning("The database is away, trying again: %s", error)
                stop.wait(LOOK_EVERY)
        _wind_up(prober, on_report)
    return prober.summary


def _pass(
    prober: Prober,
    offers: QuerySet[Offer],
    settings: Settings,
    stop: threading.Event,
    on_report: Callable[[Report], None],
) -> None:
    """One second: what is due joins those who wait, and work goes on."""
    make_rows(offers)
    prober.add(due(offers, moment(settings.clock())).order_by("health__next_probe_at")[:MOST_DUE])
    until = time.monotonic() + LOOK_EVERY
    while not stop.is_set() and (left := until - time.monotonic()) > 0:
        if not len(prober.seats):
            stop.wait(left)
        for report in prober.work(wait=min(left, BATCH_WAIT)):
            on_report(report)


def _wind_up(prober: Prober, on_report: Callable[[Report], None]) -> None:
    until = time.monotonic() + GRACE
    while prober.under_way and time.monotonic() < until:
        for report in prober.collect(wait=BATCH_WAIT):
            on_report(report)
    prober.close()
