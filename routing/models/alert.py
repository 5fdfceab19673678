"""AlertRule, AlertChannel (decided): what is watched, and who is told. Alert (observed): what came of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from orchestrators.models import Capability
from orchestrators.models.fields import AmountField, validate_allowed
from orchestrators.models.secret import NoKey, SecretField
from routing.core.alerting import Kind, Rule

NAME = RegexValidator(r"^[^\W_][\w .:-]*$", _("Letters, digits, spaces, '.', ':', '_' and '-' only."))


class KindChoice(models.TextChoices):
    NOBODY = Kind.NOBODY.value, _("nobody may serve a capability")
    ERRORS = Kind.ERRORS.value, _("calls fail")
    P95 = Kind.P95.value, _("calls are slow (p95)")
    SPEND = Kind.SPEND.value, _("spend of the day")
    PROBES = Kind.PROBES.value, _("nothing was probed")
    PRICE = Kind.PRICE.value, _("a price has jumped")
    CERTIFICATE = Kind.CERTIFICATE.value, _("a certificate has changed")


COUNTED = {
    Kind.ERRORS: _("percent of the calls of this hour and the one before"),
    Kind.P95: _("milliseconds"),
    Kind.PROBES: _("seconds since the latest probe"),
    Kind.PRICE: _("percent more than an hour before"),
}
OF_A_CAPABILITY = (Kind.NOBODY, Kind.ERRORS, Kind.P95, Kind.SPEND)


class ChannelKind(models.TextChoices):
    WEBHOOK = "webhook", _("webhook: JSON, signed")
    SLACK = "slack", _("Slack, or whatever takes its webhooks")
    EMAIL = "email", _("e-mail")


class AlertChannel(models.Model):
    """Where alerts go. The address of a webhook is a secret as well: whoever knows it can post there."""

    name = models.CharField(max_length=63, unique=True, validators=[NAME])
    kind = models.CharField(
        max_length=16, choices=ChannelKind.choices, default=ChannelKind.WEBHOOK, help_text="How it is told."
    )
    enabled = models.BooleanField(default=True, help_text="Off: nothing goes there.")
    url = SecretField("URL", help_text=_("Of a webhook; redirects are not followed."))
    secret = SecretField(help_text=_("What messages to a webhook are signed with (docs/alerts.md)."))
    email = models.EmailField("e-mail", blank=True, help_text=_("Of an e-mail channel."))

    class Meta:
        ordering = ["name"]
        verbose_name = _("alert channel")
        verbose_name_plural = _("alert channels")

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.kind == ChannelKind.EMAIL:
            if not self.email:
                raise ValidationError({"email": _("Whom shall it go to?")})
            return
        try:
            url = self.url.reveal()
        except NoKey as exc:
            raise ValidationError({"url": str(exc)}) from exc
        # A document of configuration has no secrets: a channel made of one gets its URL here.
        if not url:
            return
        try:
            parts = urlsplit(url)
            is_whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # half an IPv6 address, or no port at all
            is_whole = False
        if not is_whole:
            raise ValidationError({"url": _("Must be http:// or https:// with a host.")})
        try:
            validate_allowed(url)
        except ValidationError as exc:
            raise ValidationError({"url": exc.messages}) from exc


class AlertRule(models.Model):
    """When people are told. `threshold` for all that count; `budget` for spend, which is money."""

    name = models.CharField(max_length=63, unique=True, validators=[NAME])
    kind = models.CharField(max_length=16, choices=KindChoice.choices, help_text="What is watched.")
    enabled = models.BooleanField(default=True, help_text="Off: it is not watched.")
    capability = models.ForeignKey(
        Capability,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="alert_rules",
        help_text=_("Empty: each of them; for spend: all together."),
    )
    threshold = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Told above it: percent of calls that fail, milliseconds, seconds, percent of a price."),
    )
    budget = AmountField(
        null=True, blank=True, help_text=_("For spend: an amount a day (UTC), such as 0.5 eth.")
    )
    channels = models.ManyToManyField(AlertChannel, blank=True, related_name="rules")

    class Meta:
        ordering = ["name"]
        verbose_name = _("alert rule")
        verbose_name_plural = _("alert rules")

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        errors: dict[str, Any] = {}
        if self.kind in COUNTED and self.threshold is None:
            errors["threshold"] = _("Is needed: %(unit)s.") % {"unit": COUNTED[Kind(self.kind)]}
        if self.kind == Kind.SPEND and self.budget is None:
            errors["budget"] = _("Is needed: how much a day may cost.")
        if self.capability and self.kind and self.kind not in OF_A_CAPABILITY:
            errors["capability"] = _("This is watched for all of them; leave it empty.")
        if errors:
            raise ValidationError(errors)

    def as_rule(self) -> Rule:
        """For the pure rules. The capability must be loaded."""
        threshold = (self.budget if self.kind == Kind.SPEND else self.threshold) or 0
        return Rule(self.pk, Kind(self.kind), threshold, self.capability.slug if self.capability else "")


class Alert(models.Model):
    """One cause, from when it was first seen until it was gone for a while.

    `subject`: a capability, an offer, an orchestrator, or "" for the gateway. `value`: as in the rule's
    threshold. `told`: by channel, "" once it took the message, or why it did not.
    """

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="alerts")
    subject = models.CharField(
        max_length=200, blank=True, help_text="A capability, an offer or an orchestrator; empty: the gateway."
    )
    value = models.CharField(max_length=40, default="0", help_text="A whole number; wei has many digits.")
    began_at = models.DateTimeField(help_text="When it began.")
    seen_at = models.DateTimeField(help_text="When it was last found to be so.")
    times = models.PositiveIntegerField(default=1, help_text="How many looks have found it.")
    ended_at = models.DateTimeField(null=True, help_text="When it was over; empty: it is not.")
    acknowledged_by = models.CharField(max_length=150, blank=True, help_text="Who has taken it on.")
    acknowledged_at = models.DateTimeField(null=True, help_text="When.")
    silenced_until = models.DateTimeField(null=True, help_text="Until then nobody is told of it.")
    told = models.JSONField(default=dict, help_text="Which channels were told, and what became of it.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "subject"], condition=Q(ended_at=None), name="one_open_alert_per_cause"
            )
        ]
        indexes = [models.Index(fields=["ended_at", "-id"], name="alerts_by_end")]

    def __str__(self) -> str:
        return f"{self.rule_id} {self.subject}".strip()
