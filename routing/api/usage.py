"""`GET /v1/usage`: what the asking client used."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import TooManyFieldsSent
from django.http import HttpResponseBase, JsonResponse, QueryDict

from routing import usage
from routing.api.books import BooksView
from routing.api.problems import refuse
from routing.core.refusal import Code
from routing.usage import BadSpan, Span


class UsageView(BooksView):
    """`?since=&until=&by=hour|day|month`, times in UTC."""

    async def get(self) -> HttpResponseBase:
        try:
            span = Span.read(QueryDict(self.scope["query_string"].decode("latin-1")), datetime.now(UTC))
        except (BadSpan, TooManyFieldsSent) as exc:
            raise refuse(Code.BAD_REQUEST, str(exc)) from exc
        name = self.client.name
        rows = await self.ask(lambda: usage.read(span, name))
        told = {"client": name, **usage.document(span, [_without_client(row) for row in rows])}
        return JsonResponse(told, headers={"x-request-id": self.request_id})


def _without_client(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "client"}
