"""Rows -> table, whole."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from math import inf

from routing.table.ceilings import by_tier, ceilings_of, lane
from routing.table.clients import known_by
from routing.table.facts import Lane, PipelineEntry, RoutingTable
from routing.table.offers import Offers, sort
from routing.table.policies import Plan, plans_of
from routing.table.rows import Rows, read


def build(workers: int) -> RoutingTable:
    """The table as of now. `workers`: processes that share every limit. Raises django.db.Error."""
    return assemble(read(), workers)


def assemble(rows: Rows, workers: int) -> RoutingTable:
    """The table of these rows. No query."""
    plans = plans_of(rows.capabilities)
    slugs = {plan.policy.id: plan.policy.slug for plan in plans}
    offers = sort(plans, rows.homes, rows.offers, workers, rows.reputations, time.time())
    keys, networks = known_by(rows.callers, slugs, workers)
    return RoutingTable(
        revision=rows.revision,
        keys=keys,
        networks=networks,
        policies={plan.policy.slug: plan.policy for plan in plans},
        lanes=_lanes(plans, offers, rows),
        entries={plan.policy.slug: tuple(offers[plan.policy.id].entries) for plan in plans},
        slugs=_slugs(plans, offers),
        signatures=rows.signatures,
        signatures_of_success=tuple(each for each in rows.signatures if each.status_from < 300),
        pipelines={
            path: PipelineEntry(slugs[capability], names if isinstance(names, dict) else {})
            for path, capability, names in rows.pipelines
            if capability in slugs
        },
        until=min((each.until for each in offers.values()), default=inf),
    )


def _lanes(plans: list[Plan], offers: Mapping[int, Offers], rows: Rows) -> dict[tuple[str, str | None], Lane]:
    ceilings = ceilings_of(rows.ceilings)
    return {
        (plan.policy.slug, tier): lane(plan, offers[plan.policy.id], applying)
        for plan in plans
        for tier, applying in by_tier(ceilings[plan.policy.id]).items()
    }


def _slugs(plans: list[Plan], offers: Mapping[int, Offers]) -> dict[str, str]:
    """Wire names that lead to one capability: all of its offers carry it, and those of no other do."""
    by_name = defaultdict(list)
    for plan in plans:
        names = offers[plan.policy.id].wire_names
        if len(names) == 1:
            by_name[next(iter(names))].append(plan.policy.slug)
    return {name: slugs[0] for name, slugs in by_name.items() if len(slugs) == 1}
