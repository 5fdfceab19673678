"""One call's trace, as the console shows it: what was tried when, and why those and not others.

Of a JobRecord, whether it comes from the database or from a worker's memory, since the playground asks for
calls that have just ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from orchestrators.core.price import Price
from orchestrators.models import ConfigRevision, Offer
from routing import history
from routing.core.trace import span_id
from routing.decisions import unpack
from routing.journal import AttemptRecord, JobRecord
from routing.models import Client
from routing.models.rate import eth_rate
from routing.runtime import Runtime
from routing.terms import terms


@dataclass(frozen=True, slots=True)
class Span:
    """A line of the waterfall, in ms since the call came. `number` 0: no attempt, but time between them."""

    number: int
    start: int
    length: int
    word: str
    attempt: AttemptRecord | None = None
    link: str = ""
    traceparent: str = ""


def find(request_id: str) -> JobRecord | None:
    """Also one that has just ended here, and that the journal has not drained yet."""
    runtime = Runtime.running
    return (runtime and runtime.journal.recall(request_id)) or history.find(request_id)


def trace(record: JobRecord) -> dict[str, Any]:
    """For templates/admin/routing/trace.html. Four queries."""
    decision = unpack(record.decision) if record.decision else None
    homes, offers, capability = _links(record, decision)
    if decision is not None:
        dress(decision, offers)
    return {
        "job": record,
        "at": datetime.fromtimestamp(record.at, UTC),
        "spans": list(_spans(record, homes)),
        "decision": decision,
        "terms": {word: said for of in ("decision", "class", "against") for word, said in terms()[of].items()},
        "rate": eth_rate(),
        "home": homes.get(record.orchestrator, ""),
        "capability_link": capability,
        "client_link": _client_link(record.client),
        "revision": ConfigRevision.objects.filter(policy__lte=record.policy)
        .order_by("-policy", "-pk")
        .defer("bundle", "summary")
        .first(),
    }


def dress(decision: dict[str, Any], offers: dict[str, str]) -> None:
    """Add what the table shows beside what is kept: links, prices as values, the bars' length."""
    dearest = max((each["terms"]["adjusted_wei"] for each in decision["candidates"]), default=0)
    for each in decision["candidates"]:
        each["price"] = Price.parse(each["terms"]["price"])
        each["part"], each["dearest"] = each["terms"]["adjusted_wei"], dearest
        each["against"] = [mark.replace("_", " ") for mark in each["terms"]["against"]]
    for each in (*decision["candidates"], *decision["refused"]):
        each["link"] = offers.get(each["orchestrator"], "")


def offer_links(capability: str) -> dict[str, str]:
    """By orchestrator's name: the page of its offer. One query."""
    rows = Offer.objects.filter(capability__slug=capability).values_list("orchestrator__name", "pk")
    return {name: reverse("admin:orchestrators_offer_change", args=[key]) for name, key in rows}


def _links(record: JobRecord, decision: dict[str, Any] | None) -> tuple[dict[str, str], dict[str, str], str]:
    """Pages of the orchestrators, of their offers, and of the capability, as far as they are there still."""
    told = [*decision["candidates"], *decision["refused"]] if decision else []
    names = {each["orchestrator"] for each in told} | {each.orchestrator for each in record.attempts}
    homes, offers, capability = {}, {}, ""
    rows = Offer.objects.filter(capability__slug=record.capability, orchestrator__name__in=names)
    for name, home, offer, capability_id in rows.values_list(
        "orchestrator__name", "orchestrator_id", "pk", "capability_id"
    ):
        homes[name] = reverse("admin:orchestrators_orchestrator_change", args=[home])
        offers[name] = reverse("admin:orchestrators_offer_change", args=[offer])
        capability = reverse("admin:orchestrators_capability_change", args=[capability_id])
    return homes, offers, capability


def _client_link(name: str) -> str:
    key = Client.objects.filter(name=name).values_list("pk", flat=True).first()
    return "" if key is None else reverse("admin:routing_client_change", args=[key])


def _spans(record: JobRecord, homes: dict[str, str]) -> Iterator[Span]:
    """Attempts, and the time between them that belongs to none: choosing, waiting for a seat, pauses."""
    end = 0
    for number, each in enumerate(record.attempts, 1):
        start = max(round((each.at - record.at) * 1000), end)
        if start > end:
            yield Span(
                0, end, start - end, _("the gateway: choosing, waiting") if number == 1 else _("a pause")
            )
        parent = f"00-{record.trace}-{span_id(record.request_id, number)}-00" if record.trace else ""
        yield Span(number, start, each.ms, each.outcome, each, homes.get(each.orchestrator, ""), parent)
        end = start + each.ms
    if record.ms > end:
        yield Span(
            0,
            end,
            record.ms - end,
            _("the rest of the answer") if record.attempts else _("the gateway, until it refused"),
        )
