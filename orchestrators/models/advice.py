"""What may be saved and is seldom wise: the admin and `apply` say it after saving, and never refuse."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from orchestrators.models.capability import Capability
from orchestrators.models.profile import RoutingProfile

WARM = "warm"
WARM_RETRY = (5.0, 10.0)  # seconds


def about_profile(profile: RoutingProfile) -> Iterator[str]:
    if profile.slug == WARM:
        yield from _about_warm_retry(profile.retry_timeout)


def about_capability(capability: Capability) -> Iterator[str]:
    if capability.profile.slug == WARM and capability.retry_timeout is not None:
        yield from _about_warm_retry(capability.retry_timeout)
    if capability.fit == "poor":
        because = "it is stateful" if capability.stateful else "a request takes minutes"
        yield (
            f"{capability} fits this gateway poorly, because {because}: it slows every other job on the same "
            "orchestrator, which is therefore ranked lower for real-time work."
        )


def about_parts(capability: Capability, parts: Collection[Capability]) -> Iterator[str]:
    """R43: a chain takes as long as its parts one after the other."""
    if not parts:
        return
    chains = f"{capability} chains {', '.join(map(str, parts))}, whose latency targets add up to"
    together = sum(part.profile.latency_target_ms for part in parts)
    target, timeout = capability.profile.latency_target_ms, capability.effective("attempt_timeout")
    if target < together:
        yield f"{chains} {together} ms; its own of {target} ms is lower."
    if timeout * 1000 < together:
        yield f"{chains} {together} ms; its attempt timeout of {timeout:g} s is shorter."


def _about_warm_retry(seconds: float) -> Iterator[str]:
    least, most = WARM_RETRY
    if not least <= seconds <= most:
        yield (
            f"A retry timeout of {seconds:g} s is unusual for warm, low-latency work: "
            f"{least:g} to {most:g} s is the guidance."
        )
