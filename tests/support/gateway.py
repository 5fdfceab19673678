"""A gateway for tests: the real door behind the real server protocol on a real port, in the test's loop.

Only the process is missing; `tests/support/served.py` starts that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import uvicorn
from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.utils import timezone

from byocgw.protocol import BoundedProtocol
from routing.api.door import Door
from routing.configuration import apply
from routing.models import ApiKey, Client
from routing.runtime import Runtime

T = TypeVar("T")


async def in_thread(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Database work of a test, where the loop must not be blocked."""
    return await sync_to_async(work, thread_sensitive=True)(*args, **kwargs)


class Gateway:
    """`async with Gateway() as gateway: await gateway.apply({...}); await gateway.post(...)`."""

    def __init__(self) -> None:
        self.runtime = Runtime()
        self.door = Door(self.runtime)
        config = uvicorn.Config(
            self.door,
            host="127.0.0.1",
            port=0,
            http=BoundedProtocol,
            lifespan="off",
            log_config=None,
            timeout_keep_alive=75,  # as shipped; uvicorn's 5 s are also when httpx lets go: they would meet
        )
        self._server = uvicorn.Server(config)
        self.url = ""
        self.key = ""

    async def __aenter__(self) -> Self:
        await self.runtime.start()
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup()
        await self._server.on_tick(0)  # writes the Date header
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False)
        return self

    async def __aexit__(
        self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Without the server's own drain, which looks around ten times a second: whoever is left hangs up."""
        await self.http.aclose()
        for listening in self._server.servers:
            listening.close()
        state = self._server.server_state
        for connection in state.connections:
            connection.transport.abort()
        while state.connections or state.tasks:
            await asyncio.sleep(0)
        await self.runtime.stop()

    async def apply(self, document: dict[str, Any]) -> None:
        """Configuration as code; the routing table has it when this returns."""
        plan = await in_thread(apply, document, who="test", why="test")
        assert not plan.errors, plan.errors
        await self.runtime.refresh()

    async def issue_key(self, client: str = "acme") -> str:
        """A key of a client, made if it is new; the first becomes the one that calls use."""

        def issue() -> str:
            owner, _ = Client.objects.get_or_create(name=client)
            key, secret = ApiKey.issue(owner, now=timezone.now())
            key.save()
            return secret

        secret = await in_thread(issue)
        self.key = self.key or secret
        await self.runtime.refresh()
        return secret

    async def probe(self) -> None:
        """One run of the prober, and the gateway has heard of it."""
        await in_thread(call_command, "probe_orchestrators", "--quiet")
        await self.runtime.refresh()

    async def drained(self) -> None:
        """Every line of the journal and every change of health is in the database."""
        await self.runtime.drain()

    async def post(self, path: str, **request: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.key}"} | dict(request.pop("headers", {}))
        return await self.http.post(path, headers=headers, **request)

    async def get(self, path: str, **request: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.key}"} | dict(request.pop("headers", {}))
        return await self.http.get(path, headers=headers, **request)
