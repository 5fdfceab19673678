"""Who waits and who may start: so many probes in all, so many at one origin. Plain memory, no I/O."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

PER_ORIGIN = 4


class Seats:
    """Offers wait in their origin's queue, and take a seat before any work. `concurrency`: seats in all."""

    def __init__(self, concurrency: int, *, per_origin: int = PER_ORIGIN) -> None:
        self._concurrency = concurrency
        self._per_origin = per_origin
        self._origins: dict[int, str] = {}  # of everyone who waits or sits
        self._waiting: dict[str, deque[int]] = {}
        self._seated: set[int] = set()
        self._seated_at: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Seats {len(self._origins) - len(self._seated)} waiting, {len(self._seated)} taken>"

    def __len__(self) -> int:
        """Everyone who waits or sits."""
        return len(self._origins)

    def add(self, offers: Iterable[tuple[int, str]]) -> None:
        """(offer, its origin); nobody is in twice."""
        for offer_id, origin in offers:
            if offer_id not in self._origins:
                self._origins[offer_id] = origin
                self._waiting.setdefault(origin, deque()).append(offer_id)

    def take(self) -> list[int]:
        """Those who may start now, seated."""
        started = []
        for origin, queue in list(self._waiting.items()):
            while (
                queue and len(self._seated) < self._concurrency and self._seated_at[origin] < self._per_origin
            ):
                offer_id = queue.popleft()
                self._seated.add(offer_id)
                self._seated_at[origin] += 1
                started.append(offer_id)
            if not queue:
                del self._waiting[origin]
            if len(self._seated) >= self._concurrency:
                break
        return started

    def _is_free_at(self, origin: str) -> bool:
        return len(self._seated) < self._concurrency and self._seated_at[origin] < self._per_origin

    def leave(self, offer_id: int) -> None:
        """Done with; it may come again."""
        self._seated_at[self._origins.pop(offer_id)] -= 1
        self._seated.remove(offer_id)
