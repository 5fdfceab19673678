"""HTTP/1.1 to orchestrators on asyncio and httptools: the one place where foreign errors become ours.

    pool        Pool: origins by service URI and trust
    origin      Origin: seats, idle connections, connecting, trust
    connection  Connection: one exchange at a time, strict framing, deadlines
    plain       the commonest answer, read without the parser
    answer      Answer, Whole: a response between its connection and its reader
    outbox      Outbox: the writes of one turn of the event loop, together
    face        OriginTransport: the same for httpx

No redirects, no cookies, no compression, no retries, no HTTP/2.
"""

from __future__ import annotations

from orchestrators.upstream.transport.answer import Answer, Whole
from orchestrators.upstream.transport.limits import Limits
from orchestrators.upstream.transport.pool import Pool

__all__ = ["Answer", "Limits", "Pool", "Whole"]
