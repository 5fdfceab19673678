"""Capability: a stable contract that clients call and orchestrators compete for (R1, R23, R30)."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from orchestrators.core.contract import Contract
from orchestrators.core.fit import fit_of
from orchestrators.core.slug import check_contract
from orchestrators.models.fields import validate_slug
from orchestrators.models.profile import POSITIVE, RoutingProfile, check_times


class Capability(models.Model):
    """`slug` is the public name: no model, no orchestrator is part of it.

    Empty policy fields are inherited from the profile; `effective()` is the one place that says so.
    """

    slug = models.CharField(max_length=63, unique=True, validators=[validate_slug])
    description = models.TextField(blank=True)
    profile = models.ForeignKey(RoutingProfile, on_delete=models.PROTECT, related_name="capabilities")
    retry_timeout = models.FloatField(
        null=True,
        blank=True,
        validators=POSITIVE,
        help_text="Seconds in which another attempt may start (-aiProcessingRetryTimeout). Empty: profile's.",
    )
    attempt_timeout = models.FloatField(
        null=True, blank=True, validators=POSITIVE, help_text="Seconds one attempt has. Empty: the profile's."
    )
    cold_grace = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.0)],
        help_text="Extra seconds for an offer not known to be warm; 0 is a value. Empty: the profile's.",
    )
    max_attempts = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="Empty: the profile's."
    )
    max_in_flight = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Calls at once to one offer. Empty: profile's.",
    )
    value_of_second = models.BigIntegerField(
        "value of a second",
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="Wei a second of waiting is worth: 0 is cheapest first. Empty: the profile's.",
    )
    stateful = models.BooleanField(
        default=False,
        help_text="The container keeps state between requests: never tried elsewhere once it may have begun.",
    )
    typical_seconds = models.FloatField(
        null=True,
        blank=True,
        validators=POSITIVE,
        help_text="Compute seconds a usual request takes, for comparing prices. Empty: the latency target.",
    )
    parts = models.ManyToManyField(
        "self", symmetrical=False, blank=True, related_name="part_of", help_text="What a chained one chains."
    )
    request = models.JSONField(
        default=dict,
        blank=True,
        help_text="What it takes, in the same form. Told to clients and not checked: the container decides.",
    )
    response = models.JSONField(
        default=dict,
        blank=True,
        help_text='The contract of a good answer: {"content_types": ["application/json"], "schema": {...}}.',
    )
    sample_request = models.JSONField(
        null=True,
        blank=True,
        help_text='Sent by the prober: {"content_type": "application/json", "path": "", "body": {...}}.',
    )

    class Meta:
        ordering = ["slug"]
        verbose_name_plural = "capabilities"

    def __str__(self) -> str:
        return self.slug

    def clean(self) -> None:
        check_times(self)
        errors: dict[str, list[str]] = {}
        for field, check in (
            ("slug", partial(check_contract, self.slug)),
            ("request", self.check_request),
            ("response", self.contract),
            ("sample_request", self.check_sample),
        ):
            try:
                check()
            except ValueError as exc:
                errors[field] = [str(exc)]
        if errors:
            raise ValidationError(errors)

    def effective(self, name: str) -> Any:
        """The capability's own value of a policy field, or its profile's."""
        own = getattr(self, name)
        return getattr(self.profile, name) if own is None else own

    def contract(self) -> Contract:
        """The declared response contract, compiled. Raises ValueError with a sentence."""
        return _compiled(self.response)

    def check_request(self) -> None:
        _compiled(self.request)

    def check_sample(self) -> None:
        sample = self.sample_request
        if sample is None:
            return
        if not isinstance(sample, dict) or set(sample) - {"content_type", "path", "body"}:
            raise ValueError("must be an object with content_type, path and body.")
        for key in ("content_type", "path"):
            text = sample.get(key, "")
            if not isinstance(text, str) or not text.isascii() or any(ord(c) < 32 for c in text):
                raise ValueError(f"{key} must be one line of ASCII text.")

    @property
    def fit(self) -> str:
        """good | fair | poor: how well the work suits routing of short units (R20, R46)."""
        seconds = self.typical_seconds or self.profile.latency_target_ms / 1000
        return fit_of(stateful=self.stateful, seconds=seconds).value


def _compiled(declared: object) -> Contract:
    if not isinstance(declared, dict) or set(declared) - {"content_types", "schema"}:
        raise ValueError("must be an object with content_types and schema, both optional.")
    types = declared.get("content_types", [])
    if not isinstance(types, list) or not all(isinstance(text, str) for text in types):
        raise ValueError("content_types must be a list of media types.")
    return Contract.of(tuple(types), declared.get("schema"))
