"""Discovery: sources are asked, their answers remembered, and what is new is proposed and applied (R69, R70).

fetching   a source -> the bytes of its answer, or the sentence why not
memory     answers -> last good entries with their age, and one run of each source
proposal   what all sources say, merged -> orchestrators and offers, by one change set

A source that fails, or answers something else than its format, changes nothing. One that names fewer than
before is an event, never a removal. What is found waits in mode `discovered` unless its source is trusted.
"""

from __future__ import annotations

from orchestrators.discovery.memory import Look, due, look, remember
from orchestrators.discovery.proposal import Plan, apply, propose

__all__ = ["Look", "Plan", "apply", "due", "look", "propose", "remember"]
