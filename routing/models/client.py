"""Who may call: a Client with its Tier's limits, recognised by an ApiKey."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models

from orchestrators.models import Capability
from orchestrators.models.fields import AmountField, validate_slug

PREFIX = "byoc_"


class Tier(models.Model):
    """Limits that several clients share the wording of; an empty number is no limit."""

    slug = models.CharField(max_length=63, unique=True, validators=[validate_slug])
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    burst = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Requests that may come at once. Empty: a tenth of a minute's.",
    )
    max_in_flight = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="Calls at once, per client."
    )

    daily_budget = AmountField(
        null=True,
        blank=True,
        help_text="Such as 0.02 eth: what a client may spend in a day (UTC). Kept free for a call before it "
        "begins, so never overspent. Empty: no limit.",
    )
    monthly_budget = AmountField(
        null=True, blank=True, help_text="The same for a calendar month (UTC). Empty: no limit."
    )

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


class Client(models.Model):
    """A customer or an application. Without a tier it has no limits; without capabilities it may call all."""

    name = models.CharField(
        max_length=63,
        unique=True,
        validators=[RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9._-]*$", "Letters, digits, '.', '_' and '-' only.")],
    )
    tier = models.ForeignKey(Tier, null=True, blank=True, on_delete=models.PROTECT, related_name="clients")
    capabilities = models.ManyToManyField(
        Capability, blank=True, related_name="clients", help_text="What it may call. Empty: everything."
    )
    is_active = models.BooleanField(default=True, help_text="Off: all its keys are refused within a second.")
    notes = models.TextField(blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """A secret of 256 random bits, kept only as its SHA-256: nobody can read it back.

    No slow hash: it has nothing to slow down, since a random 256-bit secret cannot be guessed.
    """

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="keys")
    label = models.CharField(max_length=63, blank=True)
    hint = models.CharField(max_length=16, editable=False, help_text="How the key begins.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")
    revoked_at = models.DateTimeField(null=True, blank=True, help_text="Set: refused within a second.")
    last_used = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["client", "-created_at"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.hint}… of {self.client}"

    @staticmethod
    def digest_of(key: str) -> str:
        """SHA-256 of the whole key, prefix and all, in hex."""
        return hashlib.sha256(key.encode()).hexdigest()

    @classmethod
    def issue(cls, client: Client, *, now: datetime, label: str = "") -> tuple[ApiKey, str]:
        """A new key, unsaved, and its secret: the only moment in which that can be seen."""
        secret = PREFIX + secrets.token_urlsafe(32)
        key = cls(client=client, label=label, hint=secret[:10], digest=cls.digest_of(secret), created_at=now)
        return key, secret
