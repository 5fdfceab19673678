"""Who may call: a Client with its Tier's limits, recognised by an ApiKey."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models

from orchestrators.models import Capability
from orchestrators.models.fields import AmountField, NetworksField, validate_slug

PREFIX = "byoc_"


class Tier(models.Model):
    """Limits that several clients share the wording of; an empty number is no limit."""

    slug = models.CharField(max_length=63, unique=True, validators=[validate_slug])
    requests_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Calls a minute of each client; empty: no limit.",
    )
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
    networks = NetworksField(
        help_text="Who calls from these without a key is this client, such as 10.0.0.0/8, 192.0.2.7: for stock "
        "clients, which can send none. Needs a tier. Empty: a key is required."
    )
    notes = models.TextField(blank=True)

    others: Iterable[Client] | None = None  # whose networks it may not share; None: those in the database

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if not self.networks or not isinstance(self.networks, list):
            return
        if self.tier is None:
            raise ValidationError(
                {"tier": "A client that is known by its network needs a tier, with its limits."}
            )
        stored = Client.objects.exclude(pk=self.pk).exclude(networks=[])
        for other in stored if self.others is None else self.others:
            both = set(self.networks) & set(other.networks)
            if both:
                raise ValidationError({"networks": f"{min(both)} is {other.name}'s already."})


def about_client(client: Client) -> Iterator[str]:
    """What may be saved and is seldom wise."""
    for text in client.networks:
        if not ip_network(text).prefixlen:
            yield f"Whoever reaches this gateway may call as {client} without a key: {text} is everybody."


class Scope(models.TextChoices):
    ALL = "all", "everything"
    INFERENCE = "inference", "inference alone"
    READ = "read", "jobs and usage alone"


class ApiKey(models.Model):
    """A secret of 256 random bits, kept only as a digest: nobody can read it back.

    No slow hash: it has nothing to slow down, since a random 256-bit secret cannot be guessed. With a pepper
    (BYOCGW_KEY_PEPPERS) the digest is an HMAC, so that a copy of the database cannot even test a guess.
    """

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="keys")
    label = models.CharField(max_length=63, blank=True)
    scope = models.CharField(
        max_length=16, choices=Scope.choices, default=Scope.ALL, help_text="What this key is good for."
    )
    networks = NetworksField(help_text="From where it may be used, such as 10.0.0.0/8. Empty: from anywhere.")
    hint = models.CharField(max_length=16, editable=False, help_text="How the key begins.")
    digest = models.CharField(
        max_length=64, unique=True, editable=False, help_text="What is stored of the key."
    )
    created_at = models.DateTimeField(editable=False, help_text="When it was made.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")
    revoked_at = models.DateTimeField(null=True, blank=True, help_text="Set: refused within a second.")
    last_used = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="To the minute, as far as the gateways have told."
    )

    SOON = timedelta(days=7)  # from here on the console warns that it expires
    UNUSED = timedelta(days=90)

    class Meta:
        ordering = ["client", "-created_at"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.hint}… of {self.client}"

    def standing(self, now: datetime) -> str:
        """In a word: revoked, expired, expires soon, unused, valid."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now + self.SOON:
            return "expired" if self.expires_at <= now else "expires soon"
        return "unused" if (self.last_used or self.created_at) <= now - self.UNUSED else "valid"

    @staticmethod
    def digests_of(key: str) -> list[str]:
        """What the whole key, prefix and all, may be stored as: by each pepper in force, the newest first.

        SHA-256 in hex, keyed with the pepper (HMAC) where there is one.
        """
        data = key.encode()
        return [
            hmac.digest(pepper.encode(), data, "sha256").hex() if pepper else hashlib.sha256(data).hexdigest()
            for pepper in settings.BYOCGW_KEY_PEPPERS
        ]

    @classmethod
    def issue(cls, client: Client, *, now: datetime, label: str = "") -> tuple[ApiKey, str]:
        """A new key, unsaved, and its secret: the only moment in which that can be seen."""
        secret = PREFIX + secrets.token_urlsafe(32)
        digest = cls.digests_of(secret)[0]
        return cls(client=client, label=label, hint=secret[:10], digest=digest, created_at=now), secret

    def rotate(self, *, now: datetime, overlap: timedelta) -> tuple[ApiKey, str]:
        """Its successor, unsaved, with its secret; this one, unsaved too, expires when the overlap is over."""
        successor, secret = ApiKey.issue(self.client, now=now, label=self.label)
        successor.scope, successor.networks = self.scope, self.networks
        end = now + overlap
        self.expires_at = end if self.expires_at is None else min(self.expires_at, end)
        return successor, secret


def note_use(used: Mapping[str, float]) -> None:
    """When keys were last used: digest -> wall seconds. Raises django.db.Error."""
    for digest, at in used.items():
        ApiKey.objects.filter(digest=digest).update(last_used=datetime.fromtimestamp(at, UTC))
