"""The network's side of the prober: an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from orchestrators.core.outcome import OutcomeClass
from orchestrators.prober.assignment import Assignment
from orchestrators.prober.contact import Finding, contact
from orchestrators.prober.seats import PER_ORIGIN
from orchestrators.upstream.registry import Upstreams
from orchestrators.upstream.transport import Pool

FOR_A_WHILE = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Failure:
    """The probe itself went wrong: a row, or a bug; never what an orchestrator does."""

    assignment: Assignment
    error: Exception


class Patience:
    """With one origin. Who lets several sample requests in a row run out of time would do so with all of
    its offers, one cold start's time each: for a while it is only looked at.
    """

    def __init__(self) -> None:
        self._ran_out: deque[float] = deque(maxlen=PER_ORIGIN)

    def note(self, ran_out: bool, now: float) -> None:
        if ran_out:
            self._ran_out.append(now)
        else:
            self._ran_out.clear()

    def is_over(self, now: float) -> bool:
        return len(self._ran_out) == PER_ORIGIN and now - self._ran_out[0] < FOR_A_WHILE


class Network:
    """`start` an assignment, take `results` as they come. Leaving the block cancels what is under way."""

    def __init__(self, sender: str, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._pool = Pool()
        self._upstreams = Upstreams(self._pool, sender)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="prober-network", daemon=True)
        self._results: queue.SimpleQueue[Finding | Failure] = queue.SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._patience: defaultdict[str, Patience] = defaultdict(Patience)

    def __repr__(self) -> str:
        return f"<Network {len(self._tasks)} under way>"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self, assignment: Assignment) -> None:
        self._loop.call_soon_threadsafe(self._begin, assignment)

    def results(self, most: int, wait: float) -> list[Finding | Failure]:
        """What is there, at most `most`; waits up to `wait` seconds for the first."""
        found: list[Finding | Failure] = []
        try:
            found.append(self._results.get(timeout=wait))
            while len(found) < most:
                found.append(self._results.get_nowait())
        except queue.Empty:
            pass
        return found

    def _begin(self, assignment: Assignment) -> None:
        task = self._loop.create_task(self._contact(assignment))
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)

    async def _contact(self, assignment: Assignment) -> None:
        patience = self._patience[assignment.target.service_uri]
        put_off = assignment.sample is not None and patience.is_over(self._clock())
        asked = replace(assignment, sample=None) if put_off else assignment
        try:
            upstream = self._upstreams[assignment.target.protocol]
            finding = await contact(asked, upstream, clock=self._clock)
            if finding.sample is not None:
                patience.note(finding.sample.cls is OutcomeClass.TIMEOUT, finding.at)
            self._results.put(replace(finding, put_off=put_off))
        except Exception as error:  # noqa: BLE001  (a poisoned row: reported by whoever takes the results)
            self._results.put(Failure(assignment, error))

    async def _close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._pool.aclose()
        await self._loop.shutdown_default_executor()
