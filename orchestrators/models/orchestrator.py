"""Orchestrator: a node that sells GPU compute, and how far people let traffic go there."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import chain, count
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from orchestrators.models.fields import validate_allowed


class Mode(models.TextChoices):
    """Set by people, on orchestrator and offer; the stricter of both counts. Only `active` gets traffic."""

    DISCOVERED = "discovered", "discovered: seen, not approved"
    TRIAL = "trial", "trial: being evaluated"
    ACTIVE = "active", "active"
    DRAINING = "draining", "draining: finishes what it has"
    DISABLED = "disabled", "disabled"
    RETIRED = "retired", "retired: kept for its history"


ASLEEP = (Mode.DISABLED, Mode.RETIRED)  # not even probed


class ProtocolChoice(models.TextChoices):
    BYOC = "byoc", "BYOC: through a Livepeer orchestrator"
    LIVE_RUNNER = "live-runner", "Live Runner: an app behind a Livepeer orchestrator"
    DIRECT = "direct", "direct: the container's own HTTP API"


class TlsPolicy(models.TextChoices):
    VERIFY = "verify", "verify: the certificate's chain must be valid"
    PIN = "pin", "pin: a valid chain, or the certificate seen first"
    INSECURE = "insecure", "insecure: accept any certificate"


def validate_service_uri(text: str) -> None:
    """http(s) with a host, nothing behind the port: the protocols append their own paths."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as exc:
        raise ValidationError(f"{text!r} is not an address: {exc}.", code="service_uri") from exc
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValidationError(
            f"{text!r} must be http:// or https:// with a host, such as https://host:8935.", code="service_uri"
        )
    if parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username or not text.isascii():
        raise ValidationError(
            f"{text!r} must end with the host and port; paths belong to its offers.", code="service_uri"
        )


class Orchestrator(models.Model):
    """`service_uri` is compared as an exact string by clients' include and exclude lists."""

    name = models.CharField(
        max_length=63,
        unique=True,
        validators=[RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9._-]*$", "Letters, digits, '.', '_' and '-' only.")],
    )
    service_uri = models.CharField(
        "service URI",
        max_length=255,
        unique=True,
        validators=[validate_service_uri],
        help_text="Such as https://host:8935.",
    )
    protocol = models.CharField(
        max_length=16,
        choices=ProtocolChoice.choices,
        default=ProtocolChoice.BYOC,
        help_text="How it is spoken to.",
    )
    mode = models.CharField(
        max_length=16,
        choices=Mode.choices,
        default=Mode.ACTIVE,
        help_text="How far traffic may go there; of its own and its offers' the stricter counts.",
    )
    tls = models.CharField(
        "TLS",
        max_length=16,
        choices=TlsPolicy.choices,
        default=TlsPolicy.PIN,
        help_text="Ignored for http. Orchestrators often use self-signed certificates: pin them.",
    )
    region = models.CharField(
        max_length=63, blank=True, help_text="Where it is, for people; routing goes by latency."
    )
    notes = models.TextField(blank=True)

    class Meta:
        ordering = ["name"]
        # of orchestrators and of offers alike: what is done at night by who may not edit
        permissions = [("operate", "Can probe and try offers, and drain, resume and disable them")]

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def free_name(uri: str, taken: Collection[str]) -> str:
        """For a new one: the host; where that is taken, with the port, then with a number."""
        try:
            parts = urlsplit(uri)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return "unnamed"  # the address itself is about to be refused
        host = re.sub(r"[^A-Za-z0-9._-]+", "-", host).strip("-._")[:50] or "orchestrator"
        names = chain([host], [f"{host}-{port}"] if port else [], (f"{host}-{number}" for number in count(2)))
        return next(name for name in names if name not in taken)

    def clean(self) -> None:
        self.service_uri = self.service_uri.rstrip("/")
        try:
            validate_allowed(self.service_uri)
        except ValidationError as exc:
            raise ValidationError({"service_uri": exc}) from exc


class Certificate(models.Model):
    """What we know of an orchestrator's TLS certificate: SHA-256 fingerprints in lower-case hex.

    `trusted` is written by the prober at first sight and by people afterwards; `seen` is the latest.
    """

    orchestrator = models.OneToOneField(Orchestrator, on_delete=models.CASCADE, primary_key=True)
    trusted = models.CharField(max_length=64, help_text="SHA-256 of the certificate that calls accept.")
    seen = models.CharField(max_length=64, help_text="SHA-256 of the certificate that it showed last.")
    seen_at = models.DateTimeField(help_text="When it showed that.")

    def __str__(self) -> str:
        return f"{self.orchestrator_id}: {self.trusted[:16]}"

    @property
    def changed(self) -> bool:
        return self.seen != self.trusted
