"""Keeper: runs the calls whose outcome their client asked to keep, beside the requests that asked for them.

    claimed   one durable row, before the first byte goes upstream
    run       by a task of its own, which a client that hangs up does not end: it may come back and ask
    ended     the outcome is in the row; then the last of the answer goes to whoever waits for it

A worker that stops lets them finish while it drains; what is left then fails as interrupted, as do the calls of
a worker that was killed, once another one notices.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial

from orchestrators.core.clocks import SKEW
from routing import kept
from routing.collecting import Collected, TooLarge
from routing.core.kept import INTERRUPTED, TOO_LARGE, UNDER_WAY, State, is_worth_keeping, on_result, state_after
from routing.core.refusal import STATUS, Code, Refusal, problem, refusal_of
from routing.database import DatabaseThread
from routing.delivery import BrokenOff, Delivery
from routing.kept import Bounds
from routing.lives import Life
from routing.models import KeptCall
from routing.replay import ReplayMemory
from routing.service import RoutingService
from routing.trip import InferenceCall

log = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds for the database to take a claim
STORED_WITHIN = 2.0  # seconds for which the last of an answer waits for its row
STORE_AGAIN = 1.0
BURY_EVERY = 2.0
MOST_DOUBTFUL = 1000  # claims; of those that a database refuses one after the other the first may be in it
LAST = 1.0  # seconds for the rows of calls that a stop has interrupted
REPLAY_PATIENCE = 60.0  # with a client that takes a stored answer

AWAY = Refusal(
    Code.BOOKS_CLOSED,
    "The call was to be kept (Idempotency-Key, or Prefer: respond-async), and the database does not take it. "
    "Nothing was run. Calls that are not to be kept are served meanwhile.",
    retry_after=2.0,
)
BROKEN = Refusal(Code.EXHAUSTED, "The orchestrator broke off in the middle of its answer.")
FAILED = Refusal(Code.INTERNAL, "The gateway failed; the request id finds the reason in its log.")


class Run:
    """One kept call under way here. `opened`: there is an answer to read, or none; `ended`: the row has it."""

    def __init__(self, row: KeptCall, call: InferenceCall) -> None:
        self.row = row
        self.call = call
        self.answer: Collected | None = None
        self.refusal: Refusal | None = None
        self.accepted = False  # the client was told 202
        self.is_read = not row.asynchronous  # a client waits to read along
        self.left = False  # no request waits for it
        self.begun = False  # the row says that it runs
        self.code_if_cancelled = "cancelled"
        self.opened = asyncio.Event()
        self.ended = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Run {self.row}>"

    @property
    def state(self) -> State:
        began = self.row.state == State.QUEUED and self.call.body.wanted
        return State.RUNNING if began else State(self.row.state)

    def cancel(self, code: str = "cancelled") -> None:
        if self.row.state in UNDER_WAY and self.task is not None:
            self.code_if_cancelled = code
            self.task.cancel()

    def end(self) -> None:
        if self.answer is not None:
            self.answer.end(broken=self.row.state != State.DONE)
        self.opened.set()
        self.ended.set()

    def delivery(self) -> Delivery | Refusal:
        """What the client gets that waits. Once it is opened."""
        if self.refusal is not None:
            return self.refusal
        if self.answer is None or (self.ended.is_set() and self.row.state != State.DONE):
            return outcome_of(self.row)
        return self.answer.delivery(self.call.lane.policy.attempt_timeout)


class Keeper:
    """`largest`: bytes of an answer that is kept. `busy(+1 or -1)`: a call runs that no request waits for.

    `longest`: seconds that an answer may take once it has begun.
    """

    def __init__(
        self,
        service: RoutingService,
        thread: DatabaseThread,
        life: Life,
        memory: ReplayMemory,
        bounds: Bounds,
        *,
        largest: int,
        longest: float,
        busy: Callable[[int], None],
    ) -> None:
        self.runs: dict[str, Run] = {}
        self._service, self._thread, self._life, self._memory = service, thread, life, memory
        self._bounds, self._largest, self._longest, self._busy = bounds, largest, longest, busy
        self._buried_at = 0.0
        self._doubtful: set[str] = set()  # request ids

    def __repr__(self) -> str:
        return f"<Keeper {len(self.runs)} under way>"

    # --- a call, from its claim to its row -------------------------------------------------------

    async def begin(
        self, call: InferenceCall, *, key: str | None, fingerprint: str, asynchronous: bool
    ) -> Run | KeptCall | Refusal:
        """The call under way; or the one that has its key already; or why it cannot be kept."""
        now, policy = datetime.now(UTC), call.lane.policy
        seconds = policy.retry_timeout + policy.attempt_timeout + policy.cold_grace + self._longest + SKEW
        row = KeptCall(
            request_id=call.request_id,
            client=call.client.name,
            key=key,
            fingerprint=fingerprint,
            capability=policy.slug,
            asynchronous=asynchronous,
            at=now,
            worker=self._life.name,
            until=now + timedelta(seconds=seconds),
            expires=now + self._bounds.time,
            state=State.QUEUED,
        )
        claimed = await self._claim(row, now)
        if claimed is not row:
            return claimed
        run = self.runs[row.request_id] = Run(row, call)
        run.task = asyncio.create_task(self._run(run))
        return run

    async def _claim(self, row: KeptCall, now: datetime) -> KeptCall | Refusal:
        """`row` itself when it is ours. One that came too late for its client, or that the database may have
        taken although it broke off, is given back by the next `beat`."""
        claimed = None
        try:
            async with asyncio.timeout(PATIENCE):
                claimed = await self._thread.run(lambda: kept.claim(row, now) or row)
        except TimeoutError:
            pass
        finally:
            if claimed is None and len(self._doubtful) < MOST_DOUBTFUL:
                self._doubtful.add(row.pk)
        return claimed or AWAY

    async def _give_back(self) -> None:
        """What may have been claimed, and was not run."""
        doubtful = self._doubtful.copy()
        if not doubtful:
            return
        if await self._thread.run(lambda: kept.release(doubtful)):
            self._doubtful -= doubtful

    async def _run(self, run: Run) -> None:
        try:
            result = await self._service.infer(run.call)
            if isinstance(result, Refusal):
                self._refused(run, result)
            else:
                await self._collect(run, result)
        except asyncio.CancelledError:
            run.row.code = run.code_if_cancelled
            run.row.state = State.CANCELLED if run.row.code == "cancelled" else State.FAILED
        except Exception:
            log.exception("a kept call failed, request %s", run.row.pk)
            self._refused(run, FAILED)
        await self._settle(run)

    async def _collect(self, run: Run, delivery: Delivery) -> None:
        run.answer = answer = Collected.of(
            delivery,
            limit=self._largest,
            memory=self._memory,
            is_read=run.is_read,
            left=partial(self.leave, run),
        )
        if delivery.whole is None:
            run.opened.set()
        too_large = False
        try:
            async with aclosing(delivery.chunks()) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    await answer.add(piece)
        except BrokenOff:
            pass
        except TooLarge:
            too_large = True
        record = self._service.journal.recall(run.row.pk)
        code = TOO_LARGE if too_large else record.code if record is not None else "ok"
        if code == "broken":
            self._refused(run, BROKEN, code)
        else:
            row = run.row
            row.state, row.code, row.status = state_after(code), code, answer.status
            row.headers, row.body = dict(answer.headers), answer.body
            row.size = len(row.body or b"")

    def _refused(self, run: Run, refusal: Refusal, code: str = "") -> None:
        row, run.refusal = run.row, refusal
        row.state, row.code, row.status = State.FAILED, code or refusal.code.value, STATUS[refusal.code]
        row.headers = {
            "content-type": "application/problem+json",
            "x-byocgw-attempts": str(len(refusal.attempts)),
        }
        row.body = json.dumps(problem(refusal, row.pk)).encode()
        row.size = len(row.body)

    async def _settle(self, run: Run) -> None:
        """Tell the row, then whoever waits; a database that is away is told later."""
        storing = asyncio.create_task(self._store(run))
        try:
            await asyncio.wait({storing}, timeout=STORED_WITHIN)
            run.end()
            await storing
        finally:
            storing.cancel()
            run.end()
            if run.answer is not None:
                run.answer.let_go()
            del self.runs[run.row.pk]

    async def _store(self, run: Run) -> None:
        row, refusal = run.row, run.refusal
        row.expires = datetime.now(UTC) + self._bounds.time
        released = refusal is not None and not (run.answer or is_worth_keeping(refusal, accepted=run.accepted))

        def work() -> bool:
            return kept.release([row.pk]) if released else kept.end(row)

        while not await self._thread.run(work):
            await asyncio.sleep(STORE_AGAIN)

    def leave(self, run: Run) -> None:
        """No request waits for it any more: it counts for itself until it ends."""
        run.is_read = False
        if run.answer is not None:
            run.answer.leave()
        if run.task is not None and not run.task.done() and not run.left:
            run.left = True
            self._busy(+1)
            run.task.add_done_callback(lambda _: self._busy(-1))

    # --- in the background -----------------------------------------------------------------------

    async def beat(self) -> None:
        """Twice a second: what was not claimed, has begun, was withdrawn elsewhere; now and then, who died."""
        await self._give_back()
        begun = [run for run in self.runs.values() if run.state is State.RUNNING and not run.begun]
        if begun:
            told = await self._thread.run(lambda: kept.begun([run.row.pk for run in begun]))
            for run in begun:
                run.begun = told is True
        if self.runs:
            for request_id in await self._thread.run(lambda: kept.cancelled_of(self._life.name)) or ():
                if request_id in self.runs:
                    self.runs[request_id].cancel()
        if time.monotonic() - self._buried_at > BURY_EVERY:
            self._buried_at = time.monotonic()
            await self._thread.run(self._bury)

    def _bury(self) -> None:
        buried = kept.bury(self._life.is_over, datetime.now(UTC), self._bounds.time)
        if buried:
            log.warning("%d kept calls of dead workers have failed as interrupted", buried)
        self._life.sweep()

    async def stop(self, within: float) -> None:
        """Let them finish for so many seconds, then interrupt them."""
        await _over(self.runs, within)
        for run in self.runs.values():
            run.cancel(INTERRUPTED)
        await _over(self.runs, LAST)
        for run in list(self.runs.values()):
            if run.task is not None:
                run.task.cancel()
        await _over(self.runs, LAST)
        await self._give_back()
        self._life.end()


async def _over(runs: dict[str, Run], within: float) -> None:
    tasks = {run.task for run in runs.values() if run.task is not None}
    if tasks:
        await asyncio.wait(tasks, timeout=within)


def outcome_of(row: KeptCall) -> Delivery | Refusal:
    """What is stored, told again; or why it cannot be."""
    refusal = on_result(row.facts)
    if refusal is not None:
        return refusal
    if row.state == State.FAILED:
        return refusal_of(json.loads(bytes(row.body or b"")))
    return Collected.stored(row.status or 200, row.headers, bytes(row.body or b"")).delivery(REPLAY_PATIENCE)
