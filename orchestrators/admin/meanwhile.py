"""Two people edit one row at once: the second save is told what the first one changed, and nothing is lost.

The page carries a digest of every value it shows. A save that finds another value in the database is held
back once: fields that were left alone then show what is there now, those that were edited keep what was
typed, and both are told. Whoever saves again has seen it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, QuerySet
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from orchestrators.models import ConfigRevision

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Any]
else:
    ModelForm = forms.ModelForm

FIELD = "seen"  # of the page, beside those of its forms


def seen_by(page_forms: Iterable[forms.BaseForm]) -> str:
    """What these forms show, for the page's hidden field."""
    shown = {each.prefix or "": _digests(each) for each in page_forms if _is_of_a_row(each)}
    return json.dumps(shown, separators=(",", ":"))


class MeanwhileForm(ModelForm):
    """A form of a row that others may be editing. One that adds a row has nothing to look at."""

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        seen = _seen(self.data).get(self.prefix or "", {})
        now = _digests(self) if _is_of_a_row(self) else {}
        changed = [name for name in now if name in seen and seen[name] != now[name]]
        if changed:
            self._tell(changed, seen)
        return cleaned

    def _get_validation_exclusions(self) -> set[str]:
        """Of what was left alone nobody asks again whether a relation is still there and a name the only one;
        unless it is unique together with what was edited."""
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        if self.instance.pk is None:
            return excluded
        meta, edited = self.instance._meta, set(self.changed_data)
        together = [set(getattr(each, "fields", ())) for each in meta.constraints]
        judged = edited.union(*(names for names in together if names & edited))
        asked = {each.name for each in meta.fields if each.unique or each.remote_field is not None}
        return excluded | (asked - judged)

    def _tell(self, changed: list[str], seen: Mapping[str, str]) -> None:
        who = {"who": _changed_by(self.instance) or _("somebody")}
        told = [_("Not saved yet: %(who)s has changed this while you were editing.") % who]
        data: Any = self.data
        self.data = data.copy()
        for name in changed:
            field, value = self.fields[name], self.get_initial_for_field(self.fields[name], name)
            names = {"field": field.label or name, "now": _written(field, value)}
            if name in self.cleaned_data and _digest(self.cleaned_data[name]) == seen[name]:
                self._show(name, value)
                told.append(_("%(field)s is now %(now)s.") % names)
            elif name in self.cleaned_data and _digest(self.cleaned_data[name]) != _digest(value):
                self.add_error(name, _("It is now %(now)s; save again to make it what you typed.") % names)
        told.append(_("Save again if this is as you want it."))
        self.add_error(None, " ".join(told))

    def _show(self, name: str, value: Any) -> None:
        """As if this had been typed."""
        field, key = self.fields[name], self.add_prefix(name)
        value = field.prepare_value(value)
        data: Any = self.data
        if isinstance(field.widget, forms.MultiWidget):
            for place, part in enumerate(field.widget.decompress(value) or ()):
                data[f"{key}_{place}"] = "" if part is None else str(part)
        elif isinstance(value, list | tuple | QuerySet):
            data.setlist(key, [str(each) for each in value])
        elif isinstance(field, forms.BooleanField) and not value:
            data.pop(key, None)
        else:
            data[key] = "" if value is None else str(value)


def _changed_by(row: Model) -> str:
    """Who saved it here last, unless policy was changed since then, by whatever way."""
    of_type = ContentType.objects.get_for_model(row)
    entries = LogEntry.objects.filter(content_type=of_type, object_id=str(row.pk)).select_related("user")
    saved = entries.order_by("-action_time").first()
    latest = ConfigRevision.objects.defer("bundle", "summary").first()
    if saved is not None and (latest is None or saved.action_time >= latest.at):
        return saved.user.get_username()
    return latest.who if latest is not None else ""


def _is_of_a_row(form: forms.BaseForm) -> bool:
    return isinstance(form, forms.BaseModelForm) and form.instance.pk is not None


def _digests(form: forms.BaseForm) -> dict[str, str]:
    return {
        name: _digest(form.get_initial_for_field(field, name))
        for name, field in form.fields.items()
        if name in form.initial and not field.disabled
    }


def _digest(value: Any) -> str:
    """The same for a row's value and for what a form makes of it. Keyed: some values are secrets."""
    if isinstance(value, Model):
        value = value.pk
    elif isinstance(value, list | QuerySet):
        value = sorted((each.pk if isinstance(each, Model) else each for each in value), key=str)
    text = json.dumps(value, sort_keys=True, default=str)
    return salted_hmac("byocgw.seen", text).hexdigest()[:12]


def _seen(data: Any) -> dict[str, dict[str, str]]:
    """Nothing, if the page was not ours."""
    try:
        seen = json.loads(data.get(FIELD, ""))
        return {str(key): dict(each) for key, each in seen.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _written(field: forms.Field, value: Any) -> str:
    if isinstance(field.widget, forms.PasswordInput):
        return _("another one")
    if isinstance(field, forms.ModelChoiceField) and field.queryset is not None:
        rows = value if isinstance(value, list) else [value]
        found = field.queryset.model._default_manager.filter(
            pk__in=[getattr(each, "pk", each) for each in rows]
        )
        return ", ".join(map(str, found)) or _("empty")
    value = field.prepare_value(value)
    return _("empty") if value is None or value == "" else str(value)
