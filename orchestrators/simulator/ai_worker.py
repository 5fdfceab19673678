"""The `ai-worker` container: Livepeer's AI worker API, its nine pipelines that end, with made-up results.

What it needs, answers and complains of is written after livepeer/ai-runner 0.14.1 (`runner/src/runner`).
"""

from __future__ import annotations

import json
from typing import Any

_PICTURE = {"url": "data:image/png;base64,iVBORw0KGgo=", "seed": 7, "nsfw": False}
_IMAGES: dict[str, Any] = {"images": [_PICTURE]}

# What each cannot do without, and what it answers.
PIPELINES: dict[str, tuple[str, dict[str, Any]]] = {
    "text-to-image": ("prompt", _IMAGES),
    "image-to-image": ("image", _IMAGES),
    "image-to-video": ("image", _IMAGES),
    "upscale": ("image", _IMAGES),
    "audio-to-text": ("audio", {"text": "one two", "chunks": [{"timestamp": [0.0, 1.5], "text": "one two"}]}),
    "segment-anything-2": ("image", {"masks": "[[1]]", "scores": "[0.9]", "logits": "[[0.1]]"}),
    "image-to-text": ("image", {"text": "a picture"}),
    "text-to-speech": ("text", {"audio": {"url": "data:audio/wav;base64,UklGRg=="}}),
    "llm": (
        "messages",
        {
            "id": "chat-1",
            "model": "a model",
            "created": 1_700_000_000,
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}
            ],
        },
    ),
}


class Complaint(ValueError):
    """`status` and `detail` as the worker's own."""

    def __init__(self, status: int, detail: object) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = detail


def answer(path: str, content_type: str, body: bytes) -> bytes:
    """The JSON of a result. Raises Complaint."""
    if path not in PIPELINES:
        raise Complaint(404, "Not Found")
    needed, result = PIPELINES[path]
    given = _field(content_type, body, needed)
    if given is None:
        raise Complaint(422, [{"loc": ["body", needed], "msg": "Field required", "type": "missing"}])
    if given == "":
        raise Complaint(400, {"msg": f"{needed} must not be empty."})
    return json.dumps(result).encode()


def _field(content_type: str, body: bytes, name: str) -> object:
    """Its value, of a form only that it is there; None where it is not."""
    if content_type.startswith("multipart/form-data"):
        return "a part" if f'name="{name}"'.encode() in body else None
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document.get(name) if isinstance(document, dict) else None
