"""Who takes the next connection. Workers wait on one listening socket, so none is lost while they come and go.

The kernel wakes all that wait, and the first to run has the connection: whoever opens one after the other,
as a reverse proxy does, may find them all with one worker, which then has all the work. So each worker
tells the others how many it holds, in memory that they share, and who is ahead leaves the next one to them
for a moment before it takes it after all: where they hang, nobody waits for long.

In a rolling restart the old ones, though asked to end, serve until every new one could: they would leave nobody
for as long as a start takes. A new one takes no connection before that either, for each may allow its share of
every limit.

The last worker to end takes what the kernel has accepted already before it closes its end.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from functools import partial
from mmap import mmap
from types import FrameType
from typing import Any

from uvicorn import Config
from uvicorn.server import Server

from byocgw import huge_pages

PLACES = 256  # workers of one server, those that go and come included
ABSENT = 2**31 - 1
COMING = ABSENT - 1
REST = 0.001  # seconds; others are woken within some 0.1 ms, if they are not at work
RETRY = 1.0  # seconds, when there are no descriptors left
TOGETHER = 0.02  # seconds between two looks at whether the others could serve as well

# By place, how many connections a worker holds; COMING, where one is on its way to take over from another; or
# ABSENT. Made in the master, shared by its forks.
held = memoryview(mmap(-1, 4 * PLACES)).cast("i")
held[:] = memoryview(array("i", [ABSENT] * PLACES))

log = logging.getLogger("uvicorn.error")


def free_place(taken: set[int]) -> int:
    """For a new worker: one that none of the others has. Those beyond the last share it."""
    return next((place for place in range(PLACES) if place not in taken), PLACES - 1)


def leave(place: int) -> None:
    held[place] = ABSENT


def expect(place: int) -> None:
    held[place] = COMING


def is_expected(place: int) -> bool:
    return held[place] == COMING


def expect_nobody() -> None:
    """There is no master any more to say that one it expected has ended."""
    for place in range(PLACES):
        if is_expected(place):
            leave(place)


def anyone_is_coming() -> bool:
    return COMING in held


def anyone_serves() -> bool:
    return min(held) < COMING


class Listener:
    """A worker's end of a listening socket. `connections`: those that it holds, as the protocol keeps them."""

    def __init__(self, sock: Any, place: int, protocol: Any, connections: set[Any], ssl: Any = None) -> None:
        self.sock, self.place = sock, place
        self.protocol, self.connections, self.ssl = protocol, connections, ssl
        self.coming = set[asyncio.Task[Any]]()
        self.loop = asyncio.get_running_loop()
        self.timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        self.loop.add_reader(self.sock.fileno(), self.accept)
        self.count()

    def accept(self) -> None:
        """There is one, if no other worker was first."""
        mine, least = self.count(), min(held)
        if mine > least + least // 8:
            self.rest(REST)
        elif self.take():
            self.count()

    def take(self) -> bool:
        try:
            connection, _ = self.sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as exc:
            log.error("No connection can be taken: %s. Next attempt in %g s.", exc, RETRY)
            self.rest(RETRY)
            return False
        connection.setblocking(False)
        task = self.loop.create_task(self.loop.connect_accepted_socket(self.protocol, connection, ssl=self.ssl))
        self.coming.add(task)
        task.add_done_callback(self.came)
        return True

    def came(self, task: asyncio.Task[Any]) -> None:
        self.coming.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.debug("A connection ended before it began: %r", exc)

    def count(self) -> int:
        held[self.place] = number = len(self.connections) + len(self.coming)
        return number

    def rest(self, seconds: float) -> None:
        self.loop.remove_reader(self.sock.fileno())
        self.timer = self.loop.call_later(seconds, self.resume)

    def resume(self) -> None:
        self.open()
        if self.take():
            self.count()

    async def close(self) -> None:
        self.loop.remove_reader(self.sock.fileno())
        leave(self.place)
        while not anyone_serves() and self.take():
            pass  # what the kernel has accepted already: nobody else would take it
        if self.timer is not None:
            self.timer.cancel()
        self.sock.close()
        await asyncio.gather(*self.coming, return_exceptions=True)


class FairServer(Server):
    """uvicorn, which listens as this module says."""

    def __init__(self, config: Config, place: int) -> None:
        super().__init__(config)
        self.place = place
        self.listeners: list[Listener] = []

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets=[])
        huge_pages.gather()
        takes_over = is_expected(self.place)
        leave(self.place)  # it is not on its way any more
        while takes_over and anyone_is_coming() and not self.should_exit:
            await asyncio.sleep(TOGETHER)
        state = self.server_state
        made: Any = self.config.http_protocol_class
        protocol = partial(made, config=self.config, server_state=state, app_state=self.lifespan.state)
        for sock in sockets or ():
            listener = Listener(sock, self.place, protocol, state.connections, self.config.ssl)
            self.listeners.append(listener)
            listener.open()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.started:
            leave(self.place)
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Whether to end."""
        return await super().on_tick(counter) and not anyone_is_coming()

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        for listener in self.listeners:
            await listener.close()
        await super().shutdown()
