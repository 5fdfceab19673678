"""Alert rules and channels, and every alert on record; those of now are a page of their own."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from orchestrators.admin import MeasuredAdmin, PolicyAdmin
from orchestrators.admin.columns import moment
from routing.alerting import send_test
from routing.alerting.words import rule_in_words
from routing.models import Alert, AlertChannel, AlertRule


@admin.register(AlertRule)
class AlertRuleAdmin(PolicyAdmin):
    none_yet = "No rule yet. Alerts has a button that adds the usual ones."
    list_display = ("name", "enabled", "in_words", "told")
    list_filter = ("enabled", "kind", "channels")
    list_select_related = ("capability",)
    search_fields = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "enabled", "kind")}),
        (_("When"), {"fields": ("capability", "threshold", "budget")}),
        (_("Who is told"), {"fields": ("channels",)}),
    )

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Channels are few: boxes to tick, which everybody can read and reach."""
        return super().formfield_for_manytomany(
            db_field, request, **{**kwargs, "widget": forms.CheckboxSelectMultiple}
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertRule]:
        rules: QuerySet[AlertRule] = super().get_queryset(request).prefetch_related("channels")
        return rules

    @admin.display(description=_("in words"))
    def in_words(self, rule: AlertRule) -> str:
        return rule_in_words(rule)

    @admin.display(description=_("who is told"))
    def told(self, rule: AlertRule) -> str:
        return ", ".join(each.name for each in rule.channels.all()) or gettext("this console alone")


@admin.register(AlertChannel)
class AlertChannelAdmin(PolicyAdmin):
    unlocked_actions = frozenset({"send_test_message"})
    list_display = ("name", "kind", "enabled", "goes_to")
    search_fields = ("name",)
    actions = ("send_test_message",)
    fieldsets = (
        (None, {"fields": ("name", "enabled", "kind")}),
        (_("A webhook"), {"fields": ("url", "secret")}),
        (_("E-mail"), {"fields": ("email",)}),
    )

    @admin.display(description=_("goes to"))
    def goes_to(self, channel: AlertChannel) -> str:
        return channel.email or str(channel.url) or gettext("nowhere: it has no URL")

    @admin.action(description=_("Send a test"), permissions=["change"])
    def send_test_message(self, request: HttpRequest, queryset: QuerySet[AlertChannel]) -> None:
        """Takes seconds, and must hold no lock."""
        for channel in queryset:
            if failed := send_test(channel, timezone.now()):
                self.message_user(request, f"{channel}: {failed}", messages.ERROR)
            else:
                self.message_user(
                    request, gettext("%(channel)s took it.") % {"channel": channel}, messages.SUCCESS
                )


@admin.register(Alert)
class AlertAdmin(MeasuredAdmin):
    list_display = (
        *("rule", "subject", "value", moment("began_at"), moment("seen_at"), moment("ended_at"), "times"),
        "acknowledged_by",
    )
    list_select_related = ("rule",)
    ordering = ("-id",)
    fields = readonly_fields = (
        *("rule", "subject", "value", moment("began_at"), moment("seen_at"), moment("ended_at"), "times"),
        *("acknowledged_by", moment("acknowledged_at"), moment("silenced_until"), "told"),
    )
