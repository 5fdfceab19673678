"""How fast an offer answers when warm, and what it costs to wake it. Seconds throughout.

Two views of the same warm successes. The *peak EWMA* (Finagle's) jumps to a slow answer at once and
forgets it within tens of seconds: it ranks. The *mean* and *standard deviation*, weighted to the last
dozen answers or so, tell what is usual: they raise the flags that operators read.

A cold start says how long loading takes, nothing about a warm answer, and is kept apart. An answer by
an offer believed warm that took as long as loading is a *spike*: its model was probably evicted. It
ranks the offer down through the peak, but in the mean it counts for at most two and a half usual
answers; so a single eviction does not pass for contention, and an offer that has become slower for
good, even twenty times, is believed within a dozen.
"""

from __future__ import annotations

from math import exp, sqrt

import msgspec
from msgspec.structs import replace

from orchestrators.core.outcome import Outcome, OutcomeClass

_OK = OutcomeClass.OK  # see there
_TAU = 10.0
_MEMORY = 8  # answers; the latest weighs an eighth at least, as TCP weighs its round trips
_LEAST_WEIGHT = 1 / _MEMORY
_COLD_TIMES = 3.0  # this many means is the size of a cold start
_COUNTED_TIMES = 2.5  # this many means is what one answer can count for
_SERIES = 5  # answers that make a usual one
_STEADY_SERIES = 8  # answers that make a usual deviation
_P95 = 1.65  # standard deviations from the mean to the 95th percentile, were answers normally spread
_UNEVEN = 0.5  # of the mean: a deviation beyond it looks like a GPU shared with others
_NOTICED = 0.1  # of the target: below it nobody feels how uneven answers are
_LONG_START = 10.0
_NO_FLAGS: frozenset[str] = frozenset()
_LEAST_MEAN = 0.001  # ratios of less than a millisecond are noise


class Latency(msgspec.Struct, frozen=True, gc=False):
    """`ewma`: the peak EWMA, as of `stamp`. `cold`: the latest cold start. `samples`: warm answers.
    `last_cold`: the latest success was a cold start or a spike. `last_warm_at`: the latest that was neither.
    """

    ewma: float | None = None
    mean: float | None = None
    deviation: float = 0.0
    cold: float | None = None
    stamp: float = 0.0
    samples: int = 0
    last_cold: bool = False
    last_warm_at: float | None = None


def observe(latency: Latency, outcome: Outcome, now: float) -> Latency:
    """Take in one outcome; what is not a success says nothing about speed."""
    seconds = outcome.latency
    if seconds is None or not (outcome.cls is _OK or outcome.is_success):  # a property takes 800 instructions
        return latency
    if outcome.cold:
        return replace(latency, cold=seconds, last_cold=True)
    mean, samples, counted, spike = latency.mean, latency.samples, seconds, False
    if mean is None:
        mean = seconds
    if samples >= _SERIES:
        usual = mean if mean > _LEAST_MEAN else _LEAST_MEAN
        if seconds > _COUNTED_TIMES * usual:
            counted, spike = _COUNTED_TIMES * usual, _is_spike(latency, seconds, usual)
    # Welford's mean and deviation, then exponentially weighted ones
    weight = 1 / (samples + 1) if samples < _MEMORY else _LEAST_WEIGHT
    apart, deviation = counted - mean, latency.deviation
    peak, passed = latency.ewma, now - latency.stamp
    if peak is None or seconds > peak:
        peak = seconds
    elif passed > 0.0:  # not 0, nor 1 below: an integer beside a float costs a conversion
        kept = exp(-passed / _TAU)
        peak = peak * kept + seconds * (1.0 - kept)
    # By place, as each answer makes one.
    return Latency(
        peak,
        mean + weight * apart,
        sqrt((1.0 - weight) * (deviation * deviation + weight * apart * apart)),
        latency.cold,
        now,
        samples + 1,
        spike,
        latency.last_warm_at if spike else now,
    )


def heard(latency: Latency, *, mean: float | None, cold: float | None, warm_at: float | None) -> Latency:
    """What another process measured: its figures while we have none, and when it saw the model loaded."""
    if latency.samples == 0 and mean is not None:
        latency = replace(latency, ewma=mean, mean=mean)
    if latency.cold is None:
        latency = replace(latency, cold=cold)
    if warm_at is None or warm_at <= (latency.last_warm_at or 0.0):
        return latency
    return replace(latency, last_warm_at=warm_at, last_cold=False)


def expected(latency: Latency, in_flight: int, seats: int, default: float) -> float:
    """What the next call may take, `in_flight` calls being there already; `default` if nobody knows.

    Up to its seats an offer works on calls side by side, so the first of them do not slow each other.
    """
    usual = default if latency.ewma is None else latency.ewma
    return usual if in_flight < seats else usual * (in_flight + 1) / seats


def flags(latency: Latency, target: float) -> frozenset[str]:
    """What an operator should know: slow, contention, eviction, cold_over_10s. `target`: p95 wanted."""
    mean, samples = _mean(latency), latency.samples
    p95 = _p95(latency, mean)
    raised = []  # most often empty, and asked for with every choice
    if samples >= _SERIES and p95 >= target:
        raised.append("slow")
    if samples >= _STEADY_SERIES and latency.deviation > _UNEVEN * mean and p95 > _NOTICED * target:
        raised.append("contention")
    if latency.last_cold and samples and _was_cold(latency, target):
        raised.append("eviction")
    if latency.cold is not None and latency.cold > _LONG_START:
        raised.append("cold_over_10s")
    return frozenset(raised) if raised else _NO_FLAGS


def evidence(latency: Latency, target: float) -> dict[str, str]:
    """What each raised flag rests on, as a sentence for the operator."""
    mean = _mean(latency)
    usual, p95, apart = (_ms(each) for each in (mean, _p95(latency, mean), latency.deviation))
    sentences = {
        "slow": f"slow for its profile: p95 of its warm answers about {p95}, the target is {_ms(target)}",
        "contention": f"GPU contention suspected: its warm answers deviate by {apart} from {usual}",
        "eviction": f"model eviction suspected: its latest answer took as long as loading, usual is {usual}",
        "cold_over_10s": f"its latest cold start took {_ms(latency.cold or 0.0)}, over {_ms(_LONG_START)}",
    }
    raised = flags(latency, target)
    return {flag: sentence for flag, sentence in sentences.items() if flag in raised}


def against_target(outcome: Outcome, latency: Latency, target: float) -> Outcome:
    """A warm answer to a sample request is slow where it and those before it are slow for the profile (R32).

    `latency`: with this one in it. Of traffic each gateway keeps its own averages, and `flags` says it.
    """
    slow = evidence(latency, target).get("slow")
    if slow is None or outcome.cls is not _OK:
        return outcome
    return replace(outcome, cls=OutcomeClass.SLOW, detail=slow)


def cold_threshold(latency: Latency, target: float) -> float:
    """A success slower than this, by an offer not known warm, was a cold start."""
    start = _COLD_TIMES * latency.mean if latency.mean is not None else target
    return start if start > target else target


def is_warm(latency: Latency, target: float, now: float, idle: float) -> bool:
    """True if the model is known to be loaded: the latest success was warm, at most `idle` seconds ago."""
    at = latency.last_warm_at
    if at is None or (latency.last_cold and _was_cold(latency, target)):
        return False
    return now - at <= idle


def _is_spike(latency: Latency, seconds: float, usual: float) -> bool:
    """Far off the usual and, where we have seen this offer start, of the size of that."""
    return seconds > _COLD_TIMES * usual and (latency.cold is None or seconds >= latency.cold / 2)


def _was_cold(latency: Latency, target: float) -> bool:
    """Whether the latest, a cold start or a spike, is of concern: within the target it is nobody's."""
    return max(latency.ewma or 0.0, latency.cold or 0.0) > target


def _mean(latency: Latency) -> float:
    """Here and above without `max` and `min`: a call of one takes 1,300 instructions, a comparison 150."""
    mean = latency.mean
    return mean if mean is not None and mean > _LEAST_MEAN else _LEAST_MEAN


def _p95(latency: Latency, mean: float) -> float:
    return mean + _P95 * latency.deviation


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"
