"""What goes with rows that people delete, before it goes: by name what people decided, by number what machines
wrote. Of that there may be a hundred thousand, and it needs no permission: it goes with what it tells of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.utils import NestedObjects
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model, QuerySet
from django.db.models.deletion import Collector
from django.http import HttpRequest

from orchestrators.admin.reading import ReadOnly
from orchestrators.models.counting import counted

Doom = tuple[list[Any], dict[Any, int], set[Any], list[str]]


def doomed(rows: Sequence[Model] | QuerySet[Any], request: HttpRequest, site: AdminSite) -> Doom:
    """As the admin's `get_deleted_objects`: (names, each with those below it; numbers by kind; kinds that this
    person may not delete; what forbids it)."""
    if not rows:
        return [], {}, set(), []
    found = _Doomed(site)
    found.collect(rows)
    numbers = Counter[Any]({kind: len(each) for kind, each in found.by_kind.items()})
    uncounted = [each for each in found.fast_deletes if not each.model._meta.auto_created]
    for each, number in zip(uncounted, counted(uncounted), strict=True):
        numbers[each.model] += number
    counts = {kind._meta.verbose_name_plural: number for kind, number in numbers.items() if number}
    missing = {
        kind._meta.verbose_name
        for kind, each in found.by_kind.items()
        if site.is_registered(kind) and not _may_go(site.get_model_admin(kind), request, each)
    }
    return found.nested(_named), counts, missing, [_named(each) for each in found.protected]


class _Doomed(NestedObjects):
    def __init__(self, site: AdminSite) -> None:
        super().__init__(using=DEFAULT_DB_ALIAS)
        self._site = site

    @property
    def by_kind(self) -> dict[Any, set[Any]]:
        return self.model_objs

    def can_fast_delete(self, objs: Any, from_field: Any = None) -> bool:
        """Whether it is not read."""
        model = getattr(objs, "model", None) or objs
        return Collector.can_fast_delete(self, objs, from_field) and (
            not self._site.is_registered(model) or self._is_evidence(model)
        )

    def _is_evidence(self, model: type[Model]) -> bool:
        """Nobody deletes it by hand."""
        its_admin: Any = type(self._site.get_model_admin(model))
        return bool(its_admin.has_delete_permission is ReadOnly.has_delete_permission)

    def related_objects(self, related_model: Any, related_fields: Any, objs: Any) -> QuerySet[Any]:
        """With what their names are made of."""
        rows: QuerySet[Any] = super().related_objects(related_model, related_fields, objs)
        return rows.select_related(*(each.name for each in related_model._meta.fields if each.many_to_one))


def _may_go(its_admin: Any, request: HttpRequest, rows: Iterable[Any]) -> bool:
    return all(its_admin.has_delete_permission(request, each) for each in rows)


def _named(row: Model) -> str:
    return f"{str(row._meta.verbose_name).capitalize()}: {row}"
