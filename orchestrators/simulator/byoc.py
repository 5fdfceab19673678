"""The orchestrator's side of the BYOC protocol, as the Go orchestrator speaks it off-chain.

    GET  /process/token             price and free slots of one capability
    POST /process/request/<path>    one job, passed to the capability's container
    POST /capability/register       a container announces itself, with the shared secret
    POST /capability/unregister

Checks come in the real order and end in the real texts, its known defects included: a full capability
is not refused, slots leak, "removing capability" is said even when nothing is removed. No tickets are
asked for, whatever the price. A capability registered over HTTP runs the container of its name here;
its `url` is not called.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction

from orchestrators.simulator.containers import Container
from orchestrators.simulator.credentials import is_signature, parse_job
from orchestrators.simulator.faults import FaultKind
from orchestrators.simulator.jobs import Run
from orchestrators.simulator.registry import Registry
from orchestrators.simulator.tokens import token
from orchestrators.simulator.wire import Exchange, Running, go_error

JOB_PREFIX = b"/process/request/"
WEI = {"": 1, "wei": 1, "eth": 10**18}

METHOD = (405, "Method not allowed")
CREDENTIALS = (400, "Could not verify job creds")
NO_TIMEOUT = (400, "no timeout_seconds set with request, timeout_seconds is required")
NO_CAPACITY = (503, "No capacity available for capability")
OWN_WORDS = {
    FaultKind.CREDENTIALS: CREDENTIALS,
    FaultKind.NO_CAPACITY: NO_CAPACITY,
    FaultKind.BALANCE: (400, "Insufficient balance for request"),
}


class Byoc:
    """The routes of one orchestrator. `service_uri` is asked when a token names it."""

    def __init__(self, registry: Registry, service_uri: Callable[[], str], secret: str) -> None:
        self.registry = registry
        self.service_uri = service_uri
        self.secret = secret.encode()

    def handle(self, exchange: Exchange) -> Running:
        path = exchange.path
        if path.startswith(JOB_PREFIX):
            return self._job(exchange)
        if path == b"/process/token":
            return token(self.registry, self.service_uri(), exchange)
        if path in (b"/capability/register", b"/capability/unregister"):
            return self._registration(exchange)
        return go_error(exchange, 404, "404 page not found")

    def _job(self, exchange: Exchange) -> Running:
        if exchange.method != "POST":
            return go_error(exchange, *METHOD)
        header = parse_job(exchange.headers.get(b"livepeer", b""))
        if header is None:
            return go_error(exchange, *CREDENTIALS)
        if header.timeout == 0:
            return go_error(exchange, *NO_TIMEOUT)
        if not is_signature(header.sig):
            return go_error(exchange, *CREDENTIALS)
        registration = self.registry.registrations.get(header.capability)
        if registration is None:
            return go_error(exchange, *NO_CAPACITY)
        job = self.registry.see(registration, exchange, exchange.path[len(JOB_PREFIX) :], header.document)
        if not registration.registered:
            return go_error(exchange, *NO_CAPACITY)
        fault = registration.script.at_job(self.registry.clock())
        if fault.kind in OWN_WORDS:
            return go_error(exchange, *OWN_WORDS[fault.kind])
        return Run(self.registry.leaks, registration, exchange, header, job, fault).start()

    def _registration(self, exchange: Exchange) -> Running:
        if exchange.method != "POST":
            return go_error(exchange, *METHOD)
        if exchange.headers.get(b"authorization", b"") != self.secret:
            return go_error(exchange, 400, "invalid authorization")
        if exchange.path == b"/capability/unregister":
            registration = self.registry.registrations.get(exchange.body.decode("utf-8", "replace"))
            if registration is not None:
                registration.registered = False
            return exchange.answer(200, "application/json", b"ok")
        return self._register(exchange)

    def _register(self, exchange: Exchange) -> Running:
        try:
            document = json.loads(exchange.body)
            name, capacity, price = _announced(document)
        except UnknownCurrency:
            return exchange.reset()  # the Go orchestrator panics
        except (ValueError, TypeError, AttributeError) as error:
            return go_error(exchange, 400, f"Error registering capability: {error}")
        registration = self.registry.registrations.get(name) or self.registry.add(Container(name))
        registration.capacity, registration.price = capacity, price
        registration.register()
        return exchange.answer(200, "application/json", b"ok")


class UnknownCurrency(Exception):
    pass


def _announced(document: dict[str, object]) -> tuple[str, int, Fraction]:
    """Name, capacity and price in wei of an ExternalCapability; raises what bad JSON raises."""
    name, currency = document.get("name") or "", str(document.get("currency") or "").lower()
    capacity, units = document.get("capacity") or 0, document.get("price_per_unit") or 0
    scaling = document.get("price_scaling") or 1
    if not isinstance(name, str):
        raise ValueError("json: name is not a string")
    if type(capacity) is not int or type(units) is not int or type(scaling) is not int:
        raise ValueError("json: a number is not an integer")
    if currency not in WEI:
        raise UnknownCurrency(currency)
    return name, capacity, Fraction(units, scaling) * WEI[currency]
