"""FailureSignature: words by which an answer is known for what it is (R63-R66)."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from orchestrators.core.outcome import OutcomeClass
from orchestrators.core.signature import RECOGNISABLE, Signature, faults

log = logging.getLogger(__name__)

_STATUS = [MinValueValidator(200), MaxValueValidator(599)]
_FIELDS = ("name", "cls", "status_from", "status_to", "text", "header")


class Signatures(models.QuerySet["FailureSignature"]):
    def in_force(self) -> tuple[Signature, ...]:
        """Those that count, in order; one query. A row that is none is left out and logged."""
        rows = self.filter(enabled=True).order_by("order", "name").values_list(*_FIELDS)
        read = (_read(row) for row in rows)
        return tuple(each for each in read if each is not None)


class FailureSignature(models.Model):
    """The first one that matches an answer decides its class; only the orchestrator's own texts come before."""

    name = models.SlugField(max_length=63, unique=True, help_text="How logs, jobs and configuration call it.")
    order = models.PositiveIntegerField(
        default=100, help_text="The first that matches counts; small ones first."
    )
    enabled = models.BooleanField(default=True, help_text="Off: it is not looked for.")
    status_from = models.PositiveSmallIntegerField(
        "from status", validators=_STATUS, help_text="The first status it applies to."
    )
    status_to = models.PositiveSmallIntegerField(
        "to status", validators=_STATUS, help_text="The last status it applies to, this one included."
    )
    text = models.CharField(
        max_length=200,
        blank=True,
        help_text="Words in the first 8 KiB of the body, upper and lower case alike. Empty: any body.",
    )
    header = models.CharField(
        max_length=200,
        blank=True,
        help_text="name: words, such as X-Model-State: loading. name: alone asks for its presence. "
        "With a text as well, both must be there.",
    )
    cls = models.CharField(
        "class",
        max_length=20,
        choices=[(each.value, each.value) for each in RECOGNISABLE],
        help_text="What such an answer is; the page that classifies an answer tells what follows from it.",
    )
    note = models.TextField(blank=True, help_text="Where it was seen, and why it is judged so.")

    objects = Signatures.as_manager()

    class Meta:
        ordering = ["order", "name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.text, self.header = self.text.strip(), self.header.strip()
        if None in (self.status_from, self.status_to) or self.cls not in RECOGNISABLE:
            return  # their own fields say so
        cls = OutcomeClass(self.cls)
        found = faults(Signature(self.name, cls, self.status_from, self.status_to, self.text, self.header))
        if found:
            raise ValidationError({field: [sentence] for field, sentence in found.items()})


def _read(row: tuple[Any, ...]) -> Signature | None:
    name, cls, *rest = row
    try:
        signature = Signature(name, OutcomeClass(cls), *rest)
        wrong = list(faults(signature).values())
    except ValueError:
        wrong = [f"{cls} is no class."]
    if wrong:
        log.error("failure signature %s is left out: %s", name, " ".join(wrong))
        return None
    return signature
