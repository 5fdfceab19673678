"""The fleet as it truly is. Policies see of it what a gateway sees: answers, broken connections, tokens.

A container has `capacity` slots. Work that finds none free waits in line, or is refused; work once begun
goes on, whether or not anybody still waits for the answer. A model that was idle for too long is dropped,
and the next call pays for loading it. Faults strike calls by their scripts' dice.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from math import exp, inf
from random import Random

from orchestrators.core.outcome import Fault
from orchestrators.core.price import Price
from routing.simulation.scenario import Cold, Member, Scenario, Script

CONNECT_TIMEOUT = 3.0
JSON = "application/json"

_GOOD = b'{"result": "done"}'
_REMOVING = b"job not able to be processed, removing capability err=EOF"


@dataclass(slots=True)
class Reply:
    """What came back after `seconds` (inf: nothing ever does): an answer, or a broken connection.

    `good`: the client can use it; only the account looks at that. `charged`: a container was at work.
    """

    seconds: float
    status: int = 0
    body: bytes = b""
    content_type: str = JSON
    fault: Fault | None = None
    retry_after: str = ""
    good: bool = False
    charged: bool = True


@dataclass(frozen=True, slots=True)
class Token:
    """`seconds`: until it came. `capacity`: free slots."""

    seconds: float
    capacity: int
    price: Price


# (status, body, content type, part of the work it takes) of the faults that a container answers with.
_ANSWERS: dict[str, tuple[int, bytes, str, float]] = {
    "crash": (500, _REMOVING, "text/plain", 0.3),
    "error": (500, b"Internal Server Error", "text/plain", 0.3),
    "oom": (500, b"RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB", "text/plain", 0.5),
    "oom_400": (400, b'{"detail": "CUDA out of memory"}', JSON, 0.5),
    "loading": (503, b'{"detail": "model is not ready"}', JSON, 0.0),
    "busy": (429, b"Too Many Requests", "text/plain", 0.0),
    "wrong": (200, b'{"error": "pipeline failed"}', JSON, 0.3),
    "empty": (200, b"", JSON, 1.0),
    "html": (200, b"<html><body>Bad gateway</body></html>", "text/html", 0.1),
    "missing": (404, b'{"detail": "Not Found"}', JSON, 0.0),
}
# The orchestrator's own texts: no container was asked, nothing is charged.
_OWN = {
    "not_claimed": (503, b"No capacity available for capability"),
    "rejected": (400, b"Insufficient balance for request"),
}


class Box:
    """One orchestrator with its container."""

    def __init__(self, offer_id: int, member: Member, scripts: list[Script], dice: Random) -> None:
        self.id = offer_id
        self.member = member
        self._scripts = scripts
        self._dice = dice
        self._slots: list[float] = []  # when each busy slot comes free; a heap
        cold = member.cold
        self._used_until = -inf if cold and cold.starts == "cold" else 0.0
        self._loaded_at = 0.0
        self._usual = member.median * exp(member.spread**2 / 2)

    def __repr__(self) -> str:
        return f"<Box {self.member.name}, {len(self._slots)} at work>"

    def ask(self, now: float, *, bad_input: bool = False) -> Reply:
        """One call; changes slots and model as it would."""
        script = self._strikes(now)
        kind = "" if script is None else script.kind
        trip = self.member.round_trip
        if kind == "down":
            return Reply(trip, fault=Fault.REFUSED, charged=False)
        if kind == "unreachable":
            return Reply(CONNECT_TIMEOUT, fault=Fault.UNREACHABLE, charged=False)
        if kind in _OWN:
            status, text = _OWN[kind]
            return Reply(trip, status, text, "text/plain", charged=False)
        if kind == "hang":
            return Reply(inf)
        if self.member.when_full == "refuse" and self._is_full(now):
            return Reply(trip, *_ANSWERS["busy"][:3])
        return self._work(now, kind, script, bad_input)

    def token(self, now: float) -> Token | None:
        """None: the orchestrator cannot be reached. Faults of its container do not show here."""
        kinds = {script.kind for script in self._scripts if script.is_on(now)}
        if kinds & {"down", "unreachable"}:
            return None
        self._free(now)
        capacity = 0 if "not_claimed" in kinds else max(0, self.member.capacity - len(self._slots))
        seconds = self.member.round_trip * (0.8 + 0.4 * self._dice.random())
        return Token(seconds, capacity, self.price_at(now))

    # --- the truth, for the oracle and the account ---

    def price_at(self, now: float) -> Price:
        return self.member.price.at(now)

    def is_ready(self, now: float) -> bool:
        """Nothing is wrong with it or comes and goes, its model is loaded, a slot is free."""
        if any(script.covers(now) for script in self._scripts):
            return False
        return not self._is_cold(now) and now >= self._loaded_at and not self._is_full(now)

    def success(self, now: float) -> float:
        """The probability that a call now succeeds."""
        chance = 1.0
        for script in self._scripts:
            if script.kind not in ("slow", "evicted") and script.is_on(now):
                chance *= 1 - script.rate
        cold = self.member.cold
        if cold and cold.says == "loading" and (self._is_cold(now) or now < self._loaded_at):
            return 0.0
        return 0.0 if self.member.when_full == "refuse" and self._is_full(now) else chance

    def expected(self, now: float) -> float:
        """Seconds a call now takes on average, line and model loading included."""
        seconds = self._usual
        cold = self.member.cold
        for script in self._scripts:
            if script.is_on(now) and script.kind == "slow":
                seconds *= 1 + script.rate * (script.factor - 1)
            elif script.is_on(now) and script.kind == "evicted" and cold:
                seconds += script.rate * cold.takes
        start = max(now, self._loaded_at, self._slots[0] if self._is_full(now) else now)
        loading = cold.takes if cold and self._is_cold(now) else 0.0
        return start - now + loading + seconds + self.member.round_trip

    # ---------------------------------------------------------------------------------------------

    def _strikes(self, now: float) -> Script | None:
        for script in self._scripts:
            if script.is_on(now) and (script.rate >= 1 or self._dice.random() < script.rate):
                return script
        return None

    def _work(self, now: float, kind: str, script: Script | None, bad_input: bool) -> Reply:
        member = self.member
        seconds = member.median * exp(self._dice.gauss(0.0, member.spread))
        if kind == "slow" and script is not None:
            seconds *= script.factor
        cold = self._load(now, evicted=kind == "evicted")
        if cold and cold.says == "loading" and now < self._loaded_at:
            return Reply(member.round_trip, *_ANSWERS["loading"][:3])
        reply = Reply(0.0, 200, _GOOD, good=True)
        if bad_input:
            seconds *= 0.1
            reply = Reply(0.0, 422, b'{"detail": "unprocessable"}', good=True)
        elif kind == "reset":
            seconds *= 0.3
            reply = Reply(0.0, fault=Fault.BROKEN)
        elif kind in _ANSWERS:
            status, body, content_type, part = _ANSWERS[kind]
            seconds *= part
            reply = Reply(0.0, status, body, content_type)
            if kind == "busy" and script is not None and script.retry_after is not None:
                reply.retry_after = f"{script.retry_after:.0f}"
        reply.seconds = self._occupy(now, seconds) - now + member.round_trip
        return reply

    def _load(self, now: float, *, evicted: bool) -> Cold | None:
        """Begin loading the model if it is not there."""
        cold = self.member.cold
        if cold and (evicted or self._is_cold(now)) and now >= self._loaded_at:
            self._loaded_at = self._used_until = now + cold.takes
        return cold

    def _is_cold(self, now: float) -> bool:
        cold = self.member.cold
        return cold is not None and now - self._used_until > cold.after

    def _is_full(self, now: float) -> bool:
        self._free(now)
        return len(self._slots) >= self.member.capacity

    def _free(self, now: float) -> None:
        while self._slots and self._slots[0] <= now:
            heapq.heappop(self._slots)

    def _occupy(self, now: float, seconds: float) -> float:
        """When the work will be done. Every entry is a slot: of a full house the first to come free."""
        start = max(now, self._loaded_at)
        if self._is_full(now):
            start = max(start, heapq.heappop(self._slots))
        end = start + seconds
        heapq.heappush(self._slots, end)
        self._used_until = max(self._used_until, end)
        return end


def fleet(scenario: Scenario, seed: int) -> list[Box]:
    """The boxes of a scenario, in its order; ids from 1."""
    return [
        Box(
            number,
            member,
            [script for script in scenario.faults if member.name in script.who],
            Random(f"{scenario.name}/{seed}/{member.name}"),
        )
        for number, member in enumerate(scenario.fleet, 1)
    ]
