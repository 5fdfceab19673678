"""Rows -> table, whole, and consistent as far as autocommit allows."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from math import inf

from django.db import DatabaseError, connection

from orchestrators.models import FailureSignature, Revision
from orchestrators.reputation import scores
from routing.models import Pipeline
from routing.table.ceilings import by_tier, lane, read_ceilings
from routing.table.clients import read_callers
from routing.table.facts import Lane, OfferEntry, PipelineEntry, RoutingTable
from routing.table.offers import Offers, read_offers
from routing.table.policies import Plan, read_plans

READS = 5  # of a table that keeps changing under us; the next look would find it out of date anyway


def numbers() -> tuple[int, int]:
    """(policy, health). Raises django.db.Error when the database is away or not migrated."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT policy, health FROM {Revision._meta.db_table} WHERE id = 1")
        row = cursor.fetchone()
    if row is None:
        raise DatabaseError("The revision row is missing: run manage.py migrate.")
    return row[0], row[1]


def build(workers: int) -> RoutingTable:
    """The table as of now. `workers`: processes that share every limit. Raises django.db.Error."""
    for _ in range(READS):
        before, _ = numbers()
        table = _assemble(before, workers)
        if numbers()[0] == before:
            break
    return table


def suppose(table: RoutingTable, approved: Mapping[int, float], workers: int) -> RoutingTable:
    """The table with these offers let in, with their shares by offer id; nothing is written. Five queries.
    Raises django.db.Error.
    """
    plans, now = read_plans(), time.time()
    offers = read_offers(plans, workers, scores(now), now, approved)
    return replace(table, lanes=_lanes(plans, offers), entries=_entries(plans, offers))


def _assemble(revision: int, workers: int) -> RoutingTable:
    plans = read_plans()
    now = time.time()
    offers = read_offers(plans, workers, scores(now), now)
    callers = read_callers(workers)
    policies = {plan.policy.slug: plan.policy for plan in plans}
    signatures = FailureSignature.objects.in_force()
    return RoutingTable(
        revision=revision,
        keys=callers.keys,
        networks=callers.networks,
        policies=policies,
        lanes=_lanes(plans, offers),
        entries=_entries(plans, offers),
        slugs=_slugs(plans, offers),
        signatures=signatures,
        signatures_of_success=tuple(each for each in signatures if each.status_from < 300),
        pipelines=_pipelines(),
        until=min((each.until for each in offers.values()), default=inf),
    )


def _lanes(plans: list[Plan], offers: Mapping[int, Offers]) -> dict[tuple[str, str | None], Lane]:
    ceilings = read_ceilings()
    return {
        (plan.policy.slug, tier): lane(plan, offers[plan.policy.id], applying)
        for plan in plans
        for tier, applying in by_tier(ceilings[plan.policy.id]).items()
    }


def _entries(plans: list[Plan], offers: Mapping[int, Offers]) -> dict[str, tuple[OfferEntry, ...]]:
    return {plan.policy.slug: tuple(offers[plan.policy.id].entries) for plan in plans}


def _pipelines() -> dict[str, PipelineEntry]:
    rows = Pipeline.objects.values_list("path", "capability__slug", "wire_names")
    return {path: PipelineEntry(slug, names if isinstance(names, dict) else {}) for path, slug, names in rows}


def _slugs(plans: list[Plan], offers: Mapping[int, Offers]) -> dict[str, str]:
    """Wire names that lead to one capability: all of its offers carry it, and those of no other do."""
    by_name = defaultdict(list)
    for plan in plans:
        names = offers[plan.policy.id].wire_names
        if len(names) == 1:
            by_name[next(iter(names))].append(plan.policy.slug)
    return {name: slugs[0] for name, slugs in by_name.items() if len(slugs) == 1}
