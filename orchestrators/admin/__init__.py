"""The admin of the supply side.

door       PolicyAdmin: what people decide; every write is one change set
meanwhile  two people edit one row: the second save is told what the first one changed
choosing   fields for rows that are at hand
doomed     what goes with rows that are deleted
columns    values of rows as the console writes them: moments, prices, states
lines      PolicyInline: rows on their parent's page, without a query for each
measured   MeasuredAdmin: what machines wrote; to be read, at any size of the table
reading    ReadOnly: whatever nobody edits
standing   the offers' list by where they stand
deleting   what would be missed, and why it is done all the same
steering   activate, drain, disable, ignore: what would follow, and why
approving  what waits is let in, with a share, or rejected
acting     probe now, reset, trust
trying     run a trial; trials, and reputation with what moved it
advice     what is allowed and seldom wise: said after saving
supply     profiles, capabilities, orchestrators, offers, certificates
signatures what answers are known by, and a page to try it
discovery  sources, what they said, and a page that asks them and applies what is new
evidence   adverts, health, snapshots
"""

from __future__ import annotations

from orchestrators.admin import discovery, evidence, signatures
from orchestrators.admin.door import PolicyAdmin, warn
from orchestrators.admin.lines import PolicyInline
from orchestrators.admin.measured import (
    BoundedPaginator,
    MeasuredAdmin,
    MeasuredInline,
    NameFilter,
    TimeFilter,
)
from orchestrators.admin.supply import CapabilityAdmin, OrchestratorAdmin

__all__ = [
    "BoundedPaginator",
    "CapabilityAdmin",
    "MeasuredAdmin",
    "MeasuredInline",
    "NameFilter",
    "OrchestratorAdmin",
    "PolicyAdmin",
    "PolicyInline",
    "TimeFilter",
    "discovery",
    "evidence",
    "signatures",
    "warn",
]
