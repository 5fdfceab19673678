"""Configuration as code: everything people decide, as one document.

    document    text (YAML, JSON) -> plain values, bounded
    sections    what may stand in each section, and how a value becomes a field and back
    exporting   database -> document; which columns it is made of
    present     what there is, as objects in memory
    applying    document -> database, all or nothing; pruning: what the document leaves out
    difference  two documents -> what differs

A document is declarative: an omitted key means its default, so applying the same one twice changes
nothing the second time. Natural names are identities: a rename is a removal and an addition. What
is not decided by people is never part of it: keys, adverts, measurements, certificates.
"""

from __future__ import annotations

from routing.configuration.applying import Plan, apply, plan
from routing.configuration.difference import difference
from routing.configuration.exporting import export, watch

__all__ = ["Plan", "apply", "difference", "export", "plan", "watch"]
