"""What the words of a decision mean, for whoever reads one: in the console, from `explain`, over the API.

A word that `decisions` or `explain` tells has its sentence here, and docs/routing.md says the same; tests
compare. What the fields of jobs, attempts and health mean stands with the models, as their help texts.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import Model

from orchestrators.core.effects import in_words
from orchestrators.core.outcome import Outcome, OutcomeClass
from routing.core.selection import Why
from routing.models import Attempt, Job

DECISION: Mapping[str, str] = {
    "capability": "What is asked for.",
    "revision": "The policy number of the routing table that decides.",
    "ceiling": "The least price ceiling that applies; none: any price; free offers only: nothing is decided.",
    "ceiling_shown": "The ceiling in wei and, where a rate is known, in USD.",
    "ceiling_excludes": "How many of the active offers with a price are above the ceiling.",
    "chosen": "Who goes first.",
    "candidates": "Those that may be asked, best first: by class, then by adjusted price.",
    "orchestrator": "Whose offer it is.",
    "class": "Offers of a better class go first, whatever they cost.",
    "terms": "What the adjusted price is made of, and what the class rests on.",
    "price": "What the orchestrator quotes; exact.",
    "units": "How much of the price's unit a usual call takes.",
    "latency_ms": "Expected milliseconds: a peak-weighted average of its warm answers, more with a full house.",
    "value_of_second_wei": "What a second of waiting is worth: 0 asks the cheapest, very much the fastest.",
    "failure": "Probability that a call fails: its last 30 s, and how far its orchestrator is trusted.",
    "reputation": "Its orchestrator's, 0 to 100; part of the failure probability already.",
    "adjusted_wei": "(price x units + value of a second x expected seconds) / probability of success.",
    "state": "Its health: unknown, healthy, degraded, down or on probation.",
    "warm": "Its model is known to be loaded.",
    "in_flight": "Calls that this worker has there now.",
    "seats": "Calls that this worker may have there at once.",
    "share": "The part of the traffic it may win at the most, 0 to 1.",
    "against": "What ranks it lower.",
    "evidence": "What that rests on.",
    "refused": "Those that may not be asked.",
    "reason": "Why not, in a word.",
    "detail": "Why not, exactly.",
    "draws": "The dice, 0 to 1: two drew the pair of which the cheaper goes first, the third who took part.",
}

CLASS: Mapping[str, str] = {
    "ready": "Healthy, known to be warm, heard of lately, quick to start.",
    "second": "Degraded, unknown, cold, stale, slow to start, short of slots, or beside poor-fit work.",
    "probation": "It was down, or has just failed, and has to prove itself.",
    "last_resort": "Nobody else is left: the one whose time comes soonest, one call at a time.",
}

AGAINST: Mapping[str, str] = {
    "stale": "Nothing was heard of it for longer than its profile calls fresh.",
    "slow_start": "Its latest cold start took more than 10 s.",
    "poor_fit": "Its orchestrator also does long or stateful work, which slows every other job there.",
    "doubted": "Its latest answer was a fault, and another call is finding out what that means.",
    "falling": "Its free slots fell to half of the most it claimed, and have not risen.",
    "slow": "The p95 of its warm answers is above the profile's target.",
    "contention": "Its warm answers are uneven, as on a GPU shared with others.",
    "eviction": "A warm offer's answer took as long as loading: its model was probably evicted.",
}

REASON: Mapping[Why, str] = {
    Why.PRICE_CEILING: "Its price is above the ceiling, or has none to be compared with.",
    Why.PRICE_UNIT: "Its price is for another unit than the ceiling's; the two never compare.",
    Why.BAD_QUOTE: "No price that could be paid is known.",
    Why.NOT_CLAIMED: "Its orchestrator does not claim the capability.",
    Why.MODE_OFFER: "People keep traffic away from the offer.",
    Why.MODE_ORCHESTRATOR: "People keep traffic away from its orchestrator.",
    Why.DOWN: "It failed too often lately; its time is not over.",
    Why.BUSY: "It asked to be left alone for a while.",
    Why.NO_SEAT: "It has as many calls in flight as it may have.",
    Why.TRIED: "This request has asked it already.",
    Why.EXCLUDED: "The request excludes its orchestrator.",
    Why.NOT_INCLUDED: "The request includes other orchestrators only.",
    Why.REJECTED: "It refuses this gateway's credentials or payment.",
    Why.API_MISMATCH: "Its answers are not what the capability promises.",
    Why.PAYMENT: "It wants to be paid in a way this gateway cannot.",
}


def terms() -> dict[str, dict[str, str]]:
    """All of them, by what they are words of."""
    return {
        "decision": dict(DECISION),
        "class": dict(CLASS),
        "against": dict(AGAINST),
        "reason": {why.value: sentence for why, sentence in REASON.items()},
        "outcome": {cls.value: " ".join(in_words(Outcome(cls))) for cls in OutcomeClass},
        "job": _help_of(Job),
        "attempt": _help_of(Attempt),
    }


def _help_of(model: type[Model]) -> dict[str, str]:
    return {field.name: str(field.help_text) for field in model._meta.fields if field.help_text}
