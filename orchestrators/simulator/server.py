"""The simulator itself: one listening orchestrator, and the handles by which tests and people move it.

GET  /simulator/state    what it has seen: calls, slots, faults, and the last job of each capability
POST /simulator/faults   {"capability": "depth", "fault": "slow", "seconds": 2, "times": 3}
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Literal, Self

from orchestrators.simulator.byoc import Byoc
from orchestrators.simulator.containers import Container
from orchestrators.simulator.direct import Direct
from orchestrators.simulator.faults import Fault, FaultError
from orchestrators.simulator.registry import Job, Registration, Registry
from orchestrators.simulator.runner import Runner
from orchestrators.simulator.wire import Connection, Exchange, Handler, Running

Protocol = Literal["byoc", "live-runner", "direct"]


class Simulator:
    """One orchestrator (or, with `protocol="direct"`, its containers alone) on a port of this machine.

    With `protocol="live-runner"` its containers are apps, `simulator/depth` at `apps/depth/app`.

        async with Simulator(name="alder", capabilities=[Container("depth", price=10)]) as alder:
            alder.fault("depth", "gpu_oom", times=1)
            ...  # call alder.service_uri
            assert alder.calls["depth"] == 1

    `port` 0 takes a free one, and keeps it over stop and start. `secret`: what containers register
    with. `leaks`: slots leak as in the Go orchestrator. `keep_jobs`: how many jobs `jobs` remembers,
    bodies included. `clock`: seconds, for what a fault counts from its first call.
    """

    def __init__(
        self,
        name: str = "simulator",
        *,
        port: int = 0,
        capabilities: Sequence[Container] = (),
        protocol: Protocol = "byoc",
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        secret: str = "secret",
        seed: int = 0,
        leaks: bool = True,
        keep_jobs: int = 64,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.protocol = protocol
        self.tls = tls
        self.registry = Registry(
            capabilities,
            dice=random.Random(seed),
            clock=clock,
            leaks=leaks,
            keep_jobs=keep_jobs,
            protocol=protocol,
        )
        self._handle = self._routes(secret)
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    def _routes(self, secret: str) -> Handler:
        if self.protocol == "direct":
            return Direct(self.registry).handle
        if self.protocol == "live-runner":
            return Runner(self.registry, lambda: self.service_uri).handle
        return Byoc(self.registry, lambda: self.service_uri, secret).handle

    def __repr__(self) -> str:
        state = "listening" if self._server else "stopped"
        return f"<Simulator {self.name} {self.protocol} {self.service_uri} {state}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def service_uri(self) -> str:
        """Without a trailing slash; with port 0 until it has started."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @property
    def calls(self) -> Counter[str]:
        """Jobs that reached each capability, struck by a fault or not."""
        return self.registry.calls

    @property
    def looks(self) -> Counter[str]:
        """Tokens (direct: healths) asked for, per capability."""
        return self.registry.looks

    @property
    def jobs(self) -> deque[Job]:
        """The last jobs, oldest first."""
        return self.registry.jobs

    def __getitem__(self, capability: str) -> Registration:
        """Its price, capacity, load and so on; all may be set."""
        return self.registry.registrations[capability]

    def fault(self, capability: str, kind: str, **options: object) -> None:
        """From now on, instead of the fault before; raises FaultError. Options: see `Fault`."""
        self.registry.fault(capability, Fault.of(kind, options))

    def state(self) -> dict[str, object]:
        registry = self.registry
        return {
            "name": self.name,
            "service_uri": self.service_uri,
            "protocol": self.protocol,
            "connections": len(self._connections),
            "capabilities": {
                name: registration.as_document(registry.calls[name], registry.looks[name])
                for name, registration in registry.registrations.items()
            },
        }

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._route, self._connections),
            self.host,
            self.port,
            ssl=self.tls,
            reuse_address=True,
            backlog=2048,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections from now on, and break those there are."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        tasks = [connection.task for connection in self._connections if connection.task]
        for connection in tuple(self._connections):
            connection.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._connections:
            await asyncio.sleep(0)
        await server.wait_closed()

    def _route(self, exchange: Exchange) -> Running:
        if not exchange.path.startswith(b"/simulator/"):
            return self._handle(exchange)
        if exchange.path == b"/simulator/state" and exchange.method == "GET":
            return _json(exchange, 200, self.state())
        if exchange.path == b"/simulator/faults" and exchange.method == "POST":
            return self._set_fault(exchange)
        return _json(exchange, 404, {"error": "GET /simulator/state, POST /simulator/faults"})

    def _set_fault(self, exchange: Exchange) -> Running:
        try:
            options = json.loads(exchange.body)
            if not isinstance(options, dict):
                raise FaultError("A fault is a JSON object with capability and fault.")
            capability = str(options.pop("capability", ""))
            self.fault(capability, str(options.pop("fault", "")), **options)
        except ValueError as error:
            return _json(exchange, 400, {"error": str(error)})
        return _json(exchange, 200, {"capability": capability, "fault": str(self[capability].script.fault)})


def _json(exchange: Exchange, status: int, document: object) -> Running:
    return exchange.answer(status, "application/json", json.dumps(document).encode())
