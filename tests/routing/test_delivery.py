"""An answer on its way: when the seat is free, and how long a client may be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import PartlyAnswered
from routing.delivery import SLOWEST, BrokenOff, Delivery, Ending, Opening


class Reply:
    """What comes of `pieces`; nothing more comes once it is closed."""

    status = 200
    headers: dict[str, str] = {}
    length: int | None = None

    def __init__(self, *pieces: bytes, endless: bool = False) -> None:
        self.pieces = list(pieces)
        self.endless = endless
        self.closed = False

    @property
    def complete(self) -> bool:
        return not self.pieces and not self.endless

    async def chunks(self) -> AsyncIterator[bytes]:
        while self.pieces or self.endless:
            if self.closed:
                raise PartlyAnswered(Fault.CUT_OFF, "given up by us")
            yield self.pieces.pop(0) if self.pieces else b"more"

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.chunks()])

    async def aclose(self) -> None:
        self.closed = True


class Books:
    def __init__(self, reply: Reply, *, patience: float = 5.0, opened: tuple[bytes, ...] = ()) -> None:
        self.settled: list[tuple[Ending, int]] = []
        opening = Opening(reply, reply.chunks(), b"".join(opened))
        self.delivery = Delivery(opening, status=200, headers={}, settle=self.settle, patience=patience)

    def settle(self, ending: Ending, sent: int, fault: Fault | None) -> None:
        self.settled.append((ending, sent))


async def test_the_books_are_closed_before_the_client_has_the_last_byte() -> None:
    """Also where no length says which it is: a client that takes it slowly keeps no seat."""
    books = Books(Reply(b"two", b"three"), opened=(b"o", b"ne"))
    seen = [(piece, len(books.settled)) async for piece in books.delivery.chunks()]
    assert seen == [(b"one", 0), (b"two", 0), (b"three", 1)]
    assert books.settled == [("ended", 11)]


async def test_an_answer_that_was_here_at_its_first_byte_is_settled_with_it() -> None:
    books = Books(Reply(), opened=(b"all",))
    seen = [(piece, len(books.settled)) async for piece in books.delivery.chunks()]
    assert seen == [(b"all", 1)]


async def test_a_client_that_takes_nothing_is_given_up() -> None:
    reply = Reply(endless=True)
    books = Books(reply, patience=0.05, opened=(b"one",))
    chunks = books.delivery.chunks()
    assert await anext(chunks) == b"one"
    async with asyncio.timeout(2):
        while not reply.closed:
            await asyncio.sleep(0.01)
    assert books.settled == [("cancelled", 3)]
    with pytest.raises(BrokenOff):
        await anext(chunks)


async def test_a_client_that_trickles_is_given_up() -> None:
    """The waits add up; what it takes meanwhile earns next to nothing."""
    books = Books(Reply(endless=True), patience=0.2)
    async with asyncio.timeout(2):
        with pytest.raises(BrokenOff):
            async for _ in books.delivery.chunks():
                await asyncio.sleep(0.03)
    assert books.settled[0][0] == "cancelled"


async def test_a_client_that_takes_enough_may_take_its_time() -> None:
    """Four pieces worth a second each, and a fifth of a second waited for each."""
    reply = Reply(*(bytes(SLOWEST) for _ in range(4)))
    books = Books(reply, patience=0.5)
    async for _ in books.delivery.chunks():
        await asyncio.sleep(0.2)
    assert books.settled == [("ended", 4 * SLOWEST)]


async def test_an_orchestrator_that_pauses_is_not_the_clients_time() -> None:
    class Pausing(Reply):
        async def chunks(self) -> AsyncIterator[bytes]:
            for _ in range(3):
                await asyncio.sleep(0.2)
                yield b"x"

        complete = False

    books = Books(Pausing(), patience=0.4)
    assert [piece async for piece in books.delivery.chunks()] == [b"x"] * 3
    assert books.settled == [("ended", 3)]
