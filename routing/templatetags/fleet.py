"""`{% load fleet %}`: how an orchestrator fares, and what would be missed, for pages of the supply side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import template
from django.utils import timezone

from orchestrators.models import Mode, Offer, Orchestrator
from orchestrators.standing import waits
from routing import fleet, preview

register = template.Library()


@register.simple_tag
def fares(home: Orchestrator) -> dict[str, Any]:
    return fleet.fleet(home, timezone.now())


@register.inclusion_tag("admin/losses.html")
def losses(rows: Iterable[Orchestrator | Offer] | Orchestrator | Offer) -> dict[str, Any]:
    """Of what is active alone: what is off already is not missed."""
    rows = [rows] if isinstance(rows, Orchestrator | Offer) else rows
    return {"losses": fleet.losses(_active(rows), timezone.now())}


@register.inclusion_tag("admin/gains.html")
def gains(rows: Iterable[Offer], percent: Any) -> dict[str, Any]:
    """Of what waits alone: the rest is left as it is. `percent`: as somebody typed it."""
    return {"gains": preview.gains(filter(waits, rows), _share(percent), timezone.now())}


def _share(percent: Any) -> float:
    try:
        return min(max(float(percent) / 100, 0.0), 1.0)
    except (TypeError, ValueError):
        return 1.0


def _active(rows: Iterable[Any]) -> Iterable[Offer]:
    rows = list(rows)
    homes = [row.pk for row in rows if isinstance(row, Orchestrator)]
    offers: Iterable[Offer] = rows
    if homes:
        offers = Offer.objects.filter(orchestrator__in=homes).select_related("orchestrator", "capability")
    return [each for each in offers if each.mode == each.orchestrator.mode == Mode.ACTIVE]
