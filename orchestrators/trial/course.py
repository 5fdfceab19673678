"""What a trial asks of an offer, within a bounded time: at most 90 seconds, and about 15 sample requests.

look      price, free slots, reachability; starts no work
wake      the first call, again while it says that it is loading or busy: the cold start
warm      the same call, one after the other
ramp      two at once, then up to four, within the slots it claims; ends where it refuses or breaks
look      once more if it refused: does it still claim to be free?
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf

from msgspec import structs

from orchestrators.core.outcome import Outcome, OutcomeClass
from orchestrators.core.scorecard import Step
from orchestrators.prober.assignment import Assignment, Sample
from orchestrators.prober.contact import look, send
from orchestrators.upstream.base import Sighting, Upstream

# Well within a prober's lease on the row, which is held for as long.
LONGEST = 90.0
WARM_CALLS = 8
MOST_AT_ONCE = 4
_RAMPS = {2: (2,), 3: (2, 3), 4: (2, 4)}
# An orchestrator gives a slot back a moment after the answer.
_SETTLED_AFTER = 0.25
# Between two calls to one that is loading, or busy and does not say for how long.
_AGAIN_AFTER = 0.5
_NOT_YET = frozenset({OutcomeClass.COLD_START, OutcomeClass.BUSY})


@dataclass(slots=True)
class Course:
    """What has been seen so far; `core.scorecard.Evidence` explains the words. `at`: the end, wall seconds."""

    assignment: Assignment
    look: Outcome
    sighting: Sighting | None
    fingerprint: str
    at: float = 0.0
    calls: list[Outcome] = field(default_factory=list)
    waking: int = 0
    woke_after: float | None = None
    steps: list[Step] = field(default_factory=list)
    claimed_after: int | None = None

    @property
    def woke_cold(self) -> bool:
        """It had to load the model: the first good answer says so, or those before it."""
        if self.woke_after is None:
            return False
        *before, first_good = self.calls[: self.waking]
        return first_good.cold or any(call.cls is OutcomeClass.COLD_START for call in before)


@dataclass(frozen=True, slots=True)
class Way:
    """How one offer is reached. `may_call`: asked once the price is known. `at_once`: the ramp's end where
    the protocol has no word for capacity. `tell`: progress, for people. `until`: monotonic seconds.
    """

    upstream: Upstream
    may_call: Callable[[Sighting], bool]
    at_once: int
    tell: Callable[[str], None]
    until: float


async def go(assignment: Assignment, sample: Sample, way: Way, *, clock: Callable[[], float]) -> Course:
    """Raises for nothing that the other side does."""
    way.tell("looking at it")
    course = Course(assignment, *await look(assignment, way.upstream))
    sighting = course.sighting
    if sighting is not None and course.look.cls is not OutcomeClass.REJECTED and way.may_call(sighting):
        await _wake(course, sample, way)
        if course.woke_after is not None:
            await _warm(course, sample, way)
            await _ramp(course, sample, way)
    course.at = clock()
    return course


async def _wake(course: Course, sample: Sample, way: Way) -> None:
    """Until a good answer, for as long as one call may take that has to load the model."""
    way.tell("first call")
    started = time.monotonic()
    until = min(started + sample.timeout, way.until)
    while (left := until - time.monotonic()) > 0:
        answer = await _ask(course, replace(sample, timeout=left), way, warm=False)
        course.calls.append(answer)
        course.waking += 1
        if answer.is_success:
            course.woke_after = time.monotonic() - started
            return
        if answer.cls not in _NOT_YET:
            return
        pause = answer.retry_after or _AGAIN_AFTER
        if time.monotonic() + pause >= until:
            return
        await asyncio.sleep(pause)


async def _warm(course: Course, sample: Sample, way: Way) -> None:
    for number in range(WARM_CALLS):
        timeout = min(sample.timeout, way.until - time.monotonic())
        if timeout <= 0:
            return
        way.tell(f"warm call {number + 1} of {WARM_CALLS}")
        answer = await _ask(course, replace(sample, timeout=timeout), way, warm=True)
        course.calls.append(answer)
        if answer.cls is OutcomeClass.API_MISMATCH:
            return  # one wrong answer decides; another would only cost money


async def _ramp(course: Course, sample: Sample, way: Way) -> None:
    claimed = course.sighting.capacity if course.sighting is not None else None
    most = min(way.at_once if claimed is None else claimed, MOST_AT_ONCE)
    for at_once in _RAMPS.get(most, ()):
        timeout = min(sample.timeout, way.until - time.monotonic())
        if timeout <= 0:
            return
        way.tell(f"{at_once} calls at once")
        limited = replace(sample, timeout=timeout)
        answers = await asyncio.gather(*(_ask(course, limited, way, warm=True) for _ in range(at_once)))
        course.steps.append(Step(at_once, tuple(answers)))
        if not all(answer.is_success for answer in answers):
            break
    else:
        return
    await asyncio.sleep(_SETTLED_AFTER)
    _, sighting, _ = await look(course.assignment, way.upstream)
    course.claimed_after = None if sighting is None else sighting.capacity


async def _ask(course: Course, sample: Sample, way: Way, *, warm: bool) -> Outcome:
    asked = course.assignment
    if warm:
        asked = replace(asked, setting=structs.replace(asked.setting, cold_over=inf))
    return await send(asked, sample, way.upstream, course.fingerprint)
