"""Trials and reputation, as people see them: run one, read its scorecard, see what moved a score."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from orchestrators.admin.acting import Operated
from orchestrators.admin.columns import milliseconds, moment, price, sentence, state
from orchestrators.admin.evidence import CapabilityFilter, OfEveryOffer, OrchestratorFilter
from orchestrators.admin.measured import MeasuredAdmin, NameFilter, WordFilter
from orchestrators.core.reputation import FORGOTTEN_AFTER, Kind, left, score, trust
from orchestrators.core.scorecard import Verdict
from orchestrators.display.moments import when
from orchestrators.display.sentences import told
from orchestrators.display.states import word
from orchestrators.models import Offer, Orchestrator, ReputationEvent, Trial
from orchestrators.prober import selected
from orchestrators.standing import waits
from orchestrators.trial import Order, Result, Summary, run

# A browser waits for the trials that have begun by then, a minute and a half at the longest.
TRY_WITHIN = 20.0
MOST_TOLD = 5
MOST_EVENTS = 10
MOST_TRIALS = 12
_LEVELS = {Verdict.PASS: messages.SUCCESS, Verdict.WARN: messages.WARNING, Verdict.FAIL: messages.ERROR}


class TrialAction(Operated):
    """For offers."""

    unlocked_actions = frozenset({"run_trial"})

    @admin.action(
        description="Run a trial: some fifteen sample requests, up to a minute", permissions=["operate"]
    )
    def run_trial(self, request: HttpRequest, queryset: QuerySet[Offer]) -> None:
        offers = selected().filter(pk__in=list(queryset.values_list("pk", flat=True)))
        untriable = [str(each) for each in offers.filter(capability__sample_request__isnull=True)[:MOST_TOLD]]
        if untriable:
            text = _("No sample request to try it with: %s.") % ", ".join(untriable)
            self.message_user(request, text, messages.WARNING)
        order = Order(
            who=request.user.get_username(), why="admin: passed its trial", via="admin", within=TRY_WITHIN
        )
        results: list[Result] = []
        try:
            summary = run(offers, order, on_result=results.append)
        except (OperationalError, InterfaceError) as error:
            self.message_user(request, _("The database is away: %s") % error, messages.ERROR)
            return
        self._tell(request, results, summary)

    def _tell(self, request: HttpRequest, results: list[Result], summary: Summary) -> None:
        for result in results[:MOST_TOLD]:
            self.message_user(request, _told(result), _LEVELS[result.card.verdict])
        more = len(results) - MOST_TOLD
        parts = [_("%s more tried: see the trials") % more if more > 0 else ""]
        parts.append(_("%s not tried: a prober is at work there") % summary.left if summary.left else "")
        parts.append(_("%s not begun in time") % summary.unfinished if summary.unfinished else "")
        if any(parts):
            self.message_user(request, f"{'; '.join(filter(None, parts))}.", messages.WARNING)


def _told(result: Result) -> SafeString:
    points = ((word(each.name), told(each.sentence)) for each in result.card.wrong)
    wrong = format_html_join("", " {}: {}", points)
    active = _("It is active now.") if result.activated else ""
    return format_html("{}: {}.{} {}", result.offer, word(result.card.verdict), wrong, active)


class VerdictFilter(WordFilter):
    title = parameter_name = "verdict"

    def names(self) -> list[str]:
        return [each.value for each in Verdict]


class KindFilter(WordFilter):
    title = parameter_name = "kind"

    def names(self) -> list[str]:
        return [each.value for each in Kind]


@admin.register(Trial)
class TrialAdmin(OfEveryOffer):
    none_yet = "No trial yet. Run one at Candidates, at Offers, or with manage.py run_trial ORCHESTRATOR."
    measured = (milliseconds("cold_ms"), milliseconds("warm_ms"), milliseconds("warm_p95_ms"))
    list_display = (
        *(moment("at"), "offered", state("verdict"), *measured),
        *("calls", price("price"), "who"),
    )
    list_filter = (VerdictFilter, OrchestratorFilter, CapabilityFilter)
    ordering = ("-id",)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The scorecard, and how its offer did before and since."""
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request):
            raise PermissionDenied
        trial = self.get_object(request, unquote(object_id))
        if trial is None:
            raise Http404
        offer = Offer.objects.select_related("orchestrator", "capability").get(pk=trial.offer_id)
        context = self.admin_site.each_context(request) | {
            "title": _("Trial of %(offer)s") % {"offer": offer},
            "opts": self.opts,
            "trial": trial,
            "offer": offer,
            "waits": waits(offer),
            "others": Trial.objects.filter(offer=offer).order_by("-id")[:MOST_TRIALS],
        }
        return TemplateResponse(request, "admin/orchestrators/trial/scorecard.html", context)


class HomeFilter(NameFilter):
    title = "orchestrator"
    parameter_name = "orchestrator__name"

    def names(self) -> list[str]:
        return list(Orchestrator.objects.values_list("name", flat=True))


@admin.register(ReputationEvent)
class ReputationEventAdmin(MeasuredAdmin):
    list_display = (moment("at"), "orchestrator", state("kind"), "points", "offer", sentence("detail"))
    list_filter = (KindFilter, HomeFilter)
    list_select_related = ("orchestrator", "offer__orchestrator", "offer__capability")
    ordering = ("-id",)


class ReputationMixin:
    """For orchestrators, with `with_events` around their queryset."""

    @admin.display(description="reputation")
    def reputation(self, orchestrator: Orchestrator) -> str:
        events = [each.as_event() for each in orchestrator.reputation_events.all()]
        return f"{score(events, timezone.now().timestamp()):.0f}"

    @admin.display(description="what moved it")
    def moved_by(self, orchestrator: Orchestrator) -> SafeString | str:
        """The score as it enters routing, and the latest events with what is left of each."""
        now = timezone.now().timestamp()
        events = list(orchestrator.reputation_events.all())
        if not events:
            return _("Nothing has been held against it: 100 of 100.")
        value = score([each.as_event() for each in events], now)
        rows = (
            (
                when(each.at, timezone.now()),
                word(each.kind),
                f"{each.points:g}",
                _("%s left") % f"{left(each.points, now - each.at.timestamp()):.1f}",
                told(each.detail),
            )
            for each in events[:MOST_EVENTS]
        )
        row = "<tr><td>{}</td><td>{}</td><td>-{}</td><td>{}</td><td>{}</td></tr>"
        head = _(
            "%(score)s of 100: its calls count as %(trust)s times as likely to succeed. What it lost halves in "
            "three days."
        )
        return format_html(
            "{}<table>{}</table>",
            head % {"score": f"{value:.1f}", "trust": f"{trust(value):.2f}"},
            format_html_join("", row, rows),
        )


def with_events(orchestrators: QuerySet[Orchestrator]) -> QuerySet[Orchestrator]:
    """In one query more, however many there are."""
    since = timezone.now() - timedelta(seconds=FORGOTTEN_AFTER)
    events = ReputationEvent.objects.filter(at__gt=since).order_by("-id")
    return orchestrators.prefetch_related(Prefetch("reputation_events", queryset=events))
