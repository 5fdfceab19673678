"""What runs behind a simulated orchestrator: small containers that do real work on real input.

    text-reversal   POST reverse-text    {"text": "..."} -> {"original": "...", "reversed": "..."}
                    POST reverse-stream  {"text": "..."} -> SSE, one reversed word per event
    text-stream     the same container under a second name
    segmentation    an image -> image/png, its k-means segments laid over it      (any worker path)
    style-transfer  an image -> image/jpeg, repainted with broad strokes          (any worker path)
    depth           {"image": "..."} -> {"depth": [64 numbers], "width", "height"}  (any worker path)
    ai-worker       Livepeer's AI worker API, with made-up results: POST text-to-image and its like
    echo            the same bytes and content type back                          (any worker path)

A capability whose name is none of these runs `echo`. Images need Pillow and numpy
(requirements-demo.txt); nothing else does. Errors read like those of the AI worker API.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from orchestrators.simulator import ai_worker, images
from orchestrators.simulator.faults import Answer, Fault


@dataclass(frozen=True, slots=True)
class Container:
    """A capability to serve: what it is called, what it costs, and how it fares.

    `price`: wei per second. `capacity`: slots advertised. `latency`: seconds added to every call.
    `pace`: seconds between two events of a stream. `fault`: a fault from the start, as text
    ("slow:seconds=2,times=3") or as a value. `kind`: which container runs; the name's own, or echo.
    `balance`: wei the caller is said to have here. `model`: reported in the token as `model_id`.
    """

    name: str
    price: int = 0
    capacity: int = 4
    latency: float = 0.0
    pace: float = 0.0
    fault: Fault | str = "none"
    kind: str = ""
    balance: int = 0
    model: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """What reaches a container: the worker path without its leading slash, decoded, and the body."""

    path: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Kind:
    """`heavy`: computes for long enough to be run in a thread."""

    run: Callable[[Work], Answer]
    heavy: bool = False


class BadInput(ValueError):
    """The container refuses what it was sent. `answer` is what it says."""

    def __init__(self, status: int, detail: object) -> None:
        super().__init__(str(detail))
        self.answer = Answer(json.dumps({"detail": detail}).encode(), status=status)


def kind_of(container: Container) -> Kind:
    """Raises ValueError, with the known kinds, when `container.kind` is not one of them."""
    if container.kind and container.kind not in KINDS:
        raise ValueError(f"There is no container {container.kind!r}. Known: {', '.join(KINDS)}.")
    return KINDS.get(container.kind or container.name, KINDS["echo"])


def perform(kind: Kind, work: Work) -> Answer:
    try:
        return kind.run(work)
    except BadInput as refusal:
        return refusal.answer


def _reverse(work: Work) -> Answer:
    if work.path not in ("reverse-text", "reverse-stream"):
        raise BadInput(404, "Not Found")
    text = _string(work.body, "text")
    if work.path == "reverse-stream":
        words = (json.dumps({"word": word[::-1]}) for word in text.split())
        events = tuple(f"data: {word}\n\n".encode() for word in words)
        return Answer(content_type="text/event-stream", events=events)
    document = json.dumps({"original": text, "reversed": text[::-1]})
    return Answer(document.encode(), metadata=json.dumps({"characters": len(text)}))


def _depth(work: Work) -> Answer:
    """64 numbers between 0 and 1 that depend on every byte of the image and on nothing else."""
    digest = hashlib.sha512(_string(work.body, "image").encode("utf-8", "surrogatepass")).digest()
    document = {"depth": [round(byte / 255, 3) for byte in digest], "width": 8, "height": 8}
    return Answer(json.dumps(document).encode())


def _ai_worker(work: Work) -> Answer:
    try:
        return Answer(ai_worker.answer(work.path, work.content_type, work.body))
    except ai_worker.Complaint as complaint:
        raise BadInput(complaint.status, complaint.detail) from complaint


def _echo(work: Work) -> Answer:
    return Answer(work.body, content_type=work.content_type)


def _image(transform: Callable[[bytes], bytes], content_type: str) -> Callable[[Work], Answer]:
    def run(work: Work) -> Answer:
        try:
            return Answer(transform(work.body), content_type=content_type)
        except images.NotAnImage as error:
            raise BadInput(400, {"msg": str(error)}) from error
        except images.LibraryMissing as error:
            raise BadInput(500, {"msg": str(error)}) from error

    return run


def _string(body: bytes, name: str) -> str:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise BadInput(422, [{"loc": ["body"], "msg": "not JSON", "type": "json_invalid"}]) from error
    value = document.get(name) if isinstance(document, dict) else None
    if not isinstance(value, str):
        raise BadInput(422, [{"loc": ["body", name], "msg": "a string is required", "type": "missing"}])
    return value


KINDS = {
    "text-reversal": Kind(_reverse),
    "text-stream": Kind(_reverse),
    "segmentation": Kind(_image(images.segment, "image/png"), heavy=True),
    "style-transfer": Kind(_image(images.paint, "image/jpeg"), heavy=True),
    "depth": Kind(_depth),
    "ai-worker": Kind(_ai_worker),
    "echo": Kind(_echo),
}
