"""Containers reached without an orchestrator in front: their own HTTP API, as the AI worker API has it.

    POST /<worker path>               the only container
    POST /<capability>/<worker path>  one of several
    GET  /health, /<capability>/health -> {"status": "OK" | "IDLE" | "LOADING" | "ERROR"}

OK while something is in flight, IDLE while nothing is, LOADING while a model loads (`cold_start` with
loading), ERROR under `server_error`. A crashed container resets every connection until it is restored.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from orchestrators.simulator.containers import perform
from orchestrators.simulator.delivery import deliver, deliver_troubled
from orchestrators.simulator.faults import QUIET, Answer, Crashed, Fault, FaultKind
from orchestrators.simulator.registry import Job, Registration, Registry
from orchestrators.simulator.wire import Exchange, Field, Running


class Direct:
    """The routes of one or several containers."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def handle(self, exchange: Exchange) -> Running:
        registration, path = self._find(exchange.path[1:])
        if registration is None:
            return _detail(exchange, 404, "Not Found")
        if not registration.registered:
            return exchange.reset()
        if path == b"health" and exchange.method == "GET":
            return self._health(registration, exchange)
        if exchange.method != "POST":
            return _detail(exchange, 405, "Method Not Allowed")
        job = self.registry.see(registration, exchange, path, {})
        fault = registration.script.at_job(self.registry.clock())
        if fault is QUIET and registration.instant:
            answer = perform(registration.kind, job.work)
            if answer.events is None:
                fields = _fields(answer)
                return exchange.answer(answer.status, answer.content_type, answer.body, fields=fields)
        return self._run(registration, exchange, job, fault)

    def _find(self, path: bytes) -> tuple[Registration | None, bytes]:
        """The container a path names, and what is left of the path for it."""
        registrations = self.registry.registrations
        first, _, rest = path.partition(b"/")
        named = registrations.get(first.decode("utf-8", "replace"))
        if named is not None:
            return named, rest
        if len(registrations) == 1 or (registrations and path == b"health"):
            return next(iter(registrations.values())), path
        return None, path

    def _health(self, registration: Registration, exchange: Exchange) -> Running:
        fault = self.registry.look(registration)
        script = registration.script
        if script.loading(self.registry.clock()):
            status = "LOADING"
        elif script.fault.kind is FaultKind.SERVER_ERROR and not fault.look:
            status = "ERROR"
        else:
            status = "OK" if registration.in_flight else "IDLE"
        answer = Answer(json.dumps({"status": status}).encode())
        if fault.look:
            return deliver_troubled(exchange, answer, fault)
        return exchange.answer(200, answer.content_type, answer.body)

    async def _run(self, registration: Registration, exchange: Exchange, job: Job, fault: Fault) -> None:
        registration.in_flight += 1
        try:
            answer = await registration.run(job.work, fault)
            await deliver(
                exchange,
                answer,
                fields=_fields(answer),
                fault=fault,
                pace=registration.container.pace,
                tail=_done(),
            )
        except Crashed:
            registration.registered = False
            exchange.reset()
        finally:
            registration.in_flight -= 1


def _fields(answer: Answer) -> tuple[Field, ...]:
    metadata: tuple[Field, ...] = (("X-Metadata", answer.metadata),) if answer.metadata else ()
    return (*metadata, ("Retry-After", answer.retry_after)) if answer.retry_after else metadata


def _detail(exchange: Exchange, status: int, text: str) -> Running:
    return exchange.answer(status, "application/json", json.dumps({"detail": text}).encode())


async def _done() -> AsyncIterator[bytes]:
    yield b"data: [DONE]\n\n"
