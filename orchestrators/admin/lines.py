"""PolicyInline: rows of another model on its parent's page, without a query for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

if TYPE_CHECKING:
    TabularInline = admin.TabularInline[Any, Any]
    ModelForm = forms.ModelForm[Any]
else:
    TabularInline = admin.TabularInline
    ModelForm = forms.ModelForm


class LineForm(ModelForm):
    """A row that exists keeps whom it belongs to, so its choice is the one it has: a list of all of them,
    read anew for every line, is what makes such pages slow.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            return
        for name, field in self.fields.items():
            if isinstance(field, forms.ModelChoiceField):
                chosen = getattr(self.instance, name)
                field.disabled = True
                field.choices = [("", field.empty_label)] if chosen is None else [(chosen.pk, str(chosen))]


class PolicyInline(TabularInline):
    """`related`: what the lines show of other models."""

    form = LineForm
    extra = 0
    related: ClassVar[tuple[str, ...]] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related(*self.related)
