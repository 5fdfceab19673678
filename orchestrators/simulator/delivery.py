"""How an answer goes out: whole, as a stream of events, or broken off on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from orchestrators.simulator.faults import QUIET, Answer, Crashed, Fault, FaultKind, WorkerFailed, suffer
from orchestrators.simulator.wire import Exchange, Field, go_error

FLOOD = 1024**3  # bytes
BLANKS = b" " * 64 * 1024


async def deliver(
    exchange: Exchange,
    answer: Answer,
    *,
    fields: Sequence[Field] = (),
    fault: Fault = QUIET,
    pace: float = 0.0,
    tail: AsyncIterator[bytes] | None = None,
) -> None:
    """`pace`: seconds between two events. `tail`: what follows the last event of a stream."""
    if answer.events is not None:
        await _stream(exchange, answer.events, fields=fields, fault=fault, pace=pace, tail=tail)
    elif fault.kind is FaultKind.MID_STREAM_BREAK:
        length = max(len(answer.body), 2)  # an empty body breaks off too
        exchange.begin(answer.status, answer.content_type, length=length, fields=fields)
        await exchange.send_raw(answer.body[: length // 2])
        exchange.cut()
    elif fault.kind in (FaultKind.TRICKLE, FaultKind.FLOOD):
        exchange.begin(answer.status, answer.content_type, fields=fields)
        async for piece in _pieces(answer.body, fault):
            await exchange.send(piece)
        exchange.end()
    else:
        exchange.answer(answer.status, answer.content_type, answer.body, fields=fields)


async def _pieces(body: bytes, fault: Fault) -> AsyncIterator[bytes]:
    if fault.kind is FaultKind.FLOOD:
        yield body
        for _ in range(FLOOD // len(BLANKS)):
            yield BLANKS
        return
    for byte in body:
        yield bytes([byte])
        await asyncio.sleep(fault.wait)


async def deliver_troubled(exchange: Exchange, answer: Answer, fault: Fault) -> None:
    """A token or a health, struck by a fault with `look`. Nothing but this one answer is harmed."""

    async def produce() -> Answer:
        return answer

    try:
        await deliver(exchange, await suffer(fault, produce), fault=fault)
    except Crashed:
        exchange.reset()
    except WorkerFailed as failure:
        go_error(exchange, 500, str(failure))


async def _stream(
    exchange: Exchange,
    events: tuple[bytes, ...],
    *,
    fields: Sequence[Field],
    fault: Fault,
    pace: float,
    tail: AsyncIterator[bytes] | None,
) -> None:
    exchange.begin(200, "text/event-stream", fields=(*fields, ("Cache-Control", "no-cache")))
    for index, event in enumerate(events):
        if index and pace:
            await asyncio.sleep(pace)
        await exchange.send(event)
        if fault.kind is FaultKind.MID_STREAM_BREAK:
            return exchange.cut()
    if tail is not None:
        async for event in tail:
            await exchange.send(event)
    exchange.end()
