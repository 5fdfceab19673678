"""What holds now, from a worker's memory. Samples as in `routing.counts`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

from django.conf import settings
from prometheus_client import ProcessCollector

from orchestrators.core import health as healths
from orchestrators.core.health import State as OfferState
from orchestrators.scoreboard import Live
from routing.core.histogram import Sample
from routing.journal import State as JournalState
from routing.metrics.families import FAMILIES
from routing.readiness import State, checks
from routing.runtime import Runtime
from routing.table import OfferEntry, RoutingTable

AT_ONCE = 200  # offers looked at before others have their turn on the event loop
VALUE = {State.OK: 1.0, State.DEGRADED: 0.5, State.NOT_READY: 0.0}
_process = ProcessCollector(registry=None)


def of_worker(runtime: Runtime, now: float, wall: float) -> Iterator[Sample]:
    """What each worker has of its own. `now`: monotonic seconds; `wall`: since the epoch."""
    journal = runtime.journal
    yield "byocgw_workers", (), 1
    yield "byocgw_build_info", (settings.VERSION,), 1
    yield "byocgw_admission_rejected_total", (), runtime.turned_away
    yield "byocgw_requests_in_flight", (), runtime.in_flight
    yield "byocgw_kept_in_flight", (), len(runtime.keeper.runs)
    yield "byocgw_loop_lag_seconds", (), runtime.lag
    yield "byocgw_journal_backlog_bytes", (), journal.backlog
    yield "byocgw_journal_lag_seconds", (), journal.lag
    yield "byocgw_journal_dropping", (), float(journal.state is JournalState.DROPPING)
    yield "byocgw_journal_dropped_total", (), journal.dropped
    yield "byocgw_journal_rejected_total", (), journal.rejected
    yield "byocgw_database_up", (), float(not runtime.database_away)
    yield "byocgw_table_revision", (), runtime.table.revision
    yield "byocgw_table_age_seconds", (), now - runtime.built_at
    yield "byocgw_table_confirmed_age_seconds", (), now - runtime.confirmed_at
    for name, check in checks(runtime, now, wall).items():
        yield "byocgw_check", (name,), VALUE[check.state]
    for slug, number in _busy(runtime):
        yield "byocgw_attempts_in_flight", (slug,), number
    yield from under_way(runtime)
    yield from of_clients(runtime)
    for slug, number in runtime.service.waiting.items():
        yield "byocgw_waiting", (slug,), number
    for metric in _process.collect():
        for sample in metric.samples:
            if sample.name in FAMILIES:
                yield sample.name, (), sample.value


def under_way(runtime: Runtime) -> Iterator[Sample]:
    """The calls of this worker, for whoever asks what a drain would wait for; in any thread."""
    table, calls = runtime.table, runtime.board.calls()
    for slug in table.policies if calls else ():
        for offer in table.offers_of(slug):
            if offer.id in calls:
                yield "byocgw_calls_under_way", (slug, offer.orchestrator), calls[offer.id]


def of_clients(runtime: Runtime) -> Iterator[Sample]:
    """The calls of this worker by whose they are; in any thread."""
    for client_id, number in runtime.allowances.in_flight.items():
        yield "byocgw_client_calls_in_flight", (str(client_id),), number


def _busy(runtime: Runtime) -> Iterator[tuple[str, int]]:
    busy = Counter[str]()
    for offer_id in runtime.board.busy_offers():
        busy[runtime.table.capability_of.get(offer_id, "")] += runtime.board.live(offer_id).in_flight
    for slug in runtime.table.policies:
        yield slug, busy[slug]


async def of_fleet(runtime: Runtime, wall: float, most: int) -> list[Sample]:
    """What every worker knows alike; offers beyond the first `most` have no gauges of their own."""
    table = runtime.table
    found: list[Sample] = list(_ceilings(table))
    if runtime.probed_at is not None:
        found.append(("byocgw_probe_age_seconds", (), max(0.0, wall - runtime.probed_at)))
    states = {(slug, state.value): 0 for slug in table.policies for state in OfferState}
    seen = 0
    for slug in table.policies:
        for offer in table.offers_of(slug):
            live = runtime.board.live(offer.id)
            state = healths.at(live.health, wall).state
            states[slug, state.value] += 1
            if seen < most:
                found += _of_offer(slug, offer, live, state)
            seen += 1
            if seen % AT_ONCE == 0:
                await asyncio.sleep(0)
    found += [("byocgw_offers", labels, number) for labels, number in states.items()]
    found.append(("byocgw_offers_left_out", (), max(0, seen - most)))
    return found


def _of_offer(slug: str, offer: OfferEntry, live: Live, state: OfferState) -> Iterator[Sample]:
    labels = (slug, offer.orchestrator)
    yield "byocgw_offer_up", labels, float(state is not OfferState.DOWN)
    yield "byocgw_offer_in_flight", labels, live.in_flight
    if live.latency.mean is not None:
        yield "byocgw_offer_latency_seconds", labels, live.latency.mean
        stock = (slug, slug, offer.target.service_uri, "", "")
        yield "livepeer_ai_request_latency_score", stock, live.latency.mean


def _ceilings(table: RoutingTable) -> Iterator[Sample]:
    """Per lane; `tier` is empty for clients without a ceiling of their tier's own."""
    for (slug, tier), lane in table.lanes.items():
        labels = (slug, tier or "")
        excluded, offers = lane.ceiling_excluded
        yield "byocgw_ceiling_excluded_offers", labels, excluded
        yield "byocgw_ceiling_offers", labels, offers
