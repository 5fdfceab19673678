"""PolicyInline: rows of another model on its parent's page, without a query for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.db.models import QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest

from orchestrators.admin.choosing import GivenField
from orchestrators.admin.meanwhile import MeanwhileForm

if TYPE_CHECKING:
    TabularInline = admin.TabularInline[Any, Any]
    FormSet = BaseInlineFormSet[Any, Any, Any]
else:
    TabularInline = admin.TabularInline
    FormSet = BaseInlineFormSet


class LineForm(MeanwhileForm):
    """A row that exists keeps whom it belongs to, so its choice is the one it has: a list of all of them,
    read anew for every line, is what makes such pages slow.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            return
        for name, field in list(self.fields.items()):
            if isinstance(field, forms.ModelChoiceField):
                chosen = getattr(self.instance, name)
                field.disabled = True
                field.choices = [("", field.empty_label)] if chosen is None else [(chosen.pk, str(chosen))]
                self.fields[name] = GivenField(chosen, field)


class LineFormSet(FormSet):
    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        if form.instance.pk is not None:  # by which it was found
            key = self._pk_field.name  # type: ignore[attr-defined]
            form.fields[key] = GivenField(form.instance, form.fields[key])
        for field in form.fields.values():
            _prepare(field)


class PolicyInline(TabularInline):
    """`related`: what the lines show of other models."""

    form = LineForm
    formset = LineFormSet
    extra = 0
    related: ClassVar[tuple[str, ...]] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related(*self.related)


def _prepare(field: forms.Field) -> None:
    """A field of a table is named by its column, which nobody hears; and a line has no room for buttons that
    lead to other models."""
    widget = field.widget
    if isinstance(widget, RelatedFieldWidgetWrapper):
        widget.can_add_related = widget.can_change_related = widget.can_view_related = False
        widget = widget.widget
    widget.attrs.setdefault("aria-label", str(field.label or ""))
