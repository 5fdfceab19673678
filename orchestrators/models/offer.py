"""Offer (decided), Advert (claimed), OfferHealth (observed): one (orchestrator, capability), three truths."""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone

from orchestrators.core.health import Health, State
from orchestrators.core.outcome import OutcomeClass
from orchestrators.models.capability import Capability
from orchestrators.models.fields import PriceField
from orchestrators.models.orchestrator import Mode, Orchestrator, ProtocolChoice

ONE_LINE = RegexValidator(r"^[\x20-\x7e]*$", "One line of printable ASCII characters only.")
PATH = RegexValidator(r"^[!-~]*$", "A URL path: no spaces, no control characters.")


class Offer(models.Model):
    """One orchestrator's priced claim to serve a capability, as people decided to use it."""

    orchestrator = models.ForeignKey(Orchestrator, on_delete=models.CASCADE, related_name="offers")
    capability = models.ForeignKey(Capability, on_delete=models.CASCADE, related_name="offers")
    wire_name = models.CharField(
        max_length=200,
        blank=True,
        validators=[ONE_LINE],
        help_text="What the orchestrator calls the capability. Empty: the capability's slug.",
    )
    path = models.CharField(
        max_length=200,
        blank=True,
        validators=[PATH],
        help_text="Put before the client's worker path, such as v1/depth; of a Live Runner apps/depth/app.",
    )
    mode = models.CharField(
        max_length=16,
        choices=Mode.choices,
        default=Mode.ACTIVE,
        help_text="How far traffic may go there; of its own and its orchestrator's the stricter counts.",
    )
    max_in_flight = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Calls at once. Empty: the capability's or the profile's, within what it claims.",
    )
    price = PriceField(
        null=True,
        blank=True,
        help_text="Direct protocol only, such as 10 wei/second; orchestrators quote their own.",
    )
    share = models.FloatField(
        default=1.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text="The part of the traffic it may win at the most, from 0 to 1.",
    )
    ignored_until = models.DateTimeField(
        null=True, blank=True, help_text="No call goes there before this moment; it is probed all the same."
    )

    added_at = models.DateTimeField(
        null=True,
        default=timezone.now,
        editable=False,
        help_text="When it came here; empty: before that was written down.",
    )

    class Meta:
        ordering = ["orchestrator", "capability"]
        constraints = [
            models.UniqueConstraint(
                fields=["orchestrator", "capability"],
                name="one_offer_per_capability",
                violation_error_message="This orchestrator already has an offer for this capability.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.orchestrator} / {self.capability}"

    def clean(self) -> None:
        home = getattr(self, "orchestrator", None)
        if home is None:
            return  # the form says so itself
        protocol = home.protocol
        if self.price is not None and protocol != ProtocolChoice.DIRECT:
            raise ValidationError({"price": "An orchestrator quotes its own price; leave this empty."})
        if not self.path and protocol == ProtocolChoice.LIVE_RUNNER:
            raise ValidationError({"path": "A Live Runner needs the path of its app, such as apps/depth/app."})

    @property
    def name_on_wire(self) -> str:
        return self.wire_name or self.capability.slug


class Advert(models.Model):
    """What the orchestrator claims. Written by the prober, and by a gateway told 'no capacity'."""

    offer = models.OneToOneField(Offer, on_delete=models.CASCADE, primary_key=True, related_name="advert")
    claimed = models.BooleanField(
        default=False, help_text="It says that it serves this. If not, it is asked as a last resort only."
    )
    price = PriceField(null=True, help_text="What it last quoted; empty: nothing that could be paid.")
    capacity = models.PositiveIntegerField(null=True, help_text="Free slots, at the last look.")
    largest_capacity = models.PositiveIntegerField(
        default=0, help_text="The most free slots it ever claimed; calls at once stay within it."
    )
    empty_streak = models.PositiveIntegerField(default=0, help_text="Looks in a row that showed no capacity.")
    model = models.CharField(max_length=200, blank=True, help_text="What it says it runs; never routed on.")
    falling = models.BooleanField(
        default=False,
        help_text="Its free slots fell to half of the most it had, and have not risen: ranked later.",
    )
    gpu = models.CharField(max_length=100, blank=True, help_text="What it says it runs on.")
    vram_mib = models.PositiveIntegerField(null=True, help_text="Memory of its GPUs, MiB.")
    vram_free_mib = models.PositiveIntegerField(null=True, help_text="Free of that at the last look, MiB.")
    precision = models.CharField(
        max_length=16,
        blank=True,
        help_text="Number format of its model, such as fp16: between equals the lighter one serves real time.",
    )
    detail = models.CharField(max_length=500, blank=True, help_text="Its own words at the last look.")
    checked_at = models.DateTimeField(null=True, help_text="When it was last looked at.")

    def __str__(self) -> str:
        return f"{self.offer_id}: {'claimed' if self.claimed else 'not claimed'}"


class OfferHealth(models.Model):
    """What probes and traffic observed. `state`, `until` and `cause` change by compare-and-swap on `epoch`."""

    offer = models.OneToOneField(Offer, on_delete=models.CASCADE, primary_key=True, related_name="health")
    state = models.CharField(
        max_length=16,
        choices=[(s.value, s.value) for s in State],
        default=State.UNKNOWN.value,
        db_index=True,
        help_text="unknown, healthy, degraded (ranked later), down (not asked), probation (proving itself).",
    )
    since = models.DateTimeField(null=True, help_text="When this state began.")
    until = models.DateTimeField(null=True, help_text="Down until then; empty: until the next probe.")
    cause = models.CharField(
        max_length=20,
        blank=True,
        choices=[(c.value, c.value) for c in OutcomeClass],
        help_text="The outcome class that took it down.",
    )
    reason = models.CharField(max_length=500, blank=True, help_text="What the state rests on.")
    ejections = models.PositiveIntegerField(
        default=0, help_text="Times it went down, halved at each return: each doubles the time of the next."
    )
    streak = models.PositiveIntegerField(default=0, help_text="Faults in a row.")
    epoch = models.BigIntegerField(
        default=0, help_text="Counts the changes of state that were stored; who writes must know the latest."
    )
    warm_ms = models.FloatField(null=True, help_text="Latency of warm calls, milliseconds.")
    cold_ms = models.FloatField(null=True, help_text="Latency of the last cold start, milliseconds.")
    last_success_at = models.DateTimeField(null=True, help_text="When it last answered real input as promised.")
    last_outcome = models.CharField(
        max_length=20, blank=True, help_text="The class of the latest contact that was stored."
    )
    last_outcome_at = models.DateTimeField(null=True, help_text="When that was.")
    called_at = models.DateTimeField(null=True, help_text="When a gateway last had a call in flight here.")
    probed_at = models.DateTimeField(null=True, help_text="When a prober last looked.")
    sampled_at = models.DateTimeField(null=True, help_text="When the sample request was last sent.")
    next_probe_at = models.DateTimeField(null=True, db_index=True, help_text="When a prober looks next.")
    lease_until = models.DateTimeField(null=True, help_text="A prober holds this row until then.")

    class Meta:
        verbose_name_plural = "offer health"

    def __str__(self) -> str:
        return f"{self.offer_id}: {self.state}"

    def as_health(self) -> Health:
        """For the pure rules, in epoch seconds. What a row does not keep (the last 30 s) starts afresh."""
        return Health(
            state=State(self.state),
            since=_seconds(self.since) or 0.0,
            until=_seconds(self.until),
            cause=OutcomeClass(self.cause) if self.cause else None,
            reason=self.reason,
            streak=self.streak,
            ejections=self.ejections,
            last_success_at=_seconds(self.last_success_at),
        )


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()
