"""Scripted faults: what can go wrong with a capability, when, how often, and for how long.

A capability has one fault at a time. It strikes jobs; with `look` it strikes the token instead (a
direct container: its health). `times` is how often it strikes before it goes away, `probability`
how likely each contact is to be struck, by the simulator's seeded dice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from fractions import Fraction


class FaultError(ValueError):
    """A sentence for the person who asked for the fault."""


class FaultKind(StrEnum):
    NONE = "none"
    COLD_START = "cold_start"
    GPU_OOM = "gpu_oom"
    CRASH = "crash"
    REFUSED_WORKER = "refused_worker"
    WRONG_SCHEMA = "wrong_schema"
    WRONG_CONTENT_TYPE = "wrong_content_type"
    EMPTY = "empty"
    BUSY = "busy"
    RATE_LIMITED = "rate_limited"
    SLOW = "slow"
    HANG = "hang"
    MID_STREAM_BREAK = "mid_stream_break"
    PRICE_RISE = "price_rise"
    SERVER_ERROR = "server_error"
    BAD_INPUT = "bad_input"
    TIMEOUT_TEXT = "timeout_text"
    CREDENTIALS = "credentials"
    BALANCE = "balance"
    SSE_FLOOD = "sse_flood"
    TRICKLE = "trickle"
    FLOOD = "flood"
    NO_CAPACITY = "no_capacity"


MEANING = {
    FaultKind.NONE: "as it should be; also registers the capability again and frees its slots",
    FaultKind.COLD_START: "the first call takes `seconds`; with loading=true every call before"
    " `seconds` have passed since the first gets 503 'model is not ready, loading'",
    FaultKind.GPU_OOM: "500 with 'CUDA out of memory'",
    FaultKind.CRASH: "the connection is reset once the request is read; then no capacity until none",
    FaultKind.REFUSED_WORKER: "500 'removing capability ... connection refused', then unregistered",
    FaultKind.WRONG_SCHEMA: "200 with JSON that nobody asked for",
    FaultKind.WRONG_CONTENT_TYPE: "200 with the right body, called text/html",
    FaultKind.EMPTY: "200 with an empty body",
    FaultKind.BUSY: "503 'busy', Retry-After `seconds`",
    FaultKind.RATE_LIMITED: "429, Retry-After `seconds`",
    FaultKind.SLOW: "every call takes `seconds` longer",
    FaultKind.HANG: "never answers",
    FaultKind.MID_STREAM_BREAK: "the connection closes after the first event, or half of the body",
    FaultKind.PRICE_RISE: "the token's price times `factor`",
    FaultKind.SERVER_ERROR: "500; a direct container's health says ERROR",
    FaultKind.BAD_INPUT: "the container refuses its input with `status` (400 or 422)",
    FaultKind.TIMEOUT_TEXT: "500 'removing capability ... context deadline exceeded'",
    FaultKind.CREDENTIALS: "400 'Could not verify job creds'",
    FaultKind.BALANCE: "400 'Insufficient balance for request'",
    FaultKind.SSE_FLOOD: "a stream ends in newlines without end, until the job's time is over",
    FaultKind.TRICKLE: "the answer comes byte by byte, `seconds` apart",
    FaultKind.FLOOD: "the answer is followed by 1 GiB of blanks",
    FaultKind.NO_CAPACITY: "tokens without capacity, jobs 503",
}

# What only an orchestrator can do: a container served directly has none in front.
ORCHESTRATORS_OWN = frozenset(
    {
        FaultKind.REFUSED_WORKER,
        FaultKind.PRICE_RISE,
        FaultKind.TIMEOUT_TEXT,
        FaultKind.CREDENTIALS,
        FaultKind.BALANCE,
        FaultKind.SSE_FLOOD,
        FaultKind.NO_CAPACITY,
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a container says: a whole body, or the `events` of an SSE stream, each with its blank line."""

    body: bytes = b""
    content_type: str = "application/json"
    status: int = 200
    metadata: str = ""
    retry_after: str = ""
    events: tuple[bytes, ...] | None = None


class Crashed(Exception):
    """The container died with the request in its hands."""


class WorkerFailed(Exception):
    """The orchestrator could not get an answer out of the worker; the text is Go's error."""

    def __init__(self, text: str, *, unregister: bool) -> None:
        super().__init__(text)
        self.unregister = unregister


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `seconds` None: the kind's own (cold_start 3, slow 2; busy, rate_limited, trickle 1)."""

    kind: FaultKind = FaultKind.NONE
    times: int | None = None
    probability: float = 1.0
    seconds: float | None = None
    factor: Fraction = Fraction(2)
    status: int = 422
    loading: bool = False
    look: bool = False

    @classmethod
    def of(cls, kind: str, options: Mapping[str, object] | None = None) -> Fault:
        """From a name and options as people and JSON write them; raises FaultError."""
        if kind not in MEANING:
            raise FaultError(f"There is no fault {kind!r}. Known: {', '.join(MEANING)}.")
        known = cls(FaultKind(kind))
        values = {name: _read(name, value) for name, value in (options or {}).items() if value is not None}
        return replace(known, **values)  # type: ignore[arg-type]

    @classmethod
    def parse(cls, text: str) -> Fault:
        """From "slow" or "slow:seconds=2,times=3"; raises FaultError."""
        kind, _, rest = text.partition(":")
        return cls.of(kind.strip(), dict(_option(part) for part in rest.split(",") if part.strip()))

    @property
    def wait(self) -> float:
        """Seconds."""
        return _SECONDS.get(self.kind, 0.0) if self.seconds is None else self.seconds

    def __str__(self) -> str:
        options = [
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)[1:]
            if getattr(self, field.name) != field.default
        ]
        return self.kind + (":" + ",".join(options) if options else "")


QUIET = Fault()
_SECONDS = {
    FaultKind.COLD_START: 3.0,
    FaultKind.SLOW: 2.0,
    FaultKind.BUSY: 1.0,
    FaultKind.RATE_LIMITED: 1.0,
    FaultKind.TRICKLE: 1.0,
}


class Script:
    """A capability's fault as it plays: how often it may still strike, and since when a model loads."""

    def __init__(self, fault: Fault, dice: random.Random) -> None:
        self.fault = fault
        self.dice = dice
        once = fault.kind is FaultKind.COLD_START and not fault.loading
        self.left = 1 if once and fault.times is None else fault.times
        self.began: float | None = None

    def __repr__(self) -> str:
        return f"<Script {self.fault}, {'no end' if self.left is None else f'{self.left} left'}>"

    def at_job(self, now: float) -> Fault:
        """What strikes the job that has just come."""
        fault = self.fault
        if fault.kind is FaultKind.NONE or fault.look or fault.kind is FaultKind.PRICE_RISE:
            return QUIET
        return self._strike(now)

    def at_look(self, now: float) -> Fault:
        """What strikes the token (the health) that was just asked for. Capacity is taken by jobs alone."""
        fault = self.fault
        if fault.look or fault.kind is FaultKind.PRICE_RISE:
            return self._strike(now)
        return fault if fault.kind is FaultKind.NO_CAPACITY and self._hit() else QUIET

    def loading(self, now: float) -> bool:
        """The model is on its way into memory, or nobody has asked for it yet."""
        fault = self.fault
        return fault.loading and (self.began is None or now < self.began + fault.wait)

    def _strike(self, now: float) -> Fault:
        fault = self.fault
        if not self._hit():
            return QUIET
        if fault.kind is FaultKind.COLD_START and fault.loading:
            self.began = now if self.began is None else self.began
            if not self.loading(now):
                self.fault = QUIET
                return QUIET
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.fault = QUIET
        return fault

    def _hit(self) -> bool:
        return self.fault.probability >= 1 or self.dice.random() < self.fault.probability


async def suffer(fault: Fault, produce: Callable[[], Awaitable[Answer]]) -> Answer:
    """The container's answer under a fault. Raises Crashed and WorkerFailed."""
    kind = fault.kind
    if kind is FaultKind.CRASH:
        raise Crashed
    if kind is FaultKind.HANG:
        await asyncio.get_running_loop().create_future()
    if kind is FaultKind.REFUSED_WORKER:
        raise WorkerFailed("dial tcp 127.0.0.1:5000: connect: connection refused", unregister=True)
    if kind is FaultKind.TIMEOUT_TEXT:
        raise WorkerFailed("context deadline exceeded", unregister=False)
    if kind in (FaultKind.SLOW, FaultKind.COLD_START) and not fault.loading:
        await asyncio.sleep(fault.wait)
    said = _said(fault)
    return said or _twisted(kind, await produce())


def _said(fault: Fault) -> Answer | None:
    """What the container says instead of working."""
    text = "text/plain; charset=utf-8"
    seconds = f"{fault.wait:g}" if fault.wait else ""
    match fault.kind:
        case FaultKind.COLD_START if fault.loading:
            return Answer(b"model is not ready, loading", text, 503)
        case FaultKind.GPU_OOM:
            return Answer(b"CUDA out of memory. Tried to allocate 2.00 GiB", text, 500)
        case FaultKind.BUSY:
            return Answer(b"busy", text, 503, retry_after=seconds)
        case FaultKind.RATE_LIMITED:
            return Answer(b"too many requests", text, 429, retry_after=seconds)
        case FaultKind.SERVER_ERROR:
            return Answer(b'{"detail":{"msg":"pipeline error."}}', status=500)
        case FaultKind.BAD_INPUT:
            return Answer(b'{"detail":{"msg":"the input is not what it should be"}}', status=fault.status)
    return None


def _twisted(kind: FaultKind, answer: Answer) -> Answer:
    """What becomes of a good answer."""
    match kind:
        case FaultKind.WRONG_SCHEMA:
            return Answer(b'{"unexpected":true}')
        case FaultKind.WRONG_CONTENT_TYPE:
            return Answer(answer.body or b"".join(answer.events or ()), "text/html; charset=utf-8")
        case FaultKind.EMPTY:
            return Answer(b"", answer.content_type)
    return answer


def _option(part: str) -> tuple[str, str]:
    name, equals, value = part.partition("=")
    if not equals:
        raise FaultError(f"{part!r} is not an option: write name=value.")
    return name.strip(), value.strip()


def _read(name: str, value: object) -> object:
    if name not in _READERS:
        raise FaultError(f"A fault has no option {name!r}. Known: {', '.join(_READERS)}.")
    reader, wanted = _READERS[name]
    try:
        return reader(str(value))
    except (ValueError, KeyError, ZeroDivisionError) as error:
        raise FaultError(f"{name}={value} is not {wanted}.") from error


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count


def _flag(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _within(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return read


def _factor(text: str) -> Fraction:
    factor = Fraction(text)
    if factor < 0:
        raise ValueError(text)
    return factor


_READERS: dict[str, tuple[Callable[[str], object], str]] = {
    "times": (_count, "a whole number above 0"),
    "probability": (_within(0, 1), "a number from 0 to 1"),
    "seconds": (_within(0, 86_400), "a number of seconds"),
    "factor": (_factor, "a number from 0"),
    "status": (lambda text: {"400": 400, "422": 422}[text], "400 or 422"),
    "loading": (_flag, "true or false"),
    "look": (_flag, "true or false"),
}
