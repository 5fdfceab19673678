"""The routing table: everything decided and claimed, as one immutable snapshot in memory.

    read() -> Rows --assemble()--> RoutingTable --lane()--> whom clients may use, and why not others

The data plane reads nothing else: a request costs dict look-ups, never a query. Whenever the policy
number moves, a whole new table is built and swapped in; nothing is ever changed in place.

Static rules are applied here, once per build: modes, a known price, the ceiling. The order in which they
are asked is the order in which an operator would put things right.

A change that nobody has saved is tried on rows in memory (`Rows.saving`, `Rows.approving`).

Rows are read as plain tuples, in autocommit: inside a transaction of our kind a read would take SQLite's
write lock. So that they belong together, the number is looked at before and after. One bad row, written
past all validation, costs its own offer and nothing else.

    rows        all that is read, and changed      building    rows -> table
    policies, offers, ceilings, clients            each its own rows
    facts       what a table is made of
"""

from __future__ import annotations

from routing.table.building import assemble, build
from routing.table.facts import CapabilityPolicy, ClientEntry, KeyEntry, Lane, OfferEntry, RoutingTable
from routing.table.rows import Rows, numbers, read

__all__ = [
    "CapabilityPolicy",
    "ClientEntry",
    "KeyEntry",
    "Lane",
    "OfferEntry",
    "RoutingTable",
    "Rows",
    "assemble",
    "build",
    "numbers",
    "read",
]
