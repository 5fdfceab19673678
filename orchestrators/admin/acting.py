"""What an operator does to several rows at once."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db import InterfaceError, OperationalError
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from orchestrators import scoreboard
from orchestrators.admin.door import note
from orchestrators.display.sentences import told
from orchestrators.display.states import word
from orchestrators.models import Certificate, Offer, OfferHealth
from orchestrators.prober import Report, Settings, Summary, run, selected

if TYPE_CHECKING:
    from orchestrators.admin.door import PolicyAdmin as Host
else:
    Host = object

# A browser waits this long for `probe now`; what is not done by then is due at once for the next prober.
PROBE_WITHIN = 15.0
MOST_NAMED = 5


class Operated(Host):
    """What operators may do without being allowed to edit (see routing/roles.py)."""

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("orchestrators.operate")


class ProbeAction(Operated):
    """`to_offer`: the lookup that leads from an offer to the selected rows."""

    to_offer = "pk__in"
    unlocked_actions = frozenset({"probe_now"})

    @admin.action(description="Probe now", permissions=["operate"])
    def probe_now(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        offers = selected().filter(**{self.to_offer: list(queryset.values_list("pk", flat=True))})
        try:
            reports, summary = probe(offers)
        except (OperationalError, InterfaceError) as error:
            self.message_user(request, _("The database is away: %s") % error, messages.ERROR)
            return
        worse = [report for report in reports if report.reason]
        level = messages.WARNING if worse or summary.unfinished or summary.poisoned else messages.SUCCESS
        self.message_user(request, _told(reports, summary), level)
        for report in worse[:MOST_NAMED]:
            found = (report.orchestrator, report.capability, word(report.after), told(report.reason))
            text = format_html("{} / {}: {}; {}", *found)
            self.message_user(request, text, messages.WARNING)


class ResetAction(Operated):
    """For offers."""

    unlocked_actions = frozenset({"reset"})

    @admin.action(description="Reset: forget what is held against it", permissions=["operate"])
    def reset(self, request: HttpRequest, queryset: QuerySet[Offer]) -> None:
        number = scoreboard.reset(queryset.values_list("pk", flat=True), timezone.now().timestamp())
        for offer in queryset:
            self.log_change(request, offer, "Reset its health.")
        text = _("%(number)s reset: as good as never tried, and due for a probe.") % {"number": number}
        self.message_user(request, text, messages.SUCCESS)


def probe(offers: QuerySet[Offer]) -> tuple[list[Report], Summary]:
    """Probe these now, sample requests included, in a bounded time.

    Raises OperationalError or InterfaceError when the database is away.
    """
    OfferHealth.objects.filter(offer__in=offers).update(next_probe_at=timezone.now(), sampled_at=None)
    stop = threading.Event()
    reports: list[Report] = []
    timer = threading.Timer(PROBE_WITHIN, stop.set)
    timer.start()
    try:
        summary = run(offers, Settings(), stop=stop, on_report=reports.append)
    finally:
        timer.cancel()
    return reports, summary


def _told(reports: list[Report], summary: Summary) -> str:
    states = Counter(report.after for report in reports)
    parts = [f"{number} {state}" for state, number in sorted(states.items())]
    text = _("%s probed") % summary.probed + (f": {', '.join(parts)}" if parts else "")
    if summary.left:
        text += "; " + _("%s held by another prober") % summary.left
    if summary.poisoned:
        text += "; " + _("%s could not be probed (see the log)") % summary.poisoned
    if summary.unfinished:
        late = _("%(number)s not finished in %(seconds)d s, due at once for the next prober")
        text += "; " + late % {"number": summary.unfinished, "seconds": PROBE_WITHIN}
    return f"{text}."


class TrustAction(Host):
    """`to_orchestrator`: the lookup that leads from a certificate to the selected rows."""

    to_orchestrator = "orchestrator__in"

    @admin.action(description="Trust the new certificate", permissions=["change"])
    def trust_new_certificate(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        certificates = Certificate.objects.select_related("orchestrator").filter(
            **{self.to_orchestrator: list(queryset.values_list("pk", flat=True))}
        )
        changed = certificates.exclude(trusted=F("seen"))
        for certificate in changed:
            note(request, f"trusted {certificate.seen} for {certificate.orchestrator}")
        homes = [each.orchestrator_id for each in changed]
        number = changed.update(trusted=F("seen"))
        # who has been out of reach for long is else looked at every few minutes only
        OfferHealth.objects.filter(offer__orchestrator__in=homes).update(next_probe_at=timezone.now())
        some = ngettext("%s new certificate trusted.", "%s new certificates trusted.", number) % number
        text = some if number else _("No certificate has changed.")
        self.message_user(request, text, messages.SUCCESS if number else messages.INFO)
