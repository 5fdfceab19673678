"""Choices of other rows that are at hand: what was posted is not looked up in the database once more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model


class ListedField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """Among `listed`, where whoever makes the form has read them."""

    listed: Sequence[Model] = ()

    def offer(self, listed: Sequence[Model]) -> None:
        self.listed = listed
        self.choices = [(each.pk, str(each)) for each in listed]

    def to_python(self, value: Any) -> Any:
        if not self.listed or value in self.empty_values:
            return super().to_python(value)
        key = str(value.pk if isinstance(value, Model) else value)
        found = next((each for each in self.listed if str(each.pk) == key), None)
        if found is None:
            raise ValidationError(self.error_messages["invalid_choice"], "invalid_choice", {"value": value})
        return found


class GivenField(forms.Field):
    """The one that it is: shown as `like` would show it."""

    def __init__(self, given: Model | None, like: forms.Field) -> None:
        super().__init__(widget=like.widget, label=like.label, initial=like.initial, disabled=like.disabled)
        self.given = given

    def clean(self, value: Any) -> Any:
        return self.given

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False
