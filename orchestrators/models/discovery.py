"""DiscoverySource (decided): who is asked for orchestrators. DiscoveryRun, DiscoveredEndpoint (observed):
how that went, and the last good word of each source on each endpoint (R69).
"""

from __future__ import annotations

import re
from datetime import datetime
from math import inf
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models

from orchestrators.core.discovery import Entry, Format, Kind, Named
from orchestrators.core.discovery.entry import MOST_NAMES
from orchestrators.core.discovery.merging import Claim, key_of
from orchestrators.core.slug import check_slug
from orchestrators.models.fields import validate_allowed
from orchestrators.models.secret import NoKey, SecretField

LONGEST_TEXT = 256 * 1024  # bytes; every change set keeps a copy
LONGEST_INTERVAL = 30 * 86400  # seconds


class FormatChoice(models.TextChoices):
    FLAG = Format.FLAG.value, "-orchAddr: addresses, separated by commas or lines"
    ADDRESSES = Format.ADDRESSES.value, "addresses: a webhook, signer, /discovery, NaaP, discovery-service"
    NETWORK = Format.NETWORK.value, "network capabilities: a stock gateway's /getNetworkCapabilities"
    SUBGRAPH = Format.SUBGRAPH.value, "subgraph: the protocol's registered transcoders"
    MANIFEST = Format.MANIFEST.value, "manifest: /.well-known/livepeer-registry.json"


class DiscoverySource(models.Model):
    """Either a `url` that is asked, or a `text` that is the answer."""

    name = models.CharField(
        max_length=63,
        unique=True,
        validators=[RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9._-]*$", "Letters, digits, '.', '_' and '-' only.")],
    )
    enabled = models.BooleanField(default=True, help_text="Off: it is not asked.")
    format = models.CharField(
        max_length=24,
        choices=FormatChoice.choices,
        default=FormatChoice.ADDRESSES,
        help_text="How its answer is read.",
    )
    url = models.CharField(
        "URL",
        max_length=500,
        blank=True,
        help_text="Asked for the list, query and all. Redirects are not followed.",
    )
    verify_tls = models.BooleanField(
        "verify TLS",
        default=True,
        help_text="Off for an orchestrator's own list behind a self-signed certificate.",
    )
    headers = SecretField(
        help_text="Sent with the question, one name: value a line, such as Authorization: Bearer ..."
    )
    text = models.TextField(blank=True, help_text="The list itself, instead of a URL.")
    trusted = models.BooleanField(
        default=False,
        help_text="On: what it names becomes active at once. Off: it waits in mode discovered for you.",
    )
    interval = models.PositiveIntegerField(
        default=300,
        validators=[MinValueValidator(30)],
        help_text="Seconds between two questions of discover_orchestrators --loop.",
    )
    names = models.JSONField(
        default=dict,
        blank=True,
        help_text='Capabilities by what this source calls them: {"flux-schnell": "image-to-image"}.',
    )
    exclude = models.JSONField(
        default=list,
        blank=True,
        help_text='Service URIs, hosts and ETH addresses that are left out: ["0x...", "o9.example"].',
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.url, self.names, self.exclude = self.url.strip(), self.names or {}, self.exclude or []
        errors: dict[str, str] = {}
        for field, check in (
            *(("url", self._check_url), ("text", self._check_text)),
            *(("names", self._check_names), ("exclude", self._check_exclude)),
            *(("headers", self.header_fields), ("interval", self._check_interval)),
        ):
            try:
                check()
            except ValidationError as exc:
                errors[field] = " ".join(exc.messages)
            except (ValueError, NoKey) as exc:
                errors[field] = str(exc)
        if errors:
            raise ValidationError(errors)

    def _check_url(self) -> None:
        if bool(self.url) == bool(self.text):
            raise ValueError("Give either a URL that is asked, or the text of the list.")
        if not self.url:
            return
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError(
                "Must be http:// or https:// with a host, such as https://lists.example/pool.json."
            )
        if parts.fragment or "@" in parts.netloc or not self.url.isascii() or " " in self.url:
            raise ValueError("Must have neither a fragment, nor a user name, nor spaces or other letters.")
        validate_allowed(self.url)

    def _check_text(self) -> None:
        if len(self.text.encode()) > LONGEST_TEXT:
            raise ValueError(f"Is larger than {LONGEST_TEXT // 1024} KiB; serve it, and give its URL.")

    def _check_interval(self) -> None:
        if (self.interval or 0) > LONGEST_INTERVAL:  # None: its field has already said so
            raise ValueError(f"Give seconds, at most {LONGEST_INTERVAL:,}: a month.")

    def _check_names(self) -> None:
        if not isinstance(self.names, dict) or not all(isinstance(slug, str) for slug in self.names.values()):
            raise ValueError('Must be an object of names and capabilities: {"flux-schnell": "image-to-image"}.')
        for slug in self.names.values():
            check_slug(slug)

    def _check_exclude(self) -> None:
        if not isinstance(self.exclude, list) or not all(isinstance(each, str) for each in self.exclude):
            raise ValueError('Must be a list of texts: ["0x...", "o9.example", "https://o8.example:8935"].')

    def header_fields(self) -> list[tuple[bytes, bytes]]:
        """As the transport takes them. Raises ValueError for what is no header, NoKey."""
        return [_header(line) for line in self.headers.reveal().splitlines() if line.strip()]

    def leaves_out(self, entry: Entry) -> bool:
        """`-orchBlocklist` knows ETH addresses alone; here a host or a whole address will do as well."""
        scheme, host, port = key_of(entry.service_uri)
        named = {text.lower().rstrip("/") for text in self.exclude}
        return bool(named & {entry.service_uri, f"{scheme}://{host}:{port}", host, entry.eth_address or host})


_NOT_TO_SET = {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept"}


def _header(line: str) -> tuple[bytes, bytes]:
    name, colon, value = (part.strip() for part in line.partition(":"))
    if not colon or not re.fullmatch(r"[A-Za-z0-9-]+", name) or not (value.isascii() and value.isprintable()):
        raise ValueError("One of them is no header; write one name: value a line.")  # never the value itself
    if name.lower() in _NOT_TO_SET:
        raise ValueError(f"{name} is said by the gateway itself.")
    return name.lower().encode(), value.encode()


class DiscoveryRun(models.Model):
    """One question to one source. `detail`: why it failed; else what was left out, and who has gone."""

    source = models.ForeignKey(DiscoverySource, on_delete=models.CASCADE, related_name="runs", db_index=False)
    at = models.DateTimeField(help_text="When its answer was here.")
    ok = models.BooleanField(help_text="The answer could be read.")
    found = models.PositiveIntegerField(default=0, help_text="Endpoints in the answer.")
    detail = models.TextField(blank=True, help_text="What was left out of it, or why it could not be read.")

    class Meta:
        indexes = [models.Index(fields=["source", "-id"], name="run_of_source")]
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.source_id} {self.at:%Y-%m-%d %H:%M:%S} {'ok' if self.ok else 'failed'}"


class DiscoveredEndpoint(models.Model):
    """Never removed by an answer that is shorter (go-livepeer #4087): it only gets older.

    `said`: {"score", "eth_address", "region", "serves": [{"name", "kind", "price", "path", "model",
    "capacity", "seen"}]}. A name that is no longer there has a `seen`: when it last was, in epoch seconds.
    """

    source = models.ForeignKey(DiscoverySource, on_delete=models.CASCADE, related_name="endpoints")
    service_uri = models.CharField("service URI", max_length=255, help_text="Where the source says it is.")
    first_seen = models.DateTimeField(help_text="When the source first named it.")
    last_seen = models.DateTimeField(help_text="When the source last named it.")
    listed = models.BooleanField(default=True, help_text="It stands in the source's latest answer.")
    said = models.JSONField(
        default=dict, help_text="What the source says of it: capabilities, prices, regions."
    )

    class Meta:
        ordering = ["service_uri", "source"]
        constraints = [
            models.UniqueConstraint(fields=["source", "service_uri"], name="one_endpoint_per_source")
        ]

    def __str__(self) -> str:
        return self.service_uri

    def hear(self, entry: Entry, now: datetime) -> tuple[list[str], bool]:
        """Take in what is said now; (what it no longer serves, whether `said` is another than before).

        What it still serves has no `seen`, so that hearing the same again changes nothing.
        """
        told = {"score": entry.score, "eth_address": entry.eth_address, "region": entry.region}
        before = {(each["name"], each["path"]): each for each in self.said.get("serves", ())}
        latest = {(each.name, each.path): _stored(each) for each in entry.serves}
        missed = sorted(key for key in before if key not in latest)
        gone = [" at ".join(filter(None, key)) for key in missed if "seen" not in before[key]]
        last = self.last_seen.timestamp() if self.last_seen else 0.0
        old = sorted(({"seen": last} | before[key] for key in missed), key=lambda each: -each["seen"])
        said = {
            **self.said,
            **{key: value for key, value in told.items() if value not in (None, "")},
            "serves": [*(latest[key] for key in sorted(latest)), *old][:MOST_NAMES],
        }
        changed, self.said = said != self.said, said
        self.last_seen, self.listed = now, True
        return gone, changed

    def as_claim(self) -> Claim:
        """For the pure rules: of each name, where it is now, or else was last. The source must be loaded."""
        serves = self.said.get("serves", ())
        newest: dict[str, float] = {}
        for each in serves:
            newest[each["name"]] = max(each.get("seen", inf), newest.get(each["name"], 0.0))
        entry = Entry(
            self.service_uri,
            self.said.get("score"),
            self.said.get("eth_address", ""),
            self.said.get("region", ""),
            tuple(_named(each) for each in serves if each.get("seen", inf) == newest[each["name"]]),
        )
        return Claim(self.source.name, self.source.trusted, self.listed, entry)


def _stored(named: Named) -> dict[str, Any]:
    return {
        "name": named.name,
        "kind": named.kind.value,
        "price": named.price,
        "path": named.path,
        "model": named.model,
        "capacity": named.capacity,
    }


def _named(said: dict[str, Any]) -> Named:
    return Named(said["name"], Kind(said["kind"]), said["price"], said["path"], said["model"], said["capacity"])
