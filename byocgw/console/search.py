"""Find anything by its name: what the field in the header asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.admin import AdminSite
from django.db.models import Model, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from orchestrators.models import Capability, Orchestrator
from routing.models import Client, Job

MOST = 20  # of each kind


@dataclass(frozen=True, slots=True)
class Found:
    kind: str
    name: str
    url: str


def search(site: AdminSite, request: HttpRequest) -> HttpResponse:
    """One match is opened at once."""
    question = request.GET.get("q", "").strip()[:100]
    found = list(_matches(request, question)) if question else []
    if len(found) == 1:
        return HttpResponseRedirect(found[0].url)
    context = site.each_context(request) | {"title": _("Search"), "question": question, "found": found}
    return TemplateResponse(request, "admin/search.html", context)


def _matches(request: HttpRequest, question: str) -> Iterator[Found]:
    asked: tuple[tuple[type[Model], Q], ...] = (
        (Orchestrator, Q(name__icontains=question) | Q(service_uri__icontains=question)),
        (Capability, Q(slug__icontains=question)),
        (Client, Q(name__icontains=question)),
        (Job, Q(pk=question)),
    )
    for model, condition in asked:
        meta = model._meta
        if request.user.has_perm(f"{meta.app_label}.view_{meta.model_name}"):
            rows: Any = model._default_manager.filter(condition)[:MOST]
            for row in rows:
                url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
                yield Found(str(meta.verbose_name), str(row), url)
