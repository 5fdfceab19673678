"""What this worker has counted since its start, for /metrics: plain numbers in memory.

On the way of a request this is all that metrics cost: 1.7 us, once, when its account is closed. The client
library's own values, in files that processes share, take five times as long (8.4 us).

A label is a capability that is configured, an outcome class, a code: never anything a client chose.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from orchestrators.core.outcome import OutcomeClass
from orchestrators.core.price import Price
from routing.core.failover import Attempt
from routing.core.histogram import OVERHEAD, TOTAL, Histogram, Sample
from routing.core.refusal import Code
from routing.table import Lane, OfferEntry

NOBODYS_FAULT = frozenset(
    {
        OutcomeClass.OK,
        OutcomeClass.SLOW,
        OutcomeClass.COLD_START,
        OutcomeClass.CLIENT_ERROR,
        OutcomeClass.CANCELLED,
    }
)
AT_ONCE = 100  # answers, whose times are sorted into the histograms together
# What existing dashboards look for: go-livepeer's own words.
NO_ORCHESTRATORS = "no orchestrators available"


class CapabilityCounts:
    """`seconds`, `overheads`: what the latest answers took in all, and of the gateway; in no histogram yet."""

    __slots__ = ("codes", "failovers", "outcomes", "overhead", "overheads", "price", "seconds", "total")

    def __init__(self) -> None:
        self.codes: defaultdict[str, int] = defaultdict(int)  # a Counter adds one in twice the time
        self.outcomes: defaultdict[str, int] = defaultdict(int)
        self.failovers = 0
        self.seconds: list[float] = []
        self.overheads: list[float] = []
        self.total = Histogram(TOTAL)
        self.overhead = Histogram(OVERHEAD)
        self.price: Price | None = None  # of who answered last

    def sort_in(self) -> None:
        self.total.observe(self.seconds)
        self.overhead.observe(self.overheads)
        self.seconds.clear()
        self.overheads.clear()


class Counts:
    """`most`: pairs of capability and orchestrator whose errors are told apart; later ones count together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._capabilities: defaultdict[str, CapabilityCounts] = defaultdict(CapabilityCounts)
        # capability, orchestrator's address, class
        self._errors: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._told_apart: set[tuple[str, str]] = set()

    def __repr__(self) -> str:
        requests = sum(sum(each.codes.values()) for each in self._capabilities.values())
        return f"<Counts {requests} requests, {len(self._capabilities)} capabilities>"

    def refused(self, slug: str, code: str) -> None:
        """A request that never came to routing. `slug`: "" where it named no capability of ours."""
        self._capabilities[slug].codes[code] += 1

    def closed(
        self,
        lane: Lane,
        code: str,
        history: Sequence[Attempt],
        seconds: float,
        overhead: float | None,
        served_by: OfferEntry | None,
    ) -> None:
        """A request whose account is closed. `seconds`: in all. `overhead`: the gateway's own until the answer,
        None when nobody answered."""
        slug = lane.policy.slug
        counts = self._capabilities[slug]
        counts.codes[code] += 1
        for attempt in history:
            cls = attempt.outcome.cls
            counts.outcomes[cls] += 1
            if cls not in NOBODYS_FAULT:
                self._error(lane, attempt)
        if len(history) > 1:
            counts.failovers += len(history) - 1
        if overhead is not None:
            counts.seconds.append(seconds)
            counts.overheads.append(overhead)
            if len(counts.seconds) >= AT_ONCE:
                counts.sort_in()
        elif code == Code.NONE_AVAILABLE:
            self._errors[slug, "", NO_ORCHESTRATORS] += 1
        if served_by is not None:
            counts.price = served_by.price

    def _error(self, lane: Lane, attempt: Attempt) -> None:
        slug, cls = lane.policy.slug, attempt.outcome.cls
        address = lane.by_id[attempt.offer_id].target.service_uri
        pair = (slug, address)
        if pair not in self._told_apart:
            if len(self._told_apart) >= self._most:
                address = "others"
            else:
                self._told_apart.add(pair)
        self._errors[slug, address, cls] += 1

    def samples(self) -> Iterator[Sample]:
        for slug, counts in self._capabilities.items():
            for code, number in counts.codes.items():
                yield "byocgw_requests_total", (slug, code), number
            if not slug:
                continue
            for cls, number in counts.outcomes.items():
                yield "byocgw_attempts_total", (slug, cls), number
            yield "byocgw_failovers_total", (slug,), counts.failovers
            counts.sort_in()
            yield "byocgw_request_seconds", (slug,), counts.total.value()
            yield "byocgw_overhead_seconds", (slug,), counts.overhead.value()
            yield "livepeer_ai_models_requested", (slug, slug), counts.codes.get("ok", 0)
            if counts.price is not None:
                yield "livepeer_ai_request_price", (slug, slug), counts.price.wei / counts.price.units
        for (slug, address, cls), number in self._errors.items():
            yield "livepeer_ai_request_errors", (cls, slug, slug, address, "", ""), number
