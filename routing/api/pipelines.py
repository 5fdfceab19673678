"""`POST /text-to-image` and its like: the stock AI gateway's routes, as aliases onto capabilities.

What comes and goes is passed on byte for byte. The container is asked at the path of the same name, as the AI
worker API has it. Errors alone are told otherwise than elsewhere: as that API tells them, which is what its
clients can read (`livepeer-ai` takes any other 400, 401, 422 or 500 for a broken answer).
"""

from __future__ import annotations

import re

import msgspec
from django.http import HttpResponse, HttpResponseBase
from django.utils.http import parse_header_parameters

from routing.api.inference import Answer, Inferring
from routing.api.problems import RefusedError, refuse, told_as_worker
from routing.core.refusal import Code, Refusal
from routing.delivery import Delivery
from routing.models.pipeline import PipelinePath
from routing.replay import SHORT, BodyTooLarge, BodyTooSlow
from routing.service import CLIENTS_FAULTS

PATHS = frozenset(PipelinePath.values)

# Of what clients send, no more is looked at: characters of a content type, whose boundary has at most 70
# (RFC 2046, 5.1.1), and parts of a form. LONGEST_NAME: characters of a model's that are written down.
LONGEST_TYPE, MOST_PARTS, LONGEST_NAME = 256, 100, 200

# From the start of a line: from anywhere in it, the search would take the square of its length.
_PART_OF_MODEL = re.compile(
    rb'^content-disposition:[^\r\n]*[; ]name="?model(?:_id)?"?[ ;\r]', re.IGNORECASE | re.MULTILINE
)


class PipelineView(Inferring):
    """`model_id` is written down, and the operator may have said which offers it means: that is all."""

    async def post(self) -> Answer:
        path = self.kwargs["path"]
        pipeline = self.table.pipelines.get(path)
        if pipeline is None:
            raise refuse(Code.NO_SUCH_CAPABILITY, f"No capability answers at /{path} here.")
        lane = self.lane(pipeline.slug)
        model_id = await self._model_id(lane.policy.attempt_timeout)
        narrowed = pipeline.narrowed(lane, model_id)
        told = {"model_id": model_id[:LONGEST_NAME]}
        return await self.infer(narrowed, path.encode(), self.timeout_wish(), told)

    async def _model_id(self, within: float) -> str:
        """From the first 64 KiB: clients send the fields of a form before its files."""
        try:
            head = await self.incoming.head(SHORT, within)
        except (BodyTooLarge, BodyTooSlow) as exc:
            raise RefusedError(CLIENTS_FAULTS[type(exc)]) from exc
        return model_id_of(self.field(b"content-type"), head)

    def refused(self, refusal: Refusal) -> HttpResponse:
        return told_as_worker(super().refused(refusal))

    def render(self, delivery: Delivery) -> HttpResponseBase | Delivery:
        answer, whole = super().render(delivery), delivery.whole
        if delivery.status < 400 or whole is None or "content-encoding" in delivery.headers:
            return answer
        return told_as_worker(HttpResponse(whole, status=delivery.status, headers=delivery.headers))


class _Named(msgspec.Struct):
    """`model` is what /llm calls it, after OpenAI."""

    model_id: str | None = None
    model: str | None = None


_decode = msgspec.json.Decoder(_Named).decode


def model_id_of(content_type: str, head: bytes) -> str:
    """What a request names as its model; "" where it does not, or not in its `head`."""
    kind, parameters = parse_header_parameters(content_type[:LONGEST_TYPE])
    if kind == "multipart/form-data":
        return _in_form(parameters.get("boundary", "").encode("latin-1", "replace"), head)
    try:
        named = _decode(head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return named.model_id or named.model or ""


def _in_form(boundary: bytes, head: bytes) -> str:
    """The last piece is left out: it may go on beyond the head. The standard library's parser takes 5 ms."""
    for part in head.split(b"--" + boundary, MOST_PARTS)[1:-1] if boundary else []:
        fields, _, value = part.partition(b"\r\n\r\n")
        if _PART_OF_MODEL.search(fields + b"\r"):
            return value.removesuffix(b"\r\n").decode("utf-8", "replace")
    return ""
