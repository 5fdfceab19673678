"""What is to be reached, with all policy on; and whether it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """`most`: the figure is to be at most `must`; else at least. `share`: shown as a ratio."""

    key: str
    what: str
    must: float
    stretch: float
    unit: str = ""
    most: bool = True

    def verdict(self, seen: float | None) -> str:
        if seen is None:
            return "not measured"
        for name, bound in (("stretch", self.stretch), ("must", self.must)):
            if seen <= bound if self.most else seen >= bound:
                return name
        return "missed"


TARGETS = (
    Target(
        "to_nginx", "requests/s at c=32, 1 KB JSON, against nginx as a plain proxy", 0.16, 0.33, "x", most=False
    ),
    Target(
        "to_raw", "the same against raw ASGI + our transport doing nothing else", 0.33, 0.75, "x", most=False
    ),
    Target("to_litellm", "the same against LiteLLM (2 workers each)", 30, 70, "x", most=False),
    Target("to_portkey", "the same against Portkey", 5, 15, "x", most=False),
    Target("cpu", "gateway CPU per request at c=32", 260, 120, "us"),
    Target("added_p50", "added p50 at 2,000 requests/s, open loop, against direct", 420, 180, "us"),
    Target("added_p99", "added p99 at 2,000 requests/s, open loop, against direct", 4000, 600, "us"),
    Target("waiting_to_nginx", "1,000 in flight x 500 ms, against nginx", 0.85, 0.99, "x", most=False),
    Target("waiting_p50", "1,000 in flight x 500 ms, p50", 550, 505, "ms"),
    Target("in_flight", "in flight per worker", 1000, 4000, "", most=False),
    Target("kb_in_flight", "memory per call in flight", 30, 18, "KB"),
    Target("idle_memory", "idle memory per worker (RSS)", 90, 65, "MB"),
    Target("upload_memory", "peak memory per worker with 16 x 2 MB uploads (RSS)", 130, 85, "MB"),
    Target("upload_to_nginx", "2 MB multipart at c=16, against nginx unbuffered", 0.9, 1.5, "x", most=False),
    Target("first_event", "SSE: added time to first byte", 1, 0.6, "ms"),
    Target("cpu_event", "SSE: CPU per spaced chunk", 50, 30, "us"),
    Target("gone_waiting", "client gone -> upstream aborted, while waiting", 250, 100, "ms"),
    Target("gone_streaming", "client gone -> upstream aborted, mid-stream", 250, 100, "ms"),
    Target("gone_uploading", "client gone -> upstream aborted, mid-upload", 250, 100, "ms"),
    Target("decide_10", "view + sift + rank + decide, 10 offers", 80, 30, "us"),
    Target("decide_100", "view + sift + rank + decide, 100 offers", 600, 150, "us"),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """The median of all rounds, and the least and the most of them. `why`: not measured."""

    median: float | None
    least: float = 0.0
    most: float = 0.0
    why: str = ""


def judged(figures: Mapping[str, Seen]) -> list[tuple[Target, Seen, str]]:
    """Every target with what was seen of it, in the table's order."""
    found = []
    for target in TARGETS:
        seen = figures.get(target.key, Seen(None))
        found.append((target, seen, target.verdict(seen.median)))
    return found
