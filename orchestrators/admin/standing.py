"""The offers' list, by where they stand."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from orchestrators.display.states import word
from orchestrators.standing import Standing


class StandingFilter(admin.SimpleListFilter):
    """For lists whose queryset has `standing`."""

    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(each.name.lower(), word(each.value)) for each in Standing]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = Standing.__members__.get((self.value() or "").upper())
        return queryset if chosen is None else queryset.filter(standing=chosen.value)
