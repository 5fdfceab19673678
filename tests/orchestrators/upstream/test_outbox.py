"""What one turn of the loop has to send is sent together, in its order, and to nobody who is gone."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from orchestrators.upstream.transport.outbox import Outbox, outbox_of


class Peer:
    """A transport that notes what is written, in one list for all."""

    def __init__(self, written: list[tuple[Peer, bytes]]) -> None:
        self.written = written
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self.written.append((self, data))


async def turn() -> None:
    await asyncio.sleep(0)


def of(outbox: Outbox, *peers: Peer) -> list[bool]:
    return [outbox.holds(cast(Any, peer)) for peer in peers]


async def test_all_messages_of_a_turn_leave_at_its_end_in_their_order():
    outbox, written = outbox_of(asyncio.get_running_loop()), list[tuple[Peer, bytes]]()
    one, two = Peer(written), Peer(written)
    outbox.add(cast(Any, one), b"1")
    outbox.add(cast(Any, two), b"2")
    assert (written, of(outbox, one, two)) == ([], [True, True])
    await turn()
    assert (written, of(outbox, one, two)) == ([(one, b"1"), (two, b"2")], [False, False])
    outbox.add(cast(Any, one), b"3")
    await turn()
    assert written[2:] == [(one, b"3")]


async def test_what_cannot_wait_is_sent_now_and_once():
    outbox, written = outbox_of(asyncio.get_running_loop()), list[tuple[Peer, bytes]]()
    one, two = Peer(written), Peer(written)
    outbox.add(cast(Any, one), b"1")
    outbox.send(cast(Any, one))
    outbox.send(cast(Any, two))
    assert written == [(one, b"1")]
    await turn()
    assert written == [(one, b"1")]


async def test_who_was_closed_meanwhile_is_passed_over():
    outbox, written = outbox_of(asyncio.get_running_loop()), list[tuple[Peer, bytes]]()
    one, two = Peer(written), Peer(written)
    outbox.add(cast(Any, one), b"1")
    outbox.add(cast(Any, two), b"2")
    one.closing = True
    await turn()
    assert written == [(two, b"2")]


async def test_a_loop_has_one_of_its_own():
    mine = outbox_of(asyncio.get_running_loop())
    other = asyncio.new_event_loop()
    try:
        assert mine is outbox_of(asyncio.get_running_loop())
        assert mine is not outbox_of(other)
    finally:
        other.close()
