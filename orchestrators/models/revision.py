"""Revision: three numbers that say whether anything changed. ConfigRevision: who changed policy, and why."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Revision(models.Model):
    """The one row (id 1). Its numbers are moved by database triggers alone (see triggers.py)."""

    policy = models.BigIntegerField(
        default=0, help_text="Moves with every change of what people decided or orchestrators claim."
    )
    health = models.BigIntegerField(default=0, help_text="Moves with every change of an offer's state.")
    decided = models.BigIntegerField(default=0, help_text="Moves with every change of the configuration.")

    def __str__(self) -> str:
        return f"policy {self.policy}, health {self.health}, decided {self.decided}"


class ConfigRevision(models.Model):
    """One change set: the configuration after it, compressed, so that going back is applying it again.

    OUTSIDE: made by no tool of ours, and found later; nobody knows by whom, and `at` is when it was found.
    """

    class Via(models.TextChoices):
        ADMIN = "admin", _("console")
        APPLY = "apply", _("apply")
        COMMAND = "command", _("command")
        OUTSIDE = "outside", _("outside the tools")

    at = models.DateTimeField(help_text="When it was made.")
    who = models.CharField(max_length=150, blank=True, help_text="Who made it.")
    why = models.CharField(max_length=500, blank=True, help_text="The reason that was given.")
    via = models.CharField(max_length=16, choices=Via.choices, help_text="By which tool.")
    policy = models.BigIntegerField(help_text="The policy number after this change.")
    decided = models.BigIntegerField(
        default=0, help_text="The number of the configuration after this change: while it stands, so does this."
    )
    summary = models.TextField(blank=True, help_text="The change, line by line.")
    bundle = models.BinaryField(help_text="The exported configuration, gzip of JSON.")

    class Meta:
        ordering = ["-id"]
        verbose_name = _("change")
        verbose_name_plural = _("changes")

    def __str__(self) -> str:
        return f"#{self.pk} {self.who or self.get_via_display()}"
