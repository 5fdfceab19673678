"""PolicyAdmin: people change policy through the one door, `orchestrators.changes.change_set`.

Django's own admin views open a transaction each; ours opens around it, because the change set must
take its lock before anything else is written. So who saves second reads what the first one wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import translation
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orchestrators.admin.doomed import Doom, doomed
from orchestrators.admin.meanwhile import MeanwhileForm, seen_by
from orchestrators.changes import ChangeSet, change_set
from orchestrators.display.sentences import told

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

View = Callable[..., Any]


def warn(request: HttpRequest, advice: Iterable[str]) -> None:
    for sentence in advice:
        messages.warning(request, told(sentence))


class ListedForm(MeanwhileForm):
    """A row of a list that is edited there: its fields are named by their columns, which nobody hears."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.setdefault("aria-label", str(field.label or ""))


class PolicyAdmin(ModelAdmin):
    """`unlocked_actions`: those that write no policy; they may take seconds and must not hold the lock."""

    form = MeanwhileForm
    show_facets = admin.ShowFacets.NEVER  # a query for every choice of every filter
    show_full_result_count = False
    unlocked_actions: frozenset[str] = frozenset()

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        why = ": ".join(filter(None, (f"change {object_id}" if object_id else "add", reason(request))))
        view = super().changeform_view
        return self._through_the_door(request, why, view, object_id, form_url, extra_context)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Date and time are two fields, which the one label does not name."""
        made = super().formfield_for_dbfield(db_field, request, **kwargs)
        if made is not None and isinstance(made.widget, forms.MultiWidget):
            for part in made.widget.widgets:
                part.attrs["aria-label"] = str(made.label)
        return made

    def action_checkbox(self, obj: models.Model) -> SafeString:
        """Django's, without a template for each row: a sixth of a long list's time."""
        label = translation.gettext("Select this object for an action - {}").format(obj)
        box = '<input type="checkbox" name="{}" value="{}" class="action-select" aria-label="{}">'
        return format_html(box, ACTION_CHECKBOX_NAME, obj.pk, label)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        lines = (form for each in context["inline_admin_formsets"] for form in each.formset.forms)
        context["seen"] = seen_by([context["adminform"].form, *lines])
        return super().render_change_form(request, context, *args, **kwargs)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        view = super().delete_view
        why = ": ".join(filter(None, (f"delete {object_id}", reason(request))))
        return self._through_the_door(request, why, view, object_id, extra_context)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Doom:
        return doomed(objs, request, self.admin_site)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        action = request.POST.get("action") or "edit the list"
        view = super().changelist_view
        asks_first = action == "delete_selected" and "post" not in request.POST
        if asks_first or action in self.unlocked_actions:
            return view(request, extra_context)
        why = ": ".join(filter(None, (action.replace("_", " "), reason(request))))
        response = self._through_the_door(request, why, view, extra_context)
        formset = getattr(getattr(response, "context_data", {}).get("cl"), "formset", None)
        if formset is not None:
            response.context_data["seen"] = seen_by(formset.forms)
        return response

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        return super().get_changelist_form(request, **{"form": ListedForm, **kwargs})

    def _through_the_door(self, request: HttpRequest, why: str, view: View, *args: Any) -> Any:
        """Who may write nothing takes no lock before Django refuses it."""
        if request.method != "POST" or not self._may_write(request):
            return view(request, *args)
        text = f"admin: {why} ({self.opts.verbose_name_raw})"
        with change_set(who=request.user.get_username(), why=text, via="admin") as changes:
            request.change_set = changes  # type: ignore[attr-defined]
            return view(request, *args)

    def _may_write(self, request: HttpRequest) -> bool:
        asked = (f"has_{verb}_permission" for verb in ("add", "change", "delete", "operate"))
        return any(getattr(self, name)(request) for name in asked if hasattr(self, name))

    # Django calls these for every object written; so the history tells the objects by name.

    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        note(request, f"added {self.opts.verbose_name_raw} {obj}")
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        fields = sorted({name for part in message for name in _fields(part)})
        told = f": {', '.join(fields)}" if fields else ""
        note(request, f"changed {self.opts.verbose_name_raw} {obj}{told}")
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        for obj in queryset:
            note(request, f"deleted {self.opts.verbose_name_raw} {obj}")
        return super().log_deletions(request, queryset)


def reason(request: HttpRequest) -> str:
    """What people said beside the action or the button; long lists have it above and below."""
    return next((text for each in request.POST.getlist("reason") if (text := each.strip())), "")


def note(request: HttpRequest, line: str) -> None:
    """A line of the change set's summary; nothing outside of one."""
    changes: ChangeSet | None = getattr(request, "change_set", None)
    if changes is not None:
        changes.summary.append(line)


def _fields(part: Any) -> list[str]:
    """Names in one part of Django's change message; parts tell of the object and of its inlines."""
    if not isinstance(part, dict):
        return []
    ((verb, told),) = part.items()
    if "fields" in told:
        return [str(name) for name in told["fields"]]
    return [f"{verb} {told['object']}"] if "object" in told else []
