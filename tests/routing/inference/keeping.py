"""What tests of kept calls share: a container that answers when it is told to, and a look at the rows."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from routing.models import KeptCall
from tests.routing.inference.scenes import orchestrator
from tests.routing.inference.scripted import OK, Conversation, Scripted
from tests.support.gateway import Gateway, in_thread

KEY = {"idempotency-key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
LATER = {"prefer": "respond-async"}
ANSWER = OK + b"content-type: application/json\r\ncontent-length: 14\r\n\r\n" + b'{"depth": 3.5}'


class Held:
    """`async with Held() as held:` a container of `depth` that answers once `held.go` is set."""

    def __init__(self, answer: bytes = ANSWER) -> None:
        self.answer = answer
        self.asked, self.go, self.gone = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.container = Scripted("birch", self._script)

    async def _script(self, conversation: Conversation) -> None:
        await conversation.whole()
        self.asked.set()
        waiting = {asyncio.ensure_future(self.go.wait()), asyncio.ensure_future(conversation.gone())}
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        if self.go.is_set():
            await conversation.say(self.answer)
        else:
            self.gone.set()

    @property
    def calls(self) -> int:
        return self.container.calls

    async def __aenter__(self) -> Held:
        await self.container.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.container.__aexit__(*error)

    async def offered(self, gateway: Gateway, **policy: Any) -> None:
        capability = {"slug": "depth", "profile": "warm", "price_ceiling": "none"} | policy
        offer = self.container.offer("depth", max_in_flight=8)
        document = {
            "capabilities": [capability],
            "orchestrators": [orchestrator(self.container, offer)],  # type: ignore[arg-type]
        }
        await gateway.apply(document)
        await gateway.probe()
        self.container.calls = 0


async def ask(gateway: Gateway, path: str = "/v1/capabilities/depth", **request: Any) -> httpx.Response:
    return await gateway.post(path, **({"content": b"a picture"} | request))


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def rows() -> list[KeptCall]:
    return await in_thread(lambda: list(KeptCall.objects.order_by("at")))


async def settled(*states: str) -> list[KeptCall]:
    """The rows, once they have these states."""
    async with asyncio.timeout(10):
        while True:
            found = await rows()
            if [row.state for row in found] == list(states):
                return found
            await asyncio.sleep(0.01)
