"""RoutingProfile: the latency profile of a kind of capability, as numbers (R31-R45)."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from orchestrators.models.fields import PriceField, validate_slug

POSITIVE = [MinValueValidator(0.001)]


LONGEST = 86_400  # seconds; no timer of an event loop goes to 1e308
_TIMES = ("attempt_timeout", "cold_grace", "seat_wait", "fresh_for", "typical_seconds")


def check_times(row: models.Model) -> None:
    """Of a profile or capability. ValidationError for what nobody means but who writes milliseconds."""
    errors = {}
    if (getattr(row, "retry_timeout", None) or 0) > 3600:
        errors["retry_timeout"] = "More than an hour is no retry budget; give seconds."
    for name in _TIMES:
        if (getattr(row, name, None) or 0) > LONGEST:
            errors[name] = f"Give seconds, at most {LONGEST:,}: a day."
    if errors:
        raise ValidationError(errors)


class RoutingProfile(models.Model):
    """Defaults for the capabilities that name it; a capability's own value wins."""

    slug = models.CharField(max_length=63, unique=True, validators=[validate_slug])
    description = models.TextField(blank=True)
    max_attempts = models.PositiveSmallIntegerField(
        default=3,
        validators=[MinValueValidator(1)],
        help_text="How many orchestrators one request may try, each another one.",
    )
    retry_timeout = models.FloatField(
        validators=POSITIVE,
        help_text="Seconds in which another attempt may still start: the total retry budget of a request, "
        "what the stock gateway calls -aiProcessingRetryTimeout. An attempt that runs may finish.",
    )
    attempt_timeout = models.FloatField(
        validators=POSITIVE, help_text="Seconds one attempt has until the first byte for the client."
    )
    cold_grace = models.FloatField(
        validators=[MinValueValidator(0.0)],
        help_text="Seconds added to the first call to an offer that is not known to be warm; 0 is allowed.",
    )
    latency_target_ms = models.PositiveIntegerField(
        "latency target, ms",
        validators=[MinValueValidator(1)],
        help_text="The p95 in milliseconds that this kind of work should reach; above it an offer is slow.",
    )
    max_in_flight = models.PositiveIntegerField(
        validators=[MinValueValidator(1)], help_text="Calls at once to one offer."
    )
    seat_wait = models.FloatField(
        validators=[MinValueValidator(0.0)],
        help_text="Seconds a request may wait for a free seat when every offer is full.",
    )
    fresh_for = models.FloatField(
        validators=POSITIVE, help_text="Seconds after which an offer without news is stale and ranks lower."
    )
    value_of_second = models.BigIntegerField(
        "value of a second",
        validators=[MinValueValidator(0)],
        help_text="What a second of waiting is worth, in wei: 0 picks the cheapest, a very large value the "
        "fastest. 1 gwei is 1000000000 wei.",
    )
    suggested_ceiling = PriceField(
        help_text="Shown where a capability has no price ceiling yet; never applied by itself."
    )

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug

    def clean(self) -> None:
        check_times(self)
