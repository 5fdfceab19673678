"""What a table is made of, as the database has it: plain rows, each table of it read by one query.

Who asks what a change would bring has a table built of changed rows. They are changed here, in memory, and
nothing is written: the same code decides as of rows that were.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db import DatabaseError, connection

from orchestrators.core.signature import Signature
from orchestrators.models import Capability, FailureSignature, Mode, Revision
from orchestrators.reputation import scores
from orchestrators.standing import WAITING
from routing.models import Pipeline, PriceCeiling
from routing.table import ceilings, clients, offers, policies

READS = 5  # of rows that keep changing under us; the next look would find them out of date anyway


@dataclass(frozen=True, slots=True)
class Rows:
    """`revision`: the policy number they show. `reputations`: 0 to 100 by orchestrator; missing: 100."""

    revision: int
    capabilities: list[dict[str, Any]]
    reputations: Mapping[int, float]
    homes: list[Any]
    offers: list[Any]
    callers: clients.Callers
    signatures: tuple[Signature, ...]
    ceilings: list[ceilings.Row]
    pipelines: list[tuple[str, int, Any]]  # path, capability, wire names

    def approving(self, shares: Mapping[int, float]) -> Rows:
        """With these offers let in, with their shares from 0 to 1 by offer. Their orchestrators are let in with
        them; what only these held back goes on waiting."""
        chosen = {row.orchestrator_id for row in self.offers if row.id in shares}
        waited = {home.id: home.mode for home in self.homes if home.id in chosen and home.mode in WAITING}

        def after(row: Any) -> Any:
            if row.id in shares:
                return row._replace(mode=Mode.ACTIVE, share=shares[row.id], ignored_until=None)
            is_held = row.mode == Mode.ACTIVE and row.orchestrator_id in waited
            return row._replace(mode=waited[row.orchestrator_id]) if is_held else row

        return replace(
            self,
            homes=[home._replace(mode=Mode.ACTIVE) if home.id in waited else home for home in self.homes],
            offers=[after(row) for row in self.offers],
        )

    def saving(self, capability: Capability, own: Iterable[PriceCeiling]) -> Rows:
        """With this capability as it is in memory, and these as its only ceilings."""
        row = policies.row_of(capability)
        return replace(
            self,
            capabilities=sorted(
                (row if each["id"] == capability.pk else each for each in self.capabilities),
                key=lambda each: each["slug"],
            ),
            ceilings=[
                *(each for each in self.ceilings if each[0] != capability.pk),
                *(ceilings.row_of(capability.pk, each) for each in own),
            ],
        )


def numbers() -> tuple[int, int]:
    """(policy, health). Raises django.db.Error when the database is away or not migrated."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT policy, health FROM {Revision._meta.db_table} WHERE id = 1")
        row = cursor.fetchone()
    if row is None:
        raise DatabaseError("The revision row is missing: run manage.py migrate.")
    return row[0], row[1]


def read() -> Rows:
    """As of now, and belonging together as far as autocommit allows. Raises django.db.Error."""
    for _ in range(READS):
        before, _ = numbers()
        rows = _read(before)
        if numbers()[0] == before:
            break
    return rows


def _read(revision: int) -> Rows:
    return Rows(
        revision=revision,
        capabilities=policies.read(),
        reputations=scores(time.time()),
        homes=offers.read_homes(),
        offers=offers.read(),
        callers=clients.read(),
        signatures=FailureSignature.objects.in_force(),
        ceilings=ceilings.read(),
        pipelines=list(Pipeline.objects.values_list("path", "capability_id", "wire_names")),
    )
