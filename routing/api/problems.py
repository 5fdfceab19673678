"""Refusals and DRF's exceptions -> one envelope: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpResponse, HttpResponseBase
from rest_framework import exceptions

from routing.core.refusal import STATUS, Code, Refusal, problem, retry_after_header

CONTENT_TYPE = "application/problem+json"


class RefusedError(exceptions.APIException):
    """A refusal on its way through DRF: authenticators, permissions and views raise it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail, refusal.code.value)
        self.refusal = refusal
        self.status_code = STATUS[refusal.code]


def refuse(code: Code, detail: str, retry_after: float | None = None) -> RefusedError:
    return RefusedError(Refusal(code, detail, retry_after=retry_after))


def document(refusal: Refusal, request_id: str) -> bytes:
    return json.dumps(problem(refusal, request_id)).encode()


def response(refusal: Refusal, request_id: str) -> HttpResponse:
    answer = HttpResponse(document(refusal, request_id), status=STATUS[refusal.code], content_type=CONTENT_TYPE)
    answer["x-request-id"] = request_id
    answer["x-byocgw-attempts"] = str(len(refusal.attempts))
    retry_after = retry_after_header(refusal)
    if retry_after is not None:
        answer["retry-after"] = retry_after
    if refusal.code is Code.UNAUTHENTICATED:
        answer["www-authenticate"] = 'Bearer realm="byocgw"'
    return answer


def told_as_worker(answer: HttpResponse) -> HttpResponse:
    """An error as the AI worker API tells it, which is the only way that its clients can read it.

    `{"detail": {"msg": ...}}`; of a 422 a list of those, as FastAPI has it. One that is in shape already keeps
    its bytes, but becomes JSON again: a BYOC orchestrator calls every error plain text.
    """
    if answer.status_code < 400 or "content-encoding" in answer:
        return answer
    said = _json(answer.content)
    if not _is_workers(said, answer.status_code):
        answer.content = json.dumps(_in_its_words(said, answer)).encode()
    answer["content-type"] = "application/json"
    return answer


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _is_workers(said: Any, status: int) -> bool:
    detail = said.get("detail") if isinstance(said, dict) else None
    if status == 422:
        return isinstance(detail, list) and all(
            isinstance(each, dict) and {"loc", "msg", "type"} <= each.keys() for each in detail
        )
    return isinstance(detail, dict) and isinstance(detail.get("msg"), str)


def _in_its_words(said: Any, answer: HttpResponse) -> dict[str, Any]:
    members = said if isinstance(said, dict) else {}
    detail = members.get("detail")
    text = detail if isinstance(detail, str) else answer.content.decode("utf-8", "replace").strip()
    if answer.status_code == 422:
        return {"detail": [{"loc": [], "msg": text, "type": "value_error"}]}
    return {**members, "detail": {"msg": text}}


def refusal_for(exc: Exception) -> Refusal | None:
    """The refusal an exception of DRF stands for; None for anything that is not DRF's."""
    if isinstance(exc, RefusedError):
        return exc.refusal
    if isinstance(exc, exceptions.MethodNotAllowed):
        return Refusal(Code.METHOD_NOT_ALLOWED, str(exc.detail))
    if isinstance(exc, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return Refusal(Code.UNAUTHENTICATED, str(exc.detail))
    if isinstance(exc, exceptions.APIException):
        code = Code.BAD_REQUEST if exc.status_code < 500 else Code.INTERNAL
        return Refusal(code, str(exc.detail))
    return None


def problem_for_exception(exc: Exception, context: dict[str, Any]) -> HttpResponseBase | None:
    """DRF's EXCEPTION_HANDLER. What it does not know goes on up to the door, which answers 500."""
    refusal = refusal_for(exc)
    if refusal is None:
        return None
    answer: HttpResponse = context["view"].refused(refusal)
    if isinstance(exc, exceptions.MethodNotAllowed):
        answer["allow"] = ", ".join(context["view"].allowed_methods)
    return answer
