"""Times ahead, of which others may have written them: machines' clocks differ, and one that was ahead, as of a
machine that came up with another zone's time, is put back."""

from __future__ import annotations

SKEW = 60.0  # seconds between the clocks of two machines


def has_come(time: float, now: float, longest: float) -> bool:
    """Whether a time has come that is `longest` seconds ahead at most when it is written. So it has if it is
    further ahead than that: it was written by a clock that has been put back since."""
    return not now < time <= now + longest + SKEW
