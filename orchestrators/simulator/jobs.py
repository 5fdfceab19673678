"""One BYOC job, from its slot to the last byte of its answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from orchestrators.simulator.containers import perform
from orchestrators.simulator.credentials import JobHeader, details_error, is_base64
from orchestrators.simulator.delivery import deliver
from orchestrators.simulator.faults import QUIET, Answer, Crashed, Fault, FaultKind, WorkerFailed
from orchestrators.simulator.registry import Job, Registration
from orchestrators.simulator.wire import NO_SNIFF, PLAIN, Exchange, Field, Running, go_error

STREAM_TICK = 5  # seconds of a stream billed at a time; what is left of the last tick is free
NEWLINES = b"\n" * 64


@dataclass(slots=True)
class Run:
    """A job that passed the orchestrator's checks. `leaky`: slots leak here, as in real life."""

    leaky: bool
    registration: Registration
    exchange: Exchange
    header: JobHeader
    job: Job
    fault: Fault

    def start(self) -> Running:
        """Take a slot, full or not; then look at the payment and the request."""
        registration = self.registration
        payment = self.exchange.headers.get(b"livepeer-payment", b"")
        if payment and registration.price > 0 and not is_base64(payment):
            return self.exchange.reset()
        registration.load += 1
        if error := details_error(self.header.request):
            self._free(leaked=True)
            return go_error(self.exchange, 400, f"Unable to unmarshal job request details err={error}")
        if self.fault is QUIET and registration.instant:
            answer = perform(registration.kind, self.job.work)
            if answer.events is None:
                self._free()
                relayed, fields = self._relayed(answer, 0.0)
                return self.exchange.answer(relayed.status, relayed.content_type, relayed.body, fields=fields)
        return self._wait()

    async def _wait(self) -> None:
        registration = self.registration
        registration.in_flight += 1
        leaked = False
        try:
            await self._answer()
        except Crashed:
            registration.registered = False
            self.exchange.reset()
        except WorkerFailed as failure:
            registration.registered = registration.registered and not failure.unregister
            leaked = not failure.unregister
            self._worker_failed(failure)
        except asyncio.CancelledError:
            leaked = not self.exchange.begun
            raise
        finally:
            registration.in_flight -= 1
            self._free(leaked=leaked)

    async def _answer(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        answer = await self._call_worker()
        pace = self.registration.container.pace
        if answer.events is not None:
            fields: tuple[Field, ...] = (("Livepeer-Payment-Balance", self._balance),)
            tail = self._tail(started)
            return await deliver(self.exchange, answer, fields=fields, fault=self.fault, pace=pace, tail=tail)
        relayed, fields = self._relayed(answer, loop.time() - started)
        await deliver(self.exchange, relayed, fields=fields, fault=self.fault)

    async def _call_worker(self) -> Answer:
        """Within the job's time; but `hang` never answers, so it takes the orchestrator along."""
        limit = None if self.fault.kind is FaultKind.HANG else self.header.timeout
        try:
            async with asyncio.timeout(limit):
                return await self.registration.run(self.job.work, self.fault)
        except TimeoutError as error:
            raise WorkerFailed("context deadline exceeded", unregister=False) from error

    def _relayed(self, answer: Answer, elapsed: float) -> tuple[Answer, tuple[Field, ...]]:
        """What the caller sees of a worker's answer, billed: an error as text, a success always as 200."""
        self.registration.balance -= max(1, math.ceil(elapsed)) * self.registration.price
        fields: tuple[Field, ...] = (("Livepeer-Balance", self._balance),)
        if answer.retry_after:
            # The Go orchestrator drops it; a proxy in front of one may say it, and callers must obey.
            fields += (("Retry-After", answer.retry_after),)
        if answer.status >= 400:
            return replace(answer, body=answer.body + b"\n", content_type=PLAIN), (*fields, NO_SNIFF)
        return replace(answer, status=200), (*fields, ("X-Metadata", answer.metadata))

    def _worker_failed(self, failure: WorkerFailed) -> None:
        url = f"http://127.0.0.1:5000/{self.job.work.path}"
        text = f'job not able to be processed, removing capability err=Post "{url}": {failure}'
        go_error(self.exchange, 500, text, fields=(("Livepeer-Balance", self._balance),))

    async def _tail(self, started: float) -> AsyncIterator[bytes]:
        """What the orchestrator adds to a worker's stream; and the newlines it can drown it in."""
        loop = asyncio.get_running_loop()
        ticks = int((loop.time() - started) // STREAM_TICK)
        self.registration.balance -= ticks * STREAM_TICK * self.registration.price
        yield f'data: {{"balance": {self._balance}.000}}\n\n'.encode()
        yield b"data: [DONE]\n\n"
        while self.fault.kind is FaultKind.SSE_FLOOD and loop.time() < started + self.header.timeout:
            yield NEWLINES
            await asyncio.sleep(0.001)

    @property
    def _balance(self) -> str:
        """Wei, as Go's FloatString(0)."""
        return str(round(self.registration.balance))

    def _free(self, *, leaked: bool = False) -> None:
        if not (leaked and self.leaky):
            self.registration.load -= 1
