"""What one worker process holds, and the background tasks that keep it in step with the database.

    refresh, twice a second   the two numbers of Revision -> a new routing table, others' health
    report, four times        our changes of health -> rows; the journal's lines -> rows, seldomer if many come
    prune, once an hour       history that is too old goes; one worker does it for all
    notice, every 5 minutes   what was changed by no tool of ours is recorded; again one for all
    beat, twice a second      kept calls: which have begun, were withdrawn, lost their worker
    sync, if it is set        the journal's file -> the disk itself

Database work runs in threads that own their connections, never on the event loop. If the database
is away, both try again; the last good table and our own scoreboard keep serving (static stability).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.db import Error as DatabaseError
from django.utils import timezone

from orchestrators import scoreboard
from orchestrators.changes import note_outside
from orchestrators.scoreboard import Marks, News, Scoreboard, moved_since
from orchestrators.sqlite import sqlite_file
from orchestrators.upstream.registry import Upstreams
from orchestrators.upstream.transport import Limits, Pool
from routing import kept, retention, succession
from routing import table as tables
from routing.allowances import Allowances, periods_since
from routing.counts import Counts
from routing.database import DatabaseThread, refuse_old_schema
from routing.journal import Journal
from routing.keeping import Keeper
from routing.lag import LoopWatch
from routing.lives import Life
from routing.models import Chore
from routing.models.client import note_use
from routing.purses import Purses
from routing.replay import ReplayMemory
from routing.service import RoutingService
from routing.table import RoutingTable

log = logging.getLogger(__name__)

REFRESH_EVERY = 0.5
REPORT_EVERY = 0.25
PRUNE_EVERY = 60.0  # look whether it is due
PRUNE_PAUSE = 0.05  # between two batches, for others who write
NOTICE_EVERY = 300.0  # writing the configuration of 6,000 offers down takes a quarter of a second of CPU
HEARD_AT_ONCE = 200  # rows, some 3 us each
HEAR_EVERY = 5.0  # read others' news even if no state changed: it keeps offers fresh
BEAT_EVERY = 1.0
COLLECT_EVERY = 1.0
TELL_USE_EVERY = 60.0  # of keys
REBUILD_EVERY = 600.0  # reputations recover with time, which moves no number
HAND_OVER_AFTER = 1.1  # seconds into a drain: calls begin for one (byocgw/protocol.py, LINGER)
HAND_OVER_EVERY = 0.05  # seconds between two attempts to take the budgets over
KEPT_EVERY = 0.5
DRAIN_WITHIN = 25.0  # seconds for what is under way when a stop begins (byocgw/gunicorn.py)
LAST_DRAIN = 5.0  # seconds a stopping worker spends on its journal; whoever comes next adopts the rest


def build_table() -> RoutingTable:
    """For a thread. A collection meanwhile would walk all that is new of it, while every call waits."""
    gc.disable()
    try:
        return tables.build(settings.WEB_CONCURRENCY)
    finally:
        gc.enable()  # not frozen: cycles that wait to be collected would stay for ever


def _notice() -> None:
    if Chore.claim("note changes from outside", timezone.now(), timedelta(seconds=NOTICE_EVERY)):
        note_outside()


class Runtime:
    """Built by `start()`, in the worker, on its event loop.

    `built_at`, `confirmed_at`: monotonic seconds when the table was built, and last found to be the latest.
    """

    running: ClassVar[Runtime | None] = None  # this process's, for the control plane to ask

    table: RoutingTable
    service: RoutingService
    journal: Journal
    allowances: Allowances
    keeper: Keeper
    loop: asyncio.AbstractEventLoop  # for threads that want something done on it
    built_at: float
    confirmed_at: float

    def __init__(self) -> None:
        self.max_body = settings.BYOCGW_MAX_BODY
        self.replay_memory = ReplayMemory(settings.BYOCGW_REPLAY_MEMORY)
        self.max_in_flight = settings.BYOCGW_MAX_IN_FLIGHT
        self.in_flight = 0  # requests of the data plane inside the door
        self.turned_away = 0  # those that found it full, since the start
        self.keys_used: dict[str, float] = {}  # digest -> wall seconds, since it was last told
        self.board = Scoreboard(random.random)
        self.started = False
        self.draining = False  # no new calls, please: those in flight are being finished
        self._draining_since: float | None = None  # monotonic seconds
        self.probed_at: float | None = None  # wall seconds of the latest probe of any offer
        self._tasks: list[asyncio.Task[None]] = []
        file = sqlite_file()
        self._refresher = DatabaseThread("table refresh", file)
        self._drainer = DatabaseThread("journal drain", file)
        # a client's question must not hold up the other two
        self.reader = DatabaseThread("job reader", file, seldom=True)
        self._keeping = DatabaseThread("kept calls", file)
        self._pruner = DatabaseThread("prune", file, seldom=True)
        self._bounds = kept.Bounds(
            settings.BYOCGW_RESULT_SECONDS, settings.BYOCGW_RESULTS_PER_CLIENT, settings.BYOCGW_RESULTS_BYTES
        )
        self._loop_watch = LoopWatch()
        self._numbers = (-1, -1)
        self._marks: Marks = {}
        self._replaced = 0  # databases ago
        self._heard_at = self._beaten_at = self._used_told_at = 0.0
        self._news: News | None = None

    async def start(self) -> None:
        """Raises when there is no database to build the first table from (a worker that takes another's place
        waits for it), or one older than the code."""
        self.loop = asyncio.get_running_loop()
        self.journal = Journal(
            settings.BYOCGW_JOURNAL_DIR, settings.BYOCGW_NODE, rows_a_second=settings.BYOCGW_JOBS_PER_SECOND
        )
        limits = Limits(idle=settings.BYOCGW_STREAM_IDLE_TIMEOUT, total=settings.BYOCGW_STREAM_TOTAL_TIMEOUT)
        self._pool = Pool(limits)
        upstreams = Upstreams(self._pool, settings.BYOCGW_SENDER_ADDRESS)
        self._purses = Purses(settings.BYOCGW_JOURNAL_DIR, settings.BYOCGW_NODE, settings.WEB_CONCURRENCY)
        self.allowances = Allowances(self._purses)
        if not self._purses.claim(periods_since(time.time())):
            self.allowances.hand_over = asyncio.create_task(self._take_over_purses())
            self._tasks.append(self.allowances.hand_over)
        self.service = RoutingService(
            upstreams,
            self.board,
            self.journal,
            self.allowances,
            Counts(settings.BYOCGW_METRICS_OFFERS),
            longest_answer=settings.BYOCGW_STREAM_TOTAL_TIMEOUT,
            expose=settings.BYOCGW_EXPOSE_ORCHESTRATOR,
            decision_sample=settings.BYOCGW_DECISION_SAMPLE,
            access_sample=settings.BYOCGW_ACCESS_LOG,
        )
        self.keeper = Keeper(
            self.service,
            self._keeping,
            Life(settings.BYOCGW_JOURNAL_DIR, settings.BYOCGW_NODE),
            self.replay_memory,
            self._bounds,
            largest=settings.BYOCGW_RESULT_MAX,
            longest=settings.BYOCGW_STREAM_TOTAL_TIMEOUT,
            busy=self._count,
        )
        await self._first_table()
        await self._hear()
        self._loop_watch.start()
        self.started = True
        Runtime.running = self
        for every, step in (
            (REFRESH_EVERY, self.refresh),
            (REPORT_EVERY, self.report),
            (COLLECT_EVERY, self.collect),
            (KEPT_EVERY, self.keeper.beat),
            (PRUNE_EVERY, self.prune),
            (NOTICE_EVERY, self.notice),
            (settings.BYOCGW_JOURNAL_FSYNC, self.sync),
        ):
            if every:
                self._tasks.append(asyncio.create_task(self._repeat(every, step)))

    async def stop(self) -> None:
        """Requests are over. What the last drain does not manage, an adopter does."""
        Runtime.running = None
        self.drain_begins()
        self._purses.give_up()
        began = self._draining_since or 0.0
        await self.keeper.stop(began + DRAIN_WITHIN - time.monotonic())
        self._loop_watch.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(LAST_DRAIN):
                await self.drain()
                await self._drainer.run(lambda: self.journal.close(drain=True))
        except TimeoutError:
            log.warning("the journal is left to the next worker: the database is slow")
            self.journal.close()
        await self._pool.aclose()
        for thread in (self._refresher, self._drainer, self._keeping, self._pruner, self.reader):
            await thread.stop()

    def drain_begins(self) -> None:
        """The server takes no new connections; it finishes what it has."""
        if self.draining:
            return
        self.draining, self._draining_since = True, time.monotonic()
        if self.started:
            self.loop.call_later(HAND_OVER_AFTER, self._purses.give_up)

    def _count(self, calls: int) -> None:
        self.in_flight += calls

    async def _take_over_purses(self) -> None:
        """In a rolling restart the worker that this one replaces has them until it has drained for a moment."""
        refused = ""
        while not self.draining:
            try:
                if self._purses.claim(periods_since(time.time())):
                    return
            except OSError as exc:
                if str(exc) != refused:
                    log.error("budgets cannot be taken over: %s; clients with one are refused", exc)
                refused = str(exc)
            await asyncio.sleep(HAND_OVER_EVERY)

    @property
    def lag(self) -> float:
        """Seconds by which the event loop was late, at worst, in the last one to two seconds."""
        return self._loop_watch.lag

    @property
    def database_away(self) -> set[str]:
        """Which of the two background steps get no answer from the database."""
        return {thread.name for thread in (self._refresher, self._drainer) if thread.failing}

    async def _repeat(self, every: float, step: Callable[[], object]) -> None:
        turn = succession.last_turn(time.monotonic(), every, settings.WEB_CONCURRENCY)
        while True:
            try:
                await step()  # type: ignore[misc]
            except Exception:  # a bug in one step must not end all later ones
                log.exception("a background step failed")
            now = time.monotonic()
            turn = succession.next_turn(turn, now, every)
            await asyncio.sleep(turn - now)

    # --- refresh ---------------------------------------------------------------------------------

    async def _first_table(self) -> None:
        while True:
            try:
                await self._refresher.insist(self._read_first_table)
                return
            except DatabaseError as exc:
                if not succession.takes_a_place:
                    raise
                log.error("the database does not answer (%s); this worker waits for it, the others serve", exc)
            await asyncio.sleep(REFRESH_EVERY)

    def _read_first_table(self) -> None:
        refuse_old_schema()
        self._numbers = tables.numbers()
        self._take(build_table())

    async def refresh(self) -> None:
        """One look at the numbers, and what follows from it."""
        numbers = await self._refresher.run(tables.numbers)
        if numbers is None:
            return
        goes_back = any(now < before for now, before in zip(numbers, self._numbers, strict=True))
        if goes_back or self._refresher.replaced != self._replaced:
            # another file; a backup restored in place; a standby that had not heard of the latest
            self._replaced, self._numbers = self._refresher.replaced, (-1, -1)
            self.board.forget_epochs()
            self._marks = {}
        stale = time.monotonic() - self.built_at > REBUILD_EVERY or time.time() >= self.table.until
        stale = stale or numbers[0] != self._numbers[0]
        if stale:
            built = await self._refresher.run(build_table)
            if built is None:
                return
            self._take(built)
        silent = time.monotonic() - self._heard_at > HEAR_EVERY
        # a new table may have offers of which nothing was heard yet
        if (stale or silent or numbers[1] != self._numbers[1]) and not await self._hear():
            return
        self._numbers, self.confirmed_at = numbers, time.monotonic()

    def _take(self, table: RoutingTable) -> None:
        self.table = table
        self.built_at = self.confirmed_at = time.monotonic()
        self.board.know(table.homes)

    async def _hear(self) -> bool:
        """Take over what others saw: rows that moved since the last time, a few at once, since calls wait."""
        heard = await self._refresher.run(lambda: moved_since(self._marks, self.board.homes))
        if heard is None:
            return False
        rows, self._marks, self.probed_at = heard
        self._heard_at = time.monotonic()
        for at in range(0, len(rows), HEARD_AT_ONCE):
            self.board.adopt(rows[at : at + HEARD_AT_ONCE])
            await asyncio.sleep(0)
        return True

    # --- report ----------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Journal and news, until nothing is left or the database fails. No news waits for a long journal."""
        while await self._drainer.run(self.journal.drain):
            await self._tell()
        await self._tell()

    async def report(self) -> None:
        """News at once, the journal in batches that are worth it."""
        await (self.drain() if self.journal.due else self._tell())

    async def _tell(self) -> None:
        await self._publish()
        if time.monotonic() - self._beaten_at > BEAT_EVERY:
            self._beaten_at = time.monotonic()
            busy = self.board.busy_offers()
            if busy:
                await self._drainer.run(lambda: scoreboard.beat(busy, time.time()))
        if time.monotonic() - self._used_told_at > TELL_USE_EVERY and self.keys_used:
            self._used_told_at = time.monotonic()
            used, self.keys_used = self.keys_used, {}
            await self._drainer.run(lambda: note_use(used))

    async def prune(self) -> None:
        """Take away history that is too old, if that is up to us."""
        if await self._pruner.run(lambda: retention.is_due(timezone.now())):
            while await self._pruner.run(lambda: retention.prune(settings.BYOCGW_KEEP_DAYS, timezone.now())):
                await asyncio.sleep(PRUNE_PAUSE)
        if await self._pruner.run(lambda: kept.is_due(timezone.now())):
            while await self._pruner.run(lambda: kept.sweep(self._bounds, timezone.now())):
                await asyncio.sleep(PRUNE_PAUSE)

    async def notice(self) -> None:
        """Changes that were made by no tool of ours."""
        await self._pruner.run(_notice)

    async def collect(self) -> None:
        """What is young and unreachable. A call that ends well leaves no cycle, so the collector's own count is
        set high; but a connection that broke off is one, and holds what its client sent."""
        gc.collect(1)

    async def sync(self) -> None:
        await asyncio.to_thread(self.journal.sync)

    async def _publish(self) -> None:
        self._news = news = self._news or self.board.collect()
        if news is None:
            return
        written = await self._drainer.run(lambda: scoreboard.write(news, time.time()))
        if written is not None:
            self._news = None
            self.board.settle(news, written)
