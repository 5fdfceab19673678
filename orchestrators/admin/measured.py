"""MeasuredAdmin: rows that machines write. Nobody edits them, and lists survive a million of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from orchestrators.admin.door import ModelAdmin
from orchestrators.admin.lines import TabularInline
from orchestrators.admin.reading import ReadOnly

if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
else:
    AnyPaginator = Paginator

MOST_COUNTED = 10_000


class BoundedPaginator(AnyPaginator):
    """Counts so far and no further: a full count reads the whole table. What lies beyond, filters reach."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        bounded: int = rows.order_by()[:MOST_COUNTED].count()
        return bounded


class MeasuredAdmin(ReadOnly, ModelAdmin):
    """Ordered by an index, counted to a bound; no column sorts, because sorting reads the whole table."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # a count for every choice of every filter reads it all
    sortable_by = ()
    list_per_page = 50


class MeasuredInline(ReadOnly, TabularInline):
    extra = 0
    can_delete = False


class NameFilter(admin.SimpleListFilter):
    """Filters a column of names by the few rows of the model that has them: no DISTINCT over a million.

    Subclasses say `title`, `parameter_name` (the column), and `names`.
    """

    def names(self) -> list[str]:
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in self.names()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.value() is None else queryset.filter(**{str(self.parameter_name): self.value()})
