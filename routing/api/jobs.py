"""`GET /v1/jobs/<request id>`: what became of a client's own call, and why it was routed so.

This worker's latest calls are told from memory, older ones and other workers' from the database.
"""

from __future__ import annotations

from django.http import HttpResponseBase, JsonResponse
from rest_framework.request import Request

from routing import history
from routing.api.books import BooksView
from routing.api.problems import refuse
from routing.core.refusal import Code

UNKNOWN = "No call of yours has this id. One that has just ended may take a second to be found here."


class JobView(BooksView):
    """Foreign ids are answered like unknown ones."""

    async def get(self, request: Request, request_id: str) -> HttpResponseBase:
        record = self.runtime.journal.recall(request_id) or await self.ask(lambda: history.find(request_id))
        if record is None or record.client != self.client.name:
            raise refuse(Code.NOT_FOUND, UNKNOWN)
        return JsonResponse(history.for_client(record), headers={"x-request-id": self.request_id})
