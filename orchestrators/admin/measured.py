"""MeasuredAdmin: rows that machines write. Nobody edits them, and lists survive a million of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.http import urlencode

from orchestrators.admin.door import ModelAdmin
from orchestrators.admin.lines import TabularInline
from orchestrators.admin.reading import ReadOnly
from orchestrators.display.states import word
from orchestrators.models import reach

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
    search_by_id = False  # on: the search box finds its few rows however far back they are


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


class WordFilter(NameFilter):
    """Of names of the wire or of logs."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, word(name)) for name in self.names()]


class TimeFilter(admin.SimpleListFilter):
    """What came before a moment. A list is searched so far back (models/reach.py), and so far again from there.

    `end`: of this search, where it does not see all. `further`: the page that goes on from there.
    """

    title, parameter_name = "time", "before"
    rows = reach.ROWS
    end: datetime | None = None
    further = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        if not (model_admin.search_by_id and request.GET.get("q")):
            self.end = reach.end_of(self._before(model_admin.model.objects.order_by("-at")))
        before = self.value() or ""
        further = "" if self.end is None else self.end.isoformat()
        self.further = "?" + urlencode({**request.GET.dict(), "p": "1", "before": further})
        return [(each, f"before {each[:16]}") for each in (before, further) if each]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows = self._before(queryset)
        return rows if self.end is None else rows.filter(at__gte=self.end)

    def choices(self, changelist: Any) -> Iterator[Any]:
        newest, *others = super().choices(changelist)
        yield newest | {"display": "newest"}
        yield from others

    def _before(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        before = self.value()
        try:
            return rows.filter(at__lt=datetime.fromisoformat(before).astimezone(UTC)) if before else rows
        except (ValueError, OverflowError) as exc:
            raise IncorrectLookupParameters(f"before: {before!r} is no moment.") from exc
