"""HealthSnapshot: the history of probes and of changes of state. Append-only."""

from __future__ import annotations

from django.db import models

from orchestrators.models.offer import Offer


class HealthSnapshot(models.Model):
    """One look at one offer: what was seen, and what became of its state."""

    class Source(models.TextChoices):
        PROBE = "probe"
        TRAFFIC = "traffic"
        TRIAL = "trial"

    offer = models.ForeignKey(Offer, on_delete=models.CASCADE, related_name="snapshots", db_index=False)
    at = models.DateTimeField(help_text="When it was seen.")
    source = models.CharField(
        max_length=8, choices=Source.choices, help_text="Who saw it: a probe, a client's call, a trial."
    )
    outcome = models.CharField(max_length=20, help_text="The class of what was seen.")
    before = models.CharField(max_length=16, help_text="The state before.")
    after = models.CharField(max_length=16, help_text="The state after.")
    claimed = models.BooleanField(default=False, help_text="It said that it serves this.")
    latency_ms = models.FloatField(
        null=True, help_text="Until the commit point, milliseconds; empty: no such answer."
    )
    cold = models.BooleanField(default=False, help_text="The answer paid for loading the model.")
    price = models.CharField(max_length=100, blank=True, help_text="What it quoted.")
    capacity = models.PositiveIntegerField(null=True, help_text="Free slots it claimed.")
    detail = models.CharField(max_length=500, blank=True, help_text="What the outcome rests on.")

    class Meta:
        indexes = [
            models.Index(fields=["offer", "at"], name="snapshot_of_offer"),
            # holds what the admin's list filters by (models/reach.py)
            models.Index(fields=["at", "source", "outcome", "offer"], name="snapshot_by_time"),
        ]
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.offer_id} {self.at:%Y-%m-%d %H:%M:%S} {self.outcome}"
