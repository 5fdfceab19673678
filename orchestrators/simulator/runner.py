"""A Live Runner orchestrator: a list of apps, and a proxy in front of each that preserves what passes.

    GET /discovery                                 [{"address", "runners": [...]}]
    any /apps/<capability>/app/<worker path>       the app, single-shot

Priced ones answer 402 with a challenge unless a Livepeer-Payment header is there. Slots are enforced: a call
too many gets 503. An app that crashed is hidden from the list, and its proxy answers 404.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

from orchestrators.simulator.containers import perform
from orchestrators.simulator.delivery import deliver, deliver_troubled
from orchestrators.simulator.faults import QUIET, Answer, Crashed, Fault, FaultKind, WorkerFailed
from orchestrators.simulator.registry import Job, Registration, Registry
from orchestrators.simulator.wire import Exchange, Field, Running, go_error

OWNER = "simulator"  # of every app: simulator/depth


class Runner:
    """The routes of one orchestrator. `service_uri`: known only once it listens."""

    def __init__(self, registry: Registry, service_uri: Callable[[], str]) -> None:
        self.registry = registry
        self.service_uri = service_uri

    def handle(self, exchange: Exchange) -> Running:
        if exchange.path == b"/discovery" and exchange.method == "GET":
            return self._list(exchange)
        parts = exchange.path.split(b"/", 4)
        if len(parts) < 4 or parts[1] != b"apps" or parts[3] != b"app":
            return go_error(exchange, 404, "404 page not found")
        registration = self.registry.registrations.get(parts[2].decode("utf-8", "replace"))
        if registration is None or not registration.registered:
            return go_error(exchange, 404, "runner not found")
        return self._call(registration, exchange, parts[4] if len(parts) > 4 else b"")

    def _list(self, exchange: Exchange) -> Running:
        faults = [self.registry.look(each) for each in self.registry.registrations.values()]
        runners = [_listed(each, self.service_uri()) for each in self._healthy()]
        answer = Answer(json.dumps([{"address": self.service_uri(), "runners": runners}]).encode())
        struck = next((fault for fault in faults if fault.look), None)
        if struck is not None:
            return deliver_troubled(exchange, answer, struck)
        return exchange.answer(200, answer.content_type, answer.body)

    def _healthy(self) -> list[Registration]:
        found = self.registry.registrations.values()
        return [
            each for each in found if each.registered and each.script.fault.kind is not FaultKind.NO_CAPACITY
        ]

    def _call(self, registration: Registration, exchange: Exchange, path: bytes) -> Running:
        if registration.price and not exchange.headers.get(b"livepeer-payment"):
            return self._challenge(registration, exchange)
        job = self.registry.see(registration, exchange, path, {})
        fault = registration.script.at_job(self.registry.clock())
        if registration.in_flight >= registration.capacity or fault.kind is FaultKind.NO_CAPACITY:
            return go_error(exchange, 503, "no capacity available for runner")
        if fault is QUIET and registration.instant:
            answer = perform(registration.kind, job.work)
            if answer.events is None:
                return exchange.answer(answer.status, answer.content_type, answer.body, fields=_fields(answer))
        return self._run(registration, exchange, job, fault)

    def _challenge(self, registration: Registration, exchange: Exchange) -> Running:
        if not exchange.headers.get(b"livepeer-payer-address"):
            body = b'{"error":{"message":"invalid live runner payment signer address"}}'
            return exchange.answer(402, "application/json", body)
        challenge = {
            "payment_params": base64.b64encode(registration.name.encode()).decode(),
            "orchestrator": self.service_uri(),
            "manifest_id": f"manifest-{registration.name}",
        }
        return exchange.answer(402, "application/json", json.dumps(challenge).encode())

    async def _run(self, registration: Registration, exchange: Exchange, job: Job, fault: Fault) -> None:
        registration.in_flight += 1
        try:
            answer = await registration.run(job.work, fault)
            pace = registration.container.pace
            await deliver(exchange, answer, fields=_fields(answer), fault=fault, pace=pace)
        except Crashed:
            registration.registered = False
            go_error(exchange, 502, "EOF")
        except WorkerFailed as failure:
            registration.registered = registration.registered and not failure.unregister
            go_error(exchange, 502, str(failure))
        finally:
            registration.in_flight -= 1


def _listed(registration: Registration, service_uri: str) -> dict[str, object]:
    runner: dict[str, object] = {
        "url": f"{service_uri}/apps/{registration.name}/app",
        "app": f"{OWNER}/{registration.name}",
        "mode": "single-shot",
        "capacity": registration.capacity,
        "capacity_used": registration.in_flight,
        "capacity_available": max(0, registration.capacity - registration.in_flight),
    }
    if registration.price:
        runner["price_info"] = {"price": int(registration.price), "currency": "wei", "unit": "seconds"}
    return runner


def _fields(answer: Answer) -> tuple[Field, ...]:
    return (("Retry-After", answer.retry_after),) if answer.retry_after else ()
