"""What of an answer may be shown: pictures, sound, text. Never a document that a browser would run.

An orchestrator says what its answer is; it is believed only as far as the lists here go. Markup is shown as its
source, and whatever is not known is a file to be saved.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PICTURES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif", "image/avif"})
SOUNDS = frozenset(f"audio/{name}" for name in ("mpeg", "wav", "x-wav", "ogg", "webm", "flac", "mp4"))
FILMS = frozenset({"video/mp4", "video/webm"})
MOST_TEXT = 64 * 1024  # characters
MOST_PARTS = 8
_DATA_URL = re.compile(r"data:([a-z]+/[a-z0-9.+-]+);base64,([A-Za-z0-9+/=\s]+)", re.IGNORECASE)
_SHORT = 48


@dataclass(frozen=True, slots=True)
class Part:
    """`kind`: picture, sound, film, text, events or file. `text`: of the last three, what is shown."""

    kind: str
    media_type: str
    data: bytes = b""
    text: str = ""

    @property
    def size(self) -> int:
        return len(self.data)


def parts(content_type: str, body: bytes) -> list[Part]:
    """The answer itself, then the pictures and sounds inside it, if it is JSON that carries some."""
    media_type = content_type.partition(";")[0].strip().lower()
    kind = kind_of(media_type)
    if kind != "file":
        return [Part(kind, media_type, body)]
    if media_type == "application/json" or media_type.endswith("+json"):
        return _of_json(media_type, body)
    text = body.decode("utf-8", "replace")[:MOST_TEXT]
    if media_type == "text/event-stream":
        return [Part("events", media_type, body, text)]
    if media_type.startswith("text/") or media_type.endswith("+xml"):
        return [Part("text", media_type, body, text)]
    return [Part("file", media_type, body)]


def kind_of(media_type: str) -> str:
    for kind, known in (("picture", PICTURES), ("sound", SOUNDS), ("film", FILMS)):
        if media_type in known:
            return kind
    return "file"


def _of_json(media_type: str, body: bytes) -> list[Part]:
    try:
        value = json.loads(body)
    except ValueError:
        return [Part("text", media_type, body, body.decode("utf-8", "replace")[:MOST_TEXT])]
    found = [part for part in _inside(value) if part.data][:MOST_PARTS]
    text = json.dumps(_shortened(value), indent=2, ensure_ascii=False)[:MOST_TEXT]
    return [Part("text", media_type, body, text), *found]


def _inside(value: Any) -> Iterator[Part]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _inside(each)
    elif isinstance(value, str) and (match := _DATA_URL.fullmatch(value)):
        media_type = match[1].lower()
        try:
            data = base64.b64decode(match[2])
        except binascii.Error:
            return
        if kind_of(media_type) != "file":
            yield Part(kind_of(media_type), media_type, data)


def _shortened(value: Any) -> Any:
    """As it is, but for texts that nobody reads, such as pictures."""
    if isinstance(value, dict):
        return {name: _shortened(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_shortened(each) for each in value]
    if isinstance(value, str) and len(value) > 2000:
        return f"{value[:_SHORT]}… ({len(value)} characters)"
    return value
