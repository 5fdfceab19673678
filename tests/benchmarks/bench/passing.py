"""Raw ASGI and our transport, and nothing else: no Django, no key, no choice, no books. The lower bound.

UPSTREAM names the one origin. Run by the same worker class as byocgw.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

from orchestrators.upstream.base import Target
from orchestrators.upstream.transport import Limits, Pool

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

TARGET = Target(os.environ["UPSTREAM"], "direct", "")
pool = Pool(Limits(connections=2000))


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await pool.aclose()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    fields = [(b"content-type", b"application/json")]
    answer = await pool.origin(TARGET).send(b"POST", scope["raw_path"], fields, body, timeout=60)
    headers = [(b"content-type", answer.headers["content-type"].encode())]
    if answer.length is not None:
        headers.append((b"content-length", b"%d" % answer.length))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    async for piece in answer.chunks():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
    await answer.aclose()
