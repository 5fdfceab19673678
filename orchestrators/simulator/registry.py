"""What a simulated orchestrator knows: its registered capabilities, their slots, and who has called.

Two counts of the calls under way are kept apart. `in_flight` is the truth; `load` is the
orchestrator's own counter, which is what a token reports, and which leaks as the real one does: a
worker that times out or a caller that hangs up before the answer leaves its slot taken for good,
until the capability is registered again.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from urllib.parse import unquote_to_bytes

from orchestrators.simulator.containers import Container, Kind, Work, kind_of, perform
from orchestrators.simulator.faults import (
    ORCHESTRATORS_OWN,
    Answer,
    Fault,
    FaultError,
    FaultKind,
    Script,
    suffer,
)
from orchestrators.simulator.wire import Exchange


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it came. `path`: raw bytes after the prefix. `livepeer`: the decoded Livepeer header."""

    capability: str
    path: bytes
    query: bytes
    livepeer: Mapping[str, object]
    raw_headers: Mapping[bytes, bytes]
    body: bytes
    method: str = "POST"

    @property
    def headers(self) -> dict[str, str]:
        """Lower-case names."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.raw_headers.items()}

    @property
    def work(self) -> Work:
        path = unquote_to_bytes(self.path) if b"%" in self.path else self.path
        content_type = self.raw_headers.get(b"content-type", b"")
        return Work(path.decode("utf-8", "replace"), content_type.decode("latin-1"), self.body)

    def as_document(self) -> dict[str, object]:
        return {
            "path": self.path.decode("latin-1"),
            "query": self.query.decode("latin-1"),
            "headers": self.headers,
            "livepeer": self.livepeer,
            "length": len(self.body),
            "sha256": hashlib.sha256(self.body).hexdigest(),
        }


class Registration:
    """One capability: its container, its price in wei per second, its slots, and its fault."""

    def __init__(self, container: Container, dice: random.Random) -> None:
        self.name = container.name
        self.container = container
        self.kind: Kind = kind_of(container)
        self.price = Fraction(container.price)
        self.capacity = container.capacity
        self.balance = Fraction(container.balance)
        self.registered = True
        self.load = 0
        self.in_flight = 0
        self.last: Job | None = None
        self.script = Script(Fault(), dice)

    def __repr__(self) -> str:
        state = "" if self.registered else "not registered, "
        return f"<Registration {self.name}: {state}{self.in_flight} in flight, {self.script.fault}>"

    @property
    def instant(self) -> bool:
        """It answers without waiting for anything."""
        return not (self.kind.heavy or self.container.latency)

    @property
    def free(self) -> int:
        """Slots a token reports; what was taken beyond the capacity is not told."""
        return max(0, self.capacity - self.load) if self.registered else 0

    def set_fault(self, fault: Fault) -> None:
        self.script = Script(fault, self.script.dice)
        if fault.kind is FaultKind.NONE:
            self.register()

    def register(self) -> None:
        """What a container does when it starts; calls under way are forgotten, as the real registry does."""
        self.registered = True
        self.load = 0

    async def run(self, work: Work, fault: Fault) -> Answer:
        """The container's answer. Raises Crashed and WorkerFailed, from the fault."""
        if self.container.latency:
            await asyncio.sleep(self.container.latency)

        async def produce() -> Answer:
            if self.kind.heavy:
                return await asyncio.to_thread(perform, self.kind, work)
            return perform(self.kind, work)

        return await suffer(fault, produce)

    def as_document(self, calls: int, looks: int) -> dict[str, object]:
        return {
            "calls": calls,
            "looks": looks,
            "in_flight": self.in_flight,
            "load": self.load,
            "registered": self.registered,
            "capacity": self.capacity,
            "price": str(self.price),
            "fault": str(self.script.fault),
            "last": self.last.as_document() if self.last else None,
        }


class Registry:
    """All capabilities of one orchestrator, and the last jobs it has seen."""

    def __init__(
        self,
        containers: Iterable[Container],
        *,
        dice: random.Random,
        clock: Callable[[], float],
        leaks: bool,
        keep_jobs: int,
        protocol: str,
    ) -> None:
        self.dice = dice
        self.clock = clock
        self.leaks = leaks
        self.protocol = protocol
        self.calls: Counter[str] = Counter()
        self.looks: Counter[str] = Counter()
        self.jobs: deque[Job] = deque(maxlen=keep_jobs)
        self.registrations: dict[str, Registration] = {}
        for container in containers:
            self.add(container)

    def add(self, container: Container) -> Registration:
        """Raises FaultError for its fault, ValueError for its kind."""
        registration = self.registrations[container.name] = Registration(container, self.dice)
        fault = container.fault
        self.fault(container.name, Fault.parse(fault) if isinstance(fault, str) else fault)
        return registration

    def fault(self, capability: str, fault: Fault) -> None:
        """Raises FaultError for a capability that is not here, or a fault its protocol cannot have."""
        registration = self.registrations.get(capability)
        if registration is None:
            known = ", ".join(self.registrations)
            raise FaultError(f"There is no capability {capability!r}. Known: {known}.")
        if self.protocol == "direct" and fault.kind in ORCHESTRATORS_OWN:
            raise FaultError(
                f"{fault.kind} is an orchestrator's own fault; a direct container has none in front."
            )
        registration.set_fault(fault)

    def see(
        self, registration: Registration, exchange: Exchange, path: bytes, livepeer: Mapping[str, object]
    ) -> Job:
        """Remember the job that has just come."""
        job = Job(
            registration.name, path, exchange.query, livepeer, exchange.headers, exchange.body, exchange.method
        )
        self.calls[registration.name] += 1
        self.jobs.append(job)
        registration.last = job
        return job

    def look(self, registration: Registration) -> Fault:
        """Count a token or health that was just asked for, and say what strikes it."""
        self.looks[registration.name] += 1
        return registration.script.at_look(self.clock())
