"""Alerts: what is wrong now, rule by rule; who has it in hand; and the rules in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from orchestrators.changes import change_set
from orchestrators.core import schedule
from orchestrators.models.fields import is_key
from routing.alerting.round import CHORE
from routing.alerting.words import alert_in_words, rule_in_words, what_helps
from routing.core.alerting import Kind
from routing.models import Alert, AlertChannel, AlertRule, Chore

LATE = timedelta(minutes=5)  # since a round was due
FIRST = 5  # of a rule that are shown at once
ENDED = 20  # of the past that are shown
HOURS = {"1": 1, "8": 8, "24": 24, "168": 168}
USUAL: tuple[tuple[str, Kind, int | None], ...] = (
    ("nobody can serve", Kind.NOBODY, None),
    ("calls fail", Kind.ERRORS, 20),
    ("the prober is silent", Kind.PROBES, int(schedule.SILENT)),
    ("a price jumps", Kind.PRICE, 50),
    ("a certificate changes", Kind.CERTIFICATE, None),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """An alert for the page."""

    row: Alert
    said: str
    is_silent: bool

    @classmethod
    def of(cls, row: Alert, now: datetime) -> Shown:
        is_silent = row.silenced_until is not None and row.silenced_until > now
        return cls(row, alert_in_words(row), is_silent)


@dataclass(frozen=True, slots=True)
class Group:
    """The open alerts of a rule; `rest`: those beyond the first few. `failed`: channels, and why they did not
    take a message."""

    rule: AlertRule
    fix: str
    first: list[Shown]
    rest: list[Shown]
    failed: list[tuple[str, str]]

    @classmethod
    def of(cls, shown: list[Shown]) -> Group:
        failed = {
            (name, told["failed"])
            for each in shown
            for name, told in each.row.told.items()
            if told.get("failed")
        }
        row = shown[0].row
        return cls(row.rule, what_helps(row), shown[:FIRST], shown[FIRST:], sorted(failed))

    @property
    def number(self) -> int:
        return len(self.first) + len(self.rest)

    @property
    def newest(self) -> int:
        """Who acts on all of them has seen none that began later."""
        return (self.rest or self.first)[-1].row.pk


def open_alerts() -> QuerySet[Alert]:
    """That nobody has in hand, for the menu."""
    now = timezone.now()
    waiting = Alert.objects.filter(ended_at=None, acknowledged_at=None)
    return waiting.filter(Q(silenced_until=None) | Q(silenced_until__lte=now))


def alerts(site: AdminSite, request: HttpRequest) -> HttpResponse:
    """GET: the page. POST: acknowledge or silence those ticked, or all shown of a rule; add the usual rules."""
    if request.method == "POST":
        _act(request)
        return HttpResponseRedirect(reverse("admin:alerts"))
    now = timezone.now()
    channels = AlertChannel.objects.filter(enabled=True)
    rules = AlertRule.objects.select_related("capability").prefetch_related(Prefetch("channels", channels))
    rows = Alert.objects.select_related("rule__capability")
    opened = rows.filter(ended_at=None).order_by("rule__name", "id")
    due = Chore.objects.filter(name=CHORE).values_list("due", flat=True).first()
    context = {
        **site.each_context(request),
        "title": _("Alerts"),
        "groups": _by_rule(Shown.of(row, now) for row in opened),
        "ended": [Shown.of(row, now) for row in rows.exclude(ended_at=None).order_by("-ended_at")[:ENDED]],
        "rules": [(rule, rule_in_words(rule)) for rule in rules],
        "hours": [(key, number * 3600) for key, number in HOURS.items()],
        "is_late": due is None or now - due > LATE,
        "due": due,
        "may_act": request.user.has_perm("orchestrators.operate"),
        "may_add": request.user.has_perm("routing.add_alertrule"),
    }
    return TemplateResponse(request, "admin/alerts.html", context)


def _by_rule(shown: Iterable[Shown]) -> list[Group]:
    return [Group.of(list(each)) for _rule, each in groupby(shown, lambda each: each.row.rule_id)]


def _act(request: HttpRequest) -> None:
    if "usual" in request.POST:
        _add_usual(request)
        return
    if not request.user.has_perm("orchestrators.operate"):
        raise PermissionDenied
    now, who = timezone.now(), request.user.get_username()
    wanted = [key for key in request.POST.getlist("alert") if is_key(key)]
    rule, newest = request.POST.get("rule", ""), request.POST.get("newest", "")
    rows = Alert.objects.filter(ended_at=None)
    if wanted or not (is_key(rule) and is_key(newest)):
        rows = rows.filter(pk__in=wanted)
    else:
        rows = rows.filter(rule=int(rule), pk__lte=int(newest))
    hours = HOURS.get(request.POST.get("silence", ""))
    if "acknowledge" in request.POST:
        number = rows.filter(acknowledged_at=None).update(acknowledged_at=now, acknowledged_by=who)
        said = ngettext(
            "%(number)s alert is in your hand now.", "%(number)s alerts are in your hand now.", number
        )
        messages.success(request, said % {"number": number})
    elif hours is not None:
        number = rows.update(silenced_until=now + timedelta(hours=hours))
        said = ngettext(
            "%(number)s alert is silent until then.", "%(number)s alerts are silent until then.", number
        )
        messages.success(request, said % {"number": number})


def _add_usual(request: HttpRequest) -> None:
    if not request.user.has_perm("routing.add_alertrule"):
        raise PermissionDenied
    with change_set(request.user.get_username(), "the usual alert rules", "admin") as changes:
        for name, kind, threshold in USUAL:
            _rule, is_new = AlertRule.objects.get_or_create(
                name=name, defaults={"kind": kind, "threshold": threshold}
            )
            if is_new:
                changes.summary.append(f"added alert rule {name}")
    messages.success(request, _("The usual rules are there; give them a channel to be told."))
