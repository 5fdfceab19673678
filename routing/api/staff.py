"""What staff may ask of the control plane, read-only: a job, who would serve a capability now, what was used.

Stock Django and DRF: the admin's session, and the permissions to view what is told.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

from django.db import models
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, exception_handler

from orchestrators.models import Capability, Offer, Orchestrator
from orchestrators.scoreboard import Scoreboard
from routing import history, usage
from routing.explain import NotConfigured, explain_now
from routing.models import Attempt, Job, PriceCeiling, UsageHour
from routing.runtime import Runtime
from routing.terms import terms
from routing.usage import BadSpan, Span


class MayView(BasePermission):
    """Staff who may view every model that the view tells of."""

    message = "Log in to the admin as staff who may view these records."

    def has_permission(self, request: Request, view: APIView) -> bool:
        user = request.user
        if user is None or not (user.is_active and user.is_staff):
            return False
        told: tuple[type[models.Model], ...] = getattr(view, "tells_of", ())
        return user.has_perms([f"{each._meta.app_label}.view_{each._meta.model_name}" for each in told])


class StaffView(APIView):
    authentication_classes = [SessionAuthentication]
    permission_classes = [MayView]
    http_method_names = ["get", "head"]
    tells_of: tuple[type[models.Model], ...] = ()

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return exception_handler  # the one in the settings writes the data plane's problem documents


class JobView(StaffView):
    """`/api/jobs/<request id>/`."""

    tells_of = (Job, Attempt)

    def get(self, request: Request, request_id: str) -> Response:
        record = history.find(request_id)
        if record is None:
            raise NotFound("There is no job of this id.")
        return Response(history.for_staff(record))


class ExplainView(StaffView):
    """`/api/capabilities/<slug>/explain/[?tier=]`."""

    tells_of = (Capability, Orchestrator, Offer, PriceCeiling)

    def get(self, request: Request, slug: str) -> Response:
        try:
            return Response(explain_now(slug, request.query_params.get("tier") or None, _seen_here()))
        except NotConfigured as exc:
            raise NotFound(str(exc)) from exc


def _seen_here() -> Scoreboard | None:
    """What this worker knows of everybody's health; None where no worker asks, as in a development server."""
    running = Runtime.running
    return None if running is None else running.board.glimpse(list(running.board.homes))


class UsageView(StaffView):
    """`/api/usage/` and `/api/usage.csv`, `[?client=&since=&until=&by=hour|day|month]`."""

    tells_of = (UsageHour,)

    def get(self, request: Request, as_csv: bool = False) -> Response | HttpResponse:
        asked = request.query_params
        try:
            span = Span.read(asked, timezone.now())
        except BadSpan as exc:
            raise ValidationError(str(exc)) from exc
        rows = usage.read(span, asked.get("client") or None)
        return _csv(rows) if as_csv else Response(usage.document(span, rows))


def _csv(rows: list[dict[str, Any]]) -> HttpResponse:
    """Names cannot begin as a formula does, so a spreadsheet takes none for one."""
    out = io.StringIO()
    writer = csv.DictWriter(out, usage.COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    headers = {"content-disposition": 'attachment; filename="usage.csv"'}
    return HttpResponse(out.getvalue(), content_type="text/csv; charset=utf-8", headers=headers)


class TermsView(StaffView):
    """`/api/terms/`: what the words of the others mean."""

    def get(self, request: Request) -> Response:
        return Response(terms())


class NothingHere(StaffView):
    def get(self, request: Request, **kwargs: Any) -> Response:
        raise NotFound
