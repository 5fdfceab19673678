"""What was asked and what came of it: Job, its Attempts, and the exact sums: UsageHour, OfferDay.

Names are stored as text, not as foreign keys: history outlives what it tells of, and a row can be
written without looking anything up. Bodies are never stored (R16).

On PostgreSQL the tables of Job and Attempt are partitioned by `at` (routing/partitions.py). There a request id
is unique together with its moment, which a line of the journal applied twice would repeat.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models

from orchestrators.models.clocks import has_come
from orchestrators.models.fields import WeiField


class Job(models.Model):
    """One request of one client. The request id is the primary key, so no line is applied twice."""

    request_id = models.CharField(max_length=40, primary_key=True)
    at = models.DateTimeField(help_text="When it arrived.")
    client = models.CharField(max_length=63, help_text="Who asked.")
    capability = models.CharField(
        max_length=63, blank=True, help_text="What was asked for; empty: nothing that this gateway has."
    )
    worker_path = models.CharField(
        max_length=200, blank=True, help_text="The container's path that was asked for."
    )
    code = models.CharField(max_length=32, help_text="ok, client_error, cancelled, or the refusal's code.")
    status = models.PositiveSmallIntegerField(help_text="HTTP status of the answer; 499: the client hung up.")
    orchestrator = models.CharField(max_length=63, blank=True, help_text="Who served it.")
    attempts_made = models.PositiveSmallIntegerField(help_text="How many orchestrators were asked.")
    ms = models.PositiveIntegerField(help_text="From its arrival to the end of the answer, milliseconds.")
    bytes_in = models.BigIntegerField(help_text="Bytes of the request's body.")
    bytes_out = models.BigIntegerField(help_text="Bytes of the answer that were passed on.")
    wei = WeiField(help_text="Price times seconds, rounded up.")
    policy = models.BigIntegerField(help_text="The revision of the routing table that decided.")
    decision = models.JSONField(default=dict, help_text="Who was ranked and who was refused, with reasons.")
    trace = models.CharField(max_length=32, null=True, blank=True, help_text="The id of its W3C trace.")
    model_id = models.CharField(
        max_length=200,
        null=True,
        blank=True,
        help_text="What a client of a stock route called the model. Written down, never routed on (R30).",
    )

    class Meta:
        ordering = ["-at"]
        # The only one: each more costs every call 1 to 5 us. It holds what lists filter by (models/reach.py).
        indexes = [
            models.Index(fields=["at", "client", "capability", "orchestrator", "code"], name="job_by_time")
        ]

    def __str__(self) -> str:
        return self.request_id


class Attempt(models.Model):
    """One orchestrator asked for one job."""

    # No constraint: retention takes either away without looking at the other.
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts", db_constraint=False)
    number = models.PositiveSmallIntegerField(help_text="Its place among the request's attempts, from 1.")
    at = models.DateTimeField(help_text="When it began.")
    orchestrator = models.CharField(max_length=63, help_text="Who was asked.")
    capability = models.CharField(max_length=63, help_text="For what.")
    outcome = models.CharField(max_length=20, help_text="The class of what came of it.")
    status = models.PositiveSmallIntegerField(
        null=True, help_text="HTTP status of the answer; empty: none came."
    )
    ms = models.PositiveIntegerField(help_text="Until it failed or reached the commit point, milliseconds.")
    cold = models.BooleanField(default=False, help_text="The answer paid for loading the model.")
    held_against = models.BooleanField(default=True, help_text="Off: the request itself was to blame.")
    detail = models.CharField(
        max_length=500,
        blank=True,
        help_text="What the class rests on; may name hosts, and is for operators alone.",
    )

    class Meta:
        ordering = ["job", "number"]
        indexes = [models.Index(fields=["at", "orchestrator", "capability"], name="attempt_by_time")]

    def __str__(self) -> str:
        return f"{self.job_id}#{self.number} {self.outcome}"


class UsageHour(models.Model):
    """Exact sums per hour, client and capability: whatever is sampled elsewhere, these are complete."""

    hour = models.DateTimeField(db_index=True, help_text="The hour, UTC.")
    client = models.CharField(max_length=63, help_text="Who asked.")
    capability = models.CharField(
        max_length=63, blank=True, help_text="What for; empty: nothing that this gateway has."
    )
    requests = models.BigIntegerField(default=0, help_text="Requests that ended in this hour.")
    failures = models.BigIntegerField(default=0, help_text="Answered 5xx, or broken off by an orchestrator.")
    milliseconds = models.BigIntegerField(default=0, help_text="Sum of the requests' times.")
    bytes_in = models.BigIntegerField(default=0, help_text="Sum of the requests' bodies, bytes.")
    bytes_out = models.BigIntegerField(default=0, help_text="Sum of what was answered, bytes.")
    wei = WeiField(default=0, help_text="Sum of what the requests cost.")

    class Meta:
        ordering = ["-hour"]
        constraints = [
            models.UniqueConstraint(fields=["hour", "client", "capability"], name="one_usage_row_per_hour")
        ]
        verbose_name_plural = "usage by hour"

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.client} {self.capability}"


class OfferDay(models.Model):
    """Exact sums per day (UTC), orchestrator and capability: what was asked there, in vain or not, and what it
    cost. The wei of a day add up to those of its hours."""

    day = models.DateField(help_text="The day, UTC.")
    orchestrator = models.CharField(max_length=63, help_text="Who was asked.")
    capability = models.CharField(max_length=63, help_text="For what.")
    attempts = models.BigIntegerField(default=0, help_text="How often it was asked.")
    failures = models.BigIntegerField(default=0, help_text="Attempts from which no answer came.")
    milliseconds = models.BigIntegerField(default=0, help_text="Of all attempts.")
    wei = WeiField(default=0, help_text="Sum of what its answers cost.")

    class Meta:
        ordering = ["-day"]
        constraints = [
            models.UniqueConstraint(
                fields=["day", "orchestrator", "capability"], name="one_row_per_offer_and_day"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.orchestrator} {self.capability}"


class JournalMark(models.Model):
    """How many bytes of a journal file are in the database already."""

    file = models.CharField(max_length=200, primary_key=True)
    offset = models.BigIntegerField(default=0, help_text="Bytes of the file that are in the database already.")

    def __str__(self) -> str:
        return f"{self.file} at {self.offset}"


class Chore(models.Model):
    """Work that one process at a time does for all: whoever moves `due` ahead does it."""

    name = models.CharField(max_length=40, primary_key=True)
    due = models.DateTimeField(help_text="When it is to be done next.")

    def __str__(self) -> str:
        return f"{self.name} due {self.due:%Y-%m-%d %H:%M:%S}"

    @classmethod
    def claim(cls, name: str, now: datetime, every: timedelta) -> bool:
        """Whether the work is due, and ours for this time."""
        cls.objects.get_or_create(name=name, defaults={"due": now})
        return bool(cls.objects.filter(has_come("due", now, every), name=name).update(due=now + every))
