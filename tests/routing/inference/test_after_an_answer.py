"""What is left of a call once it is answered: its connections, and nothing else."""

from __future__ import annotations

import asyncio
import gc
import json

from orchestrators.simulator import Container, Simulator
from routing.api.door import Incoming
from routing.delivery import Opening
from routing.trip import InferenceCall, Trip
from tests.routing.inference.scenes import PICTURE, ask, depth_by
from tests.routing.inference.test_memory_of_bodies import connect_to
from tests.support.gateway import Gateway

OF_A_CALL = (InferenceCall, Trip, Opening, Incoming)
HEAD = (
    b"POST /v1/capabilities/depth HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n"
)
BODY = json.dumps(PICTURE).encode()


def left() -> list[str]:
    gc.collect()
    return sorted(type(each).__name__ for each in gc.get_objects() if isinstance(each, OF_A_CALL))


async def test_a_kept_connection_holds_nothing_of_its_last_call(gateway: Gateway) -> None:
    """Neither the client's, by its keep-alive timer, nor the orchestrator's in the pool: a thousand idle
    connections are not a thousand requests with their answers. Calls long enough to be watched for hang-ups."""
    async with Simulator("alder", capabilities=[Container("depth", latency=0.05)]) as alder:
        await depth_by(gateway, alder)
        assert not left()
        request = HEAD % (gateway.key.encode(), len(BODY)) + BODY
        clients = [await connect_to(gateway) for _ in range(3)]
        for client in clients:
            await client.send(request)
        for client in clients:
            status, _, _ = await client.answer()
            assert status == 200
        assert (await ask(gateway)).status_code == 200  # on a connection that httpx keeps
        gone = await connect_to(gateway)
        await gone.send(request)
        while not gateway.runtime.board.in_flight:
            await asyncio.sleep(0.001)
        gone.writer.transport.abort()
        while gateway.runtime.in_flight:
            await asyncio.sleep(0.001)
        assert not left()
        assert (await gateway.post("/v1/capabilities/depth", json=PICTURE)).status_code == 200
        for client in clients:
            client.writer.transport.abort()
