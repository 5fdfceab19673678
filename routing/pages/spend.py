"""What was spent: by capability, orchestrator, client and time, in wei exactly, in USD for the eye."""

from __future__ import annotations

import csv
import io
from datetime import date
from typing import Any

from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from routing.models.rate import eth_rate
from routing.spend import BREAKDOWNS, COLUMNS, DAY, BadSpan, Row, Span, breakdown, total

COLUMNS_OF_CARDS = (("capability", "client"), ("orchestrator",))


def spend(site: AdminSite, request: HttpRequest) -> HttpResponse:
    today = timezone.now().date()
    wrong = ""
    try:
        span = Span.read(request.GET, today)
    except BadSpan as exc:
        span, wrong = Span.read({}, today), str(exc)
    rows = {of: breakdown(of, span) for of in BREAKDOWNS}
    context = site.each_context(request) | {
        "title": _("Spend"),
        "span": span,
        "wrong": wrong,
        "presets": list(presets(span, today)),
        "total": total(rows["time"]),
        "time": rows["time"],
        "by_time": [row.wei for row in rows["time"]],
        "most": max((row.wei for row in rows["time"]), default=0),
        "columns": [
            [table(of, rows[of], span) for of in column]
            for column in (("capability", "client"), ("orchestrator",))
        ],
        "csv": csv_link("time", span),
        "chips": [(name, value, link(span, **{name: ""})) for name, value in _named(span)],
        "rate": eth_rate(),
    }
    return TemplateResponse(request, "admin/spend.html", context, status=400 if wrong else 200)


def spend_csv(site: AdminSite, request: HttpRequest, of: str) -> HttpResponse:
    """One of the tables, with every wei."""
    if of not in BREAKDOWNS:
        raise Http404
    try:
        span = Span.read(request.GET, timezone.now().date())
    except BadSpan as exc:
        return HttpResponse(str(exc), status=400, content_type="text/plain; charset=utf-8")
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in breakdown(of, span):
        writer.writerow((row.name, row.calls, row.failures, row.milliseconds / 1000, row.wei))
    name = f"spend-{of}-{span.first}-{span.last}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return HttpResponse(out.getvalue(), content_type="text/csv; charset=utf-8", headers=headers)


def presets(span: Span, today: date) -> Any:
    for label, first, last in (
        (_("Today"), today, today),
        (_("Yesterday"), today - DAY, today - DAY),
        (_("7 days"), today - 6 * DAY, today),
        (_("30 days"), today - 29 * DAY, today),
        (_("This month"), today.replace(day=1), today),
        (_("Last month"), (today.replace(day=1) - DAY).replace(day=1), today.replace(day=1) - DAY),
    ):
        yield label, link(span, first=first, last=last), (span.first, span.last) == (first, last)


def table(of: str, rows: list[Row], span: Span) -> dict[str, Any]:
    """A card of the page. `most`: what its bars are beside."""
    title, calls = {
        "capability": (_("By capability"), _("Calls")),
        "client": (_("By client"), _("Calls")),
        "orchestrator": (_("By orchestrator"), _("Attempts")),
    }[of]
    unknown = of == "orchestrator" and span.client
    return {
        "of": of,
        "title": title,
        "calls": calls,
        "rows": [] if unknown else [(row, narrowed(of, row, span), jobs_link(of, row, span)) for row in rows],
        "most": max((row.wei for row in rows), default=0),
        "why_empty": _("Not known for one client.") if unknown else _("Nothing in this time."),
        "csv": csv_link(of, span),
    }


def narrowed(of: str, row: Row, span: Span) -> str:
    """This page for that row alone; an orchestrator's are the calls that it served."""
    if of == "orchestrator":
        return f"{reverse('admin:routing_job_changelist')}?{urlencode({of: row.name})}"
    return link(span, **{of: row.name})


def jobs_link(of: str, row: Row, span: Span) -> str:
    """The calls behind a row; of an orchestrator its attempts."""
    if of == "orchestrator":
        return f"{reverse('admin:routing_attempt_changelist')}?{urlencode({of: row.name})}"
    asked = dict(_named(span)) | {of: row.name}
    since, until = (f"{at:%Y-%m-%dT%H:%M}" for at in (span.begins, span.ends))
    return f"{reverse('admin:routing_job_changelist')}?{urlencode(asked | {'since': since, 'until': until})}"


def link(span: Span, **changes: Any) -> str:
    return f"{reverse('admin:spend')}?{_query(span, changes)}"


def csv_link(of: str, span: Span) -> str:
    return f"{reverse('admin:spend_csv', args=[of])}?{_query(span, {})}"


def _query(span: Span, changes: dict[str, Any]) -> str:
    values: dict[str, Any] = {"first": span.first, "last": span.last, **dict(_named(span)), **changes}
    values = {"from": values.pop("first"), "to": values.pop("last"), **values}
    return urlencode({name: str(value) for name, value in values.items() if value})


def _named(span: Span) -> list[tuple[str, str]]:
    return [(name, getattr(span, name)) for name in ("capability", "client") if getattr(span, name)]
