"""The events of one run: who waits for what until when, and the account of all that happened.

A request is a generator of its policy. It yields what it wants and is resumed with what came of it:

    Send(offer, timeout)    -> Reply, with the seconds it really took
    Sleep(seconds)          -> None
    Park(seconds)           -> True if `Stage.wake` came first, else False

and returns the reply the client gets, or a refusal's code. At the client's deadline it is closed,
wherever it stands. Events of the same moment come in the order in which they were made.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any, Protocol

from orchestrators.core.outcome import Fault
from routing.simulation.scenario import Scenario
from routing.simulation.world import Box, Reply, fleet


@dataclass(frozen=True, slots=True)
class Send:
    box: Box
    timeout: float
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class Park:
    seconds: float


CLIENT_GONE = "deadline of the client"
BAD_ANSWER = "bad answer"

Course = Generator[Send | Sleep | Park, Any, Any]


class Policy(Protocol):
    """`start` may spawn background work; `in_flight` is what it believes to be under way."""

    name: str

    def start(self) -> None: ...

    def serve(self, deadline: float) -> Course: ...

    @property
    def in_flight(self) -> int: ...


@dataclass(slots=True)
class Attempt:
    """One call to one box. `request`: its number, -1 for a probe's."""

    request: int
    box: int
    at: float
    seconds: float
    good: bool
    wei: int


@dataclass(slots=True)
class Request:
    """`ready`: a ready, affordable alternative existed when it came. `box`: who served it, 0 for nobody.
    `failure`: why it is no success, "" if it is one.
    """

    number: int
    at: float
    bad_input: bool
    ready: bool
    seconds: float = 0.0
    failure: str = ""
    ended: int = 0
    box: int = 0

    @property
    def good(self) -> bool:
        return not self.failure


@dataclass(slots=True)
class Account:
    """All that happened in one run; `seats`: what the policy believes to be in flight at the end."""

    scenario: Scenario
    policy: str
    seed: int
    requests: list[Request] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    seats: int = 0


@dataclass(slots=True)
class _Task:
    course: Course
    deadline: float = inf
    request: Request | None = None
    ticket: int = 0  # of the event it waits for; others are stale


class Stage:
    """`now`: simulated seconds. `draw`: the policy's dice, apart from the world's."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.boxes = fleet(scenario, seed)
        self.now = 0.0
        self.draw: Callable[[], float] = Random(f"{scenario.name}/{seed}/policy").random
        self._clients = Random(f"{scenario.name}/{seed}/clients")
        self._events: list[tuple[float, int, int, _Task, Any]] = []
        self._number = 0
        self._parked: deque[tuple[_Task, int]] = deque()

    def __repr__(self) -> str:
        return f"<Stage {self.scenario.name} at {self.now:.1f} s, {len(self._events)} events>"

    def spawn(self, course: Course) -> None:
        """Background work, such as probes; it ends with the scenario."""
        self._at(self.now, _Task(course), None)

    def wake(self) -> None:
        """Resume the first that is parked."""
        while self._parked:
            task, ticket = self._parked.popleft()
            if task.ticket == ticket:
                self._at(self.now, task, True)
                return

    def run(self, policy: Policy, seed: int) -> Account:
        account = Account(self.scenario, policy.name, seed)
        policy.start()
        arrivals = self._arrivals()
        coming = next(arrivals, None)
        while coming is not None or self._events:
            if coming is not None and (not self._events or coming < self._events[0][0]):
                self.now = coming
                self._arrive(policy, account)
                coming = next(arrivals, None)
                continue
            self.now, _, ticket, task, came = heapq.heappop(self._events)
            if ticket == task.ticket:
                self._resume(task, came, account)
        account.seats = policy.in_flight
        return account

    def _arrivals(self) -> Iterator[float]:
        """A Poisson process whose rate changes: drawn at the highest rate, thinned."""
        rate, dice, now = self.scenario.rate, self._clients, 0.0
        most = max(rate.values)
        while most > 0:
            now += dice.expovariate(most)
            if now >= self.scenario.duration:
                return
            if dice.random() * most < rate.at(now):
                yield now

    def _arrive(self, policy: Policy, account: Account) -> None:
        scenario = self.scenario
        bad_input = scenario.bad_input > 0 and self._clients.random() < scenario.bad_input
        request = Request(len(account.requests), self.now, bad_input, self._is_anyone_ready())
        account.requests.append(request)
        deadline = self.now + scenario.deadline
        self._resume(_Task(policy.serve(deadline), deadline, request), None, account)

    def _is_anyone_ready(self) -> bool:
        ceiling, now = self.scenario.ceiling, self.now
        return any(
            box.is_ready(now) and (ceiling is None or box.price_at(now) <= ceiling) for box in self.boxes
        )

    def _resume(self, task: _Task, came: Any, account: Account) -> None:
        request, task.ticket = task.request, 0
        if request is not None and self.now >= task.deadline:
            task.course.close()
            self._end(request, CLIENT_GONE)
            return
        try:
            wanted = task.course.send(came)
        except StopIteration as stop:
            if request is not None:
                self._end(request, stop.value)
            return
        if request is None and self.now >= self.scenario.duration:
            task.course.close()
        elif type(wanted) is Send:
            self._send(task, wanted, account)
        else:
            self._wait(task, wanted)

    def _send(self, task: _Task, wanted: Send, account: Account) -> None:
        request, box, now = task.request, wanted.box, self.now
        reply = box.ask(now, bad_input=request is not None and request.bad_input)
        allowed = min(wanted.timeout, task.deadline - now)
        if reply.seconds > allowed:
            reply = Reply(allowed, fault=Fault.NO_ANSWER, charged=reply.charged)
        number = -1 if request is None else request.number
        wei = _charge(box, now, reply) if reply.charged else 0
        account.attempts.append(Attempt(number, box.id, now, reply.seconds, reply.good, wei))
        if request is not None:
            request.box = box.id
        self._at(now + reply.seconds, task, reply)

    def _wait(self, task: _Task, wanted: Send | Sleep | Park) -> None:
        if isinstance(wanted, Send):
            raise TypeError("a call is not a pause")
        until = min(self.now + max(wanted.seconds, 0.0), task.deadline)
        self._at(until, task, False if isinstance(wanted, Park) else None)
        if isinstance(wanted, Park):
            self._parked.append((task, task.ticket))

    def _at(self, moment: float, task: _Task, came: Any) -> None:
        self._number += 1
        task.ticket = self._number
        heapq.heappush(self._events, (moment, self._number, self._number, task, came))

    def _end(self, request: Request, given: Reply | str) -> None:
        request.ended += 1
        request.seconds = self.now - request.at
        if isinstance(given, str):
            request.failure = str(given)
        elif not given.good:
            request.failure = BAD_ANSWER
        if request.failure:
            request.box = 0


def _charge(box: Box, now: float, reply: Reply) -> int:
    """Begun seconds, exactly, as an orchestrator charges them."""
    price = box.price_at(now)
    seconds = max(1, -int(-reply.seconds // 1))
    return -(-price.wei * seconds // price.units)
