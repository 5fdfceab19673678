"""KeptCall: a call whose outcome its client asked to keep, from before it is run until it expires.

The row is the claim: of two requests with one key the database lets one have it. The worker that made the row
alone moves it on; when that worker is dead, whoever notices ends it (`routing.kept.bury`).
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from routing.core.kept import UNDER_WAY, Kept, State

_UNDER_WAY = [each.value for each in UNDER_WAY]


class KeptCall(models.Model):
    """The only place where an answer's body is stored, because its client asked for it (R16)."""

    request_id = models.CharField(max_length=40, primary_key=True)
    client = models.CharField(max_length=63, help_text="Whose call it is.")
    key = models.CharField(max_length=255, null=True, help_text="Idempotency-Key; none: asynchronous alone.")
    fingerprint = models.CharField(max_length=64, help_text="Of the request: SHA-256.")
    capability = models.CharField(max_length=63, help_text="What was asked for.")
    asynchronous = models.BooleanField(help_text="The client was answered 202.")
    at = models.DateTimeField(help_text="When it came.")
    worker = models.CharField(max_length=80, help_text="Who runs it (routing.lives).")
    until = models.DateTimeField(help_text="By then it is over, or its worker is gone.")
    expires = models.DateTimeField(db_index=True, help_text="From then on nothing of it is kept.")
    cancel = models.BooleanField(default=False, help_text="Its client withdrew it.")
    state = models.CharField(
        max_length=10, choices=[(each.value, each.value) for each in State], help_text="How far it is."
    )
    code = models.CharField(
        max_length=32, blank=True, help_text="ok, or why there is no good answer; empty: not over yet."
    )
    status = models.PositiveSmallIntegerField(null=True, help_text="Of the answer.")
    headers = models.JSONField(default=dict, help_text="Of the answer, lower-case names.")
    body = models.BinaryField(null=True, help_text="Of the answer; none: not here yet, or not kept.")
    size = models.BigIntegerField(default=0, help_text="Bytes of body that are kept.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["client", "key"], name="one_call_per_key")]
        indexes = [
            models.Index(fields=["worker"], condition=Q(state__in=_UNDER_WAY), name="kept_under_way"),
            models.Index(fields=["client", "-at"], condition=Q(size__gt=0), name="kept_bodies"),
        ]

    def __str__(self) -> str:
        return f"{self.request_id} {self.state}"

    @property
    def facts(self) -> Kept:
        state = State(self.state)
        return Kept(self.request_id, self.fingerprint, state, self.code, has_answer=self.body is not None)
