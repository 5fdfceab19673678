"""Trial: one evaluation of an offer, with a scorecard. ReputationEvent: what moved a reputation (R53, R57)."""

from __future__ import annotations

from django.db import models

from orchestrators.core.reputation import Event, Kind
from orchestrators.core.scorecard import Verdict
from orchestrators.models.fields import PriceField
from orchestrators.models.offer import Offer
from orchestrators.models.orchestrator import Orchestrator


class Trial(models.Model):
    """Append-only. `points`: [{"name", "verdict", "sentence"}], in the order of the scorecard."""

    offer = models.ForeignKey(Offer, on_delete=models.CASCADE, related_name="trials", db_index=False)
    at = models.DateTimeField(help_text="When it was run.")
    who = models.CharField(max_length=150, help_text="Who had it run.")
    verdict = models.CharField(
        max_length=8,
        choices=[(each.value, each.value) for each in Verdict],
        help_text="The worst of its points: a warning is for people to read, a failure keeps traffic away.",
    )
    points = models.JSONField(
        default=list, help_text="The scorecard: name, verdict and sentence of each point."
    )
    cold_ms = models.FloatField(null=True, help_text="From the first call to the first good answer, if cold.")
    warm_ms = models.FloatField(null=True, help_text="Median of the warm calls, milliseconds.")
    warm_p95_ms = models.FloatField(null=True, help_text="95th percentile of the warm calls, milliseconds.")
    calls = models.PositiveIntegerField(default=0, help_text="Sample requests sent.")
    capacity = models.PositiveIntegerField(null=True, help_text="Free slots claimed when it began.")
    price = PriceField(null=True, help_text="What it quoted then.")

    class Meta:
        # the admin's only orders: of one offer, and of all, newest first
        indexes = [models.Index(fields=["offer", "-id"], name="trial_of_offer")]
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.offer_id} {self.at:%Y-%m-%d %H:%M:%S} {self.verdict}"

    @property
    def passed(self) -> bool:
        """With remarks or without."""
        return self.verdict != Verdict.FAIL


class ReputationEvent(models.Model):
    """Append-only. `points`: what it took away, as it counted then."""

    orchestrator = models.ForeignKey(
        Orchestrator, on_delete=models.CASCADE, related_name="reputation_events", db_index=False
    )
    at = models.DateTimeField(help_text="When it happened.")
    kind = models.CharField(
        max_length=24,
        choices=[(each.value, each.value) for each in Kind],
        help_text="What happened; the same trouble counts once an hour.",
    )
    points = models.FloatField(help_text="Of 100, taken away then; half of it is back after three days.")
    detail = models.CharField(max_length=500, blank=True, help_text="What it rests on.")
    offer = models.ForeignKey(
        Offer, null=True, on_delete=models.SET_NULL, related_name="reputation_events", db_index=False
    )

    class Meta:
        indexes = [
            models.Index(fields=["orchestrator", "-at"], name="reputation_of_orchestrator"),
            models.Index(fields=["offer", "-at"], name="reputation_by_offer"),
            models.Index(fields=["at"], name="reputation_at"),
        ]
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.orchestrator_id} {self.at:%Y-%m-%d %H:%M:%S} {self.kind}"

    def as_event(self) -> Event:
        return Event(Kind(self.kind), self.points, self.at.timestamp())
