"""`/v1/jobs/<request id>`: what became of a client's own call, and why it was routed so.

GET     any call; this worker's latest from memory, older ones and other workers' from the database
DELETE  withdraws one that is kept (Idempotency-Key, Prefer: respond-async) and still under way
GET     .../result: the answer of one that is kept, as the container sent it

Foreign ids are answered like unknown ones.
"""

from __future__ import annotations

from django.http import HttpResponseBase, JsonResponse

from routing import history, kept
from routing.api.books import BooksView
from routing.api.problems import RefusedError, refuse
from routing.core.kept import UNDER_WAY, State
from routing.core.refusal import Code, Refusal
from routing.delivery import Delivery
from routing.journal import JobRecord
from routing.keeping import Run, outcome_of
from routing.models import KeptCall

UNKNOWN = "No call of yours has this id. One that has just ended may take a second to be found here."
NOT_KEPT = "This call was not kept: that is for calls with Idempotency-Key or Prefer: respond-async."
NO_HISTORY = "This API key is for inference alone: of calls that are not kept it is told nothing."


class JobView(BooksView):
    http_method_names = ["get", "delete"]
    key_scope = None  # whoever may call may also ask for, and withdraw, what is kept of it

    async def get(self) -> HttpResponseBase:
        request_id = self.kwargs["request_id"]
        run = self._run_here(request_id)
        if run is not None:
            return self._told(history.of_kept(run.row, run.state, None))
        record, call = await self._found(request_id)
        if call is not None:
            return self._told(history.of_kept(call, State(call.state), record))
        if record is None:
            raise refuse(Code.NOT_FOUND, UNKNOWN)
        if _scope(self) == "inference":
            raise refuse(Code.KEY_NOT_ALLOWED, NO_HISTORY)
        return self._told(history.for_client(record))

    async def delete(self) -> HttpResponseBase:
        """Upstream it is aborted at once here, within a second elsewhere. What is over stays as it is."""
        request_id = self.kwargs["request_id"]
        if _scope(self) == "read":
            raise refuse(Code.KEY_NOT_ALLOWED, "This API key is for read alone.")
        run = self._run_here(request_id)
        call = await self.kept_call(request_id) if run is None else run.row
        state = State(call.state) if run is None else run.state
        if run is not None:
            run.cancel()
        elif state in UNDER_WAY:
            await self.ask(lambda: kept.cancel(request_id))
        return self._told(history.of_kept(call, state, None), 202 if state in UNDER_WAY else 200)

    def _run_here(self, request_id: str) -> Run | None:
        run = self.runtime.keeper.runs.get(request_id)
        return run if run is not None and run.row.client == self.client.name else None

    async def kept_call(self, request_id: str) -> KeptCall:
        call = await self.ask(lambda: kept.find(request_id))
        if call is None or call.client != self.client.name:
            raise refuse(Code.NOT_FOUND, f"{UNKNOWN} {NOT_KEPT}")
        return call

    async def _found(self, request_id: str) -> tuple[JobRecord | None, KeptCall | None]:
        """What this worker remembers is told also while the database is away."""
        record = self.runtime.journal.recall(request_id)
        try:
            call = await self.ask(lambda: kept.find(request_id))
            record = record or await self.ask(lambda: history.find(request_id))
        except RefusedError:
            if record is None:
                raise
            call = None
        owner = self.client.name
        return (
            record if record is not None and record.client == owner else None,
            call if call is not None and call.client == owner else None,
        )

    def _told(self, document: dict[str, object], status: int = 200) -> HttpResponseBase:
        return JsonResponse(document, status=status, headers={"x-request-id": self.request_id})


class ResultView(JobView):
    """What is kept of an answer, and its fields; a refusal as it was; or why there is nothing to tell."""

    http_method_names = ["get"]

    async def get(self) -> Delivery:  # type: ignore[override]
        request_id = self.kwargs["request_id"]
        found = outcome_of(await self.kept_call(request_id))
        if isinstance(found, Refusal):
            raise RefusedError(found)
        self.request_id = request_id
        return found


def _scope(view: JobView) -> str:
    return "all" if view.key is None else view.key.scope
