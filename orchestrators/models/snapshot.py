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
    at = models.DateTimeField()
    source = models.CharField(max_length=8, choices=Source.choices)
    outcome = models.CharField(max_length=20)
    before = models.CharField(max_length=16)
    after = models.CharField(max_length=16)
    claimed = models.BooleanField(default=False)
    latency_ms = models.FloatField(null=True)
    cold = models.BooleanField(default=False)
    price = models.CharField(max_length=100, blank=True)
    capacity = models.PositiveIntegerField(null=True)
    detail = models.CharField(max_length=500, blank=True)

    class Meta:
        # the admin's only orders: of one offer, of one outcome or source, and of all, newest first
        indexes = [
            models.Index(fields=["offer", "-id"], name="snapshot_of_offer"),
            models.Index(fields=["outcome", "-id"], name="snapshot_of_outcome"),
            models.Index(fields=["source", "-id"], name="snapshot_of_source"),
            models.Index(fields=["at"], name="snapshot_at"),
        ]
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.offer_id} {self.at:%Y-%m-%d %H:%M:%S} {self.outcome}"
