"""What an operator does to several rows at once."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db import InterfaceError, OperationalError, models
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
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
    """For orchestrators, and for their certificates, which have the same keys. What the list showed is trusted,
    and nothing that was seen since."""

    def action_checkbox(self, obj: models.Model) -> SafeString:
        box = super().action_checkbox(obj)
        certificate = obj if isinstance(obj, Certificate) else getattr(obj, "certificate", None)
        if certificate is None or not certificate.changed:
            return box
        shown = '{}<input type="hidden" name="{}" value="{}">'
        return format_html(shown, box, _shown_as(certificate), certificate.seen)

    @admin.action(description="Trust the new certificate", permissions=["change"])
    def trust_new_certificate(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        chosen = Certificate.objects.filter(pk__in=list(queryset.values_list("pk", flat=True)))
        changed = list(chosen.exclude(trusted=F("seen")).select_related("orchestrator"))
        shown = [each for each in changed if request.POST.get(_shown_as(each)) == each.seen]
        for certificate in shown:
            Certificate.objects.filter(pk=certificate.pk).update(trusted=certificate.seen)
            note(request, f"trusted {certificate.seen} for {certificate.orchestrator}")
        # who has been out of reach for long is else looked at every few minutes only
        homes = [each.orchestrator_id for each in shown]
        OfferHealth.objects.filter(offer__orchestrator__in=homes).update(next_probe_at=timezone.now())
        if shown:
            some = ngettext("%s new certificate trusted.", "%s new certificates trusted.", len(shown))
            self.message_user(request, some % len(shown), messages.SUCCESS)
        elif not changed:
            self.message_user(request, _("No certificate has changed."), messages.INFO)
        for certificate in [each for each in changed if each not in shown][:MOST_NAMED]:
            text = _("Not trusted: %(orchestrator)s shows %(seen)s by now, which the list did not show.")
            now = {"orchestrator": certificate.orchestrator, "seen": certificate.seen}
            self.message_user(request, text % now, messages.WARNING)


def _shown_as(certificate: Certificate) -> str:
    """The field of the list that says what it showed."""
    return f"certificate-{certificate.pk}"
