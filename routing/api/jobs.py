"""`GET /v1/jobs/<request id>`: what became of a client's own call, and why it was routed so.

This worker's latest calls are told from memory, older ones and other workers' from the database, which is
asked in a thread of its own: the event loop never waits for it.
"""

from __future__ import annotations

import asyncio

from django.db import connection
from django.http import HttpResponseBase, JsonResponse
from rest_framework.request import Request

from routing import history
from routing.api.inference import DataPlaneView
from routing.api.problems import refuse
from routing.core.refusal import Code
from routing.journal import JobRecord

PATIENCE = 5.0  # seconds for the database
RETRY_AFTER = 2.0
AWAY = "The database does not answer. Calls are served meanwhile, and noted for later."
UNKNOWN = "No call of yours has this id. One that has just ended may take a second to be found here."


class JobView(DataPlaneView):
    """Foreign ids are answered like unknown ones. Looking something up is not booked itself."""

    http_method_names = ["get"]

    async def get(self, request: Request, request_id: str) -> HttpResponseBase:
        record = self.runtime.journal.recall(request_id) or await self._stored(request_id)
        if record is None or record.client != self.client.name:
            raise refuse(Code.NOT_FOUND, UNKNOWN)
        return JsonResponse(history.for_client(record), headers={"x-request-id": self.request_id})

    async def _stored(self, request_id: str) -> JobRecord | None:
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self.runtime.reader.run(lambda: _find(request_id))
        except TimeoutError:
            found = None
        if found is None:
            raise refuse(Code.BOOKS_CLOSED, AWAY, retry_after=RETRY_AFTER)
        return found[0]

    def _book_refusal(self, exc: Exception) -> None:
        pass


def _find(request_id: str) -> tuple[JobRecord | None]:
    try:
        return (history.find(request_id),)
    finally:
        connection.close()  # seldom used: by the next time it might be dead
