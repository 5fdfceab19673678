"""Letting in what waits: an offer is approved with a share of the traffic, or rejected; each with a reason."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _

from orchestrators.admin.door import note
from orchestrators.admin.steering import OfferSteering
from orchestrators.models import Mode, Offer, Orchestrator
from orchestrators.standing import WAITING, waiting


class Approving(OfferSteering):
    """For offers. What does not wait any more when the answer comes is left alone."""

    steps = (*OfferSteering.steps, "approve", "reject")

    def _steer(self, request: HttpRequest, step: str, rows: QuerySet[Any], said: dict[str, Any]) -> None:
        if step not in ("approve", "reject"):
            super()._steer(request, step, rows, said)
            return
        chosen = list(waiting().filter(pk__in=rows).select_related("orchestrator", "capability"))
        left = rows.count() - len(chosen)
        told = _approve(request, chosen, said["share"]) if step == "approve" else _reject(request, chosen)
        self.message_user(request, told, messages.SUCCESS if chosen else messages.INFO)
        if left:
            text = _("%(left)s did not wait for approval any more and stay as they are.") % {"left": left}
            self.message_user(request, text, messages.WARNING)


def _approve(request: HttpRequest, chosen: list[Offer], percent: Decimal) -> str:
    _admit_homes(request, chosen)
    share = float(percent / 100)
    _named(chosen).update(mode=Mode.ACTIVE, share=share, ignored_until=None)
    for each in chosen:
        note(request, f"{Mode.ACTIVE}, share {share:g}: {each}")
    text = _(
        "%(number)s approved, for %(share)s %% of the traffic at the most; the gateway knows within a second."
    )
    return text % {"number": len(chosen), "share": f"{percent:f}"}


def _reject(request: HttpRequest, chosen: list[Offer]) -> str:
    _named(chosen).update(mode=Mode.DISABLED)
    for each in chosen:
        note(request, f"{Mode.DISABLED}: {each}")
    return _("%(number)s rejected: they are disabled now.") % {"number": len(chosen)}


def _named(offers: Iterable[Offer]) -> QuerySet[Offer]:
    return Offer.objects.filter(pk__in=[each.pk for each in offers])


def _admit_homes(request: HttpRequest, chosen: Iterable[Offer]) -> None:
    """Their orchestrators become active with them. What only these held back goes on waiting, of its own."""
    homes = {each.orchestrator_id: each.orchestrator for each in chosen if each.orchestrator.mode in WAITING}
    held = Offer.objects.filter(orchestrator__in=homes, mode=Mode.ACTIVE).exclude(
        pk__in=[each.pk for each in chosen]
    )
    for offer in held.select_related("orchestrator", "capability"):
        Offer.objects.filter(pk=offer.pk).update(mode=offer.orchestrator.mode)
        note(request, f"{offer.orchestrator.mode}: {offer}")
    for home in homes.values():
        note(request, f"{Mode.ACTIVE}: {home}")
    Orchestrator.objects.filter(pk__in=homes).update(mode=Mode.ACTIVE)
