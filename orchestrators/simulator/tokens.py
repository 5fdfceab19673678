"""`GET /process/token`: what one capability costs, and how many of its slots are free.

An unknown or full capability gets a token too, without `available_capacity`: that is all a caller
learns. Asking reserves nothing.
"""

from __future__ import annotations

import json
import math

from orchestrators.simulator.credentials import Sender, parse_sender
from orchestrators.simulator.delivery import deliver_troubled
from orchestrators.simulator.faults import QUIET, Answer, Fault, FaultKind
from orchestrators.simulator.registry import Registration, Registry
from orchestrators.simulator.wire import Exchange, Running, go_error

NO_ADDRESS = "Must have eth address and signature on address in Livepeer-Eth-Address header"
BAD_ADDRESS = "Invalid eth address header "
NO_CAPABILITY = (
    "Job capabilities not provided, must provide comma separated capabilities in Livepeer-Capability header"
)


def token(registry: Registry, service_uri: str, exchange: Exchange) -> Running:
    """Answers at once, unless a fault strikes the token itself."""
    if exchange.method != "GET":
        return go_error(exchange, 405, "Method not allowed")
    address = exchange.headers.get(b"livepeer-eth-address", b"")
    if not address:
        return go_error(exchange, 400, NO_ADDRESS)
    sender = parse_sender(address)
    if sender is None:
        return go_error(exchange, 400, BAD_ADDRESS)
    capability = exchange.headers.get(b"livepeer-capability", b"").decode("utf-8", "replace")
    if not capability:
        return go_error(exchange, 400, NO_CAPABILITY)
    registration = registry.registrations.get(capability)
    fault = QUIET if registration is None else registry.look(registration)
    document = job_token(sender, registration, fault, service_uri)
    if fault.look:
        return deliver_troubled(exchange, Answer(document), fault)
    return exchange.answer(200, "application/json", document)


def job_token(sender: Sender, registration: Registration | None, fault: Fault, service_uri: str) -> bytes:
    """As Go's encoding/json writes it: zero values are absent, but for `LastNonce`."""
    factor = fault.factor if fault.kind is FaultKind.PRICE_RISE else 1
    quoted = math.floor(registration.price * factor) if registration else 0
    price: dict[str, object] = {"pricePerUnit": quoted} if quoted else {}
    price["pixelsPerUnit"] = 1
    balance = math.floor(registration.balance) if registration else 0
    free = registration.free if registration and fault.kind is not FaultKind.NO_CAPACITY else 0
    document: dict[str, object] = {"sender_address": {"addr": sender.addr, "sig": sender.sig}}
    document |= {"balance": balance} if balance else {}
    document |= {"price": price, "service_addr": service_uri}
    document |= {"available_capacity": free} if free else {}
    if registration and registration.container.model:
        document["model_id"] = registration.container.model  # not Go's: some orchestrators add it
    document["LastNonce"] = 0
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
