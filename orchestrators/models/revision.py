"""Revision: two numbers that say whether anything changed. ConfigRevision: who changed policy, and why."""

from __future__ import annotations

from django.db import models


class Revision(models.Model):
    """The one row (id 1). `policy` and `health` are moved by database triggers alone (see changes.py)."""

    policy = models.BigIntegerField(default=0)
    health = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"policy {self.policy}, health {self.health}"


class ConfigRevision(models.Model):
    """One change set: the configuration after it, compressed, so that going back is applying it again."""

    class Via(models.TextChoices):
        ADMIN = "admin"
        APPLY = "apply"
        COMMAND = "command"

    at = models.DateTimeField()
    who = models.CharField(max_length=150)
    why = models.CharField(max_length=500, blank=True)
    via = models.CharField(max_length=16, choices=Via.choices)
    policy = models.BigIntegerField(help_text="The policy number after this change.")
    summary = models.TextField(blank=True, help_text="The change, line by line.")
    bundle = models.BinaryField(help_text="The exported configuration, gzip of JSON.")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"#{self.pk} {self.via} by {self.who}"
