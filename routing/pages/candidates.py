"""Candidates: the offers that wait for approval, a page at a time, and what each would bring.

Its buttons lead to pages of the supply side, which ask first (orchestrators/admin/steering.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from orchestrators.models import DiscoverySource
from orchestrators.models.fields import is_key
from routing.approval import BY_HAND, TRIALS, told, waiting_for
from routing.dashboard import current_table
from routing.models.rate import eth_rate

PAGE = 25


@dataclass(frozen=True, slots=True)
class Asked:
    """What the list is asked for; "" is anything. `before`, `after`: the offer where another page ended."""

    source: str = ""
    capability: str = ""
    trial: str = ""
    before: str = ""
    after: str = ""

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> Asked:
        given = {each.name: parameters.get(each.name, "") for each in fields(cls)}
        return cls(**{name: text[:80].replace("\0", "").strip() for name, text in given.items()})

    @property
    def filters(self) -> dict[str, str]:
        told = {name: getattr(self, name) for name in ("source", "capability", "trial")}
        return {name: value for name, value in told.items() if value}


def candidates(site: AdminSite, request: HttpRequest) -> HttpResponse:
    asked = Asked.read(request.GET)
    wrong = next((text for text in (asked.before, asked.after) if not _is_number(text)), "")
    offers, more, upwards = ([], False, False) if wrong else _page(asked)
    older = offers and (more or upwards)
    newer = offers and (asked.before or (upwards and more))
    context = site.each_context(request) | {
        "title": _("Candidates"),
        "asked": asked,
        "wrong": wrong,
        "rows": told(offers, timezone.now()) if offers else [],
        "rate": eth_rate(),
        "sources": list(DiscoverySource.objects.values_list("name", flat=True)),
        "capabilities": list(current_table().policies),
        "trials": TRIALS,
        "by_hand": BY_HAND,
        "here": _url(asked.filters | {"before": asked.before, "after": asked.after}),
        "older": _url(asked.filters | {"before": str(offers[-1].pk)}) if older else "",
        "newer": _url(asked.filters | {"after": str(offers[0].pk)}) if newer else "",
        "newest": _url(asked.filters),
    }
    return TemplateResponse(request, "admin/candidates.html", context, status=400 if wrong else 200)


def _url(parameters: dict[str, str]) -> str:
    query = urlencode({name: value for name, value in parameters.items() if value})
    return reverse("admin:candidates") + (f"?{query}" if query else "")


def _is_number(text: str) -> bool:
    return not text or is_key(text)


def _page(asked: Asked) -> tuple[list[Any], bool, bool]:
    """(the offers, newest first; whether more follow in the direction of reading; whether that is upwards)."""
    upwards = bool(asked.after) and not asked.before
    rows = waiting_for(**asked.filters)
    if upwards:
        rows = rows.filter(pk__gt=int(asked.after)).order_by("pk")
    elif asked.before:
        rows = rows.filter(pk__lt=int(asked.before))
    found = list(rows[: PAGE + 1])
    shown = found[:PAGE]
    return shown[::-1] if upwards else shown, len(found) > PAGE, upwards
