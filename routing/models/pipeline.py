"""Pipeline: a path of the stock AI gateway, and the capability that answers there."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models

from orchestrators.models import Capability


class PipelinePath(models.TextChoices):
    """go-livepeer's routes for jobs that end (server/ai_mediaserver.go); containers have the same ones."""

    TEXT_TO_IMAGE = "text-to-image", "/text-to-image"
    IMAGE_TO_IMAGE = "image-to-image", "/image-to-image"
    IMAGE_TO_VIDEO = "image-to-video", "/image-to-video"
    UPSCALE = "upscale", "/upscale"
    AUDIO_TO_TEXT = "audio-to-text", "/audio-to-text"
    SEGMENT_ANYTHING_2 = "segment-anything-2", "/segment-anything-2"
    IMAGE_TO_TEXT = "image-to-text", "/image-to-text"
    TEXT_TO_SPEECH = "text-to-speech", "/text-to-speech"
    LLM = "llm", "/llm"


class Pipeline(models.Model):
    """An alias, for clients that know the stock gateway's paths: no row, no route.

    The model they name is written down and otherwise left to the orchestrator (R25, R30), unless
    `wire_names` says that only offers of one wire name are meant by it.
    """

    path = models.CharField(
        max_length=32, unique=True, choices=PipelinePath.choices, help_text="A path of the stock gateway."
    )
    capability = models.ForeignKey(Capability, on_delete=models.PROTECT, related_name="pipelines")
    wire_names = models.JSONField(
        default=dict,
        blank=True,
        help_text='Offers by the model_id that clients send: {"stabilityai/sd-turbo": "turbo"} sends these '
        "calls to the offers of wire name turbo alone. Every other model_id may go to all.",
    )

    class Meta:
        ordering = ["path"]

    def __str__(self) -> str:
        return self.path

    def clean(self) -> None:
        self.wire_names = self.wire_names or {}
        names = self.wire_names.values() if isinstance(self.wire_names, dict) else [None]
        if not all(isinstance(name, str) and name for name in names):
            raise ValidationError(
                {"wire_names": 'Must be an object of model ids and wire names: {"org/sd-turbo": "turbo"}.'}
            )
