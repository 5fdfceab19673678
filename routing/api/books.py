"""Views of the data plane that need the database: asked in a thread of its own, never waited for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from django.db import connection

from routing.api.inference import DataPlaneView
from routing.api.problems import refuse
from routing.core.refusal import Code

PATIENCE = 5.0  # seconds for the database
RETRY_AFTER = 2.0
AWAY = "The database does not answer. Calls are served meanwhile, and noted for later."

T = TypeVar("T")


class BooksView(DataPlaneView):
    """Looking something up is not booked itself."""

    http_method_names = ["get"]
    key_scope: str | None = "read"

    async def ask(self, work: Callable[[], T]) -> T:
        """What `work` reads. Raises the refusal `books_closed` when the database does not answer."""

        def asked() -> tuple[T]:
            try:
                return (work(),)
            finally:
                connection.close()  # seldom used: by the next time it might be dead

        try:
            async with asyncio.timeout(PATIENCE):
                found = await self.runtime.reader.run(asked)
        except TimeoutError:
            found = None
        if found is None:
            raise refuse(Code.BOOKS_CLOSED, AWAY, retry_after=RETRY_AFTER)
        return found[0]

    def _book_refusal(self, exc: Exception) -> None:
        pass
