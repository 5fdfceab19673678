"""Our transport with an httpx face, for what is not hot: tokens, a container's health, the demo.

Errors stay `base.UpstreamError`; httpx passes them through. An answer has a tight cap, and its
`read` timeout counts for the whole of it. No compression: it would undo the cap.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import PartlyAnswered
from orchestrators.upstream.transport.answer import Answer, Whole
from orchestrators.upstream.transport.origin import Origin

ANSWER_CAP = 1024**2  # bytes
_OURS = frozenset({b"host", b"connection", b"accept-encoding", b"content-length", b"transfer-encoding"})


class OriginTransport(httpx.AsyncBaseTransport):
    """Sends every request to the one origin, whatever host its URL names.

    The fingerprint of the certificate seen is in `response.extensions["fingerprint"]`.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """ValueError: a method whose answer has its own framing."""
        if request.method in ("HEAD", "CONNECT"):
            raise ValueError(f"{request.method} is not spoken here")
        fields = [(name, value) for name, value in request.headers.raw if name.lower() not in _OURS]
        seconds = request.extensions["timeout"]["read"]
        answer = await self._origin.send(
            request.method.encode("ascii"),
            request.url.raw_path,
            fields,
            await request.aread(),
            timeout=seconds,
            total=seconds,
        )
        if answer.headers.get("content-encoding", "identity") != "identity":
            await answer.aclose()
            raise PartlyAnswered(Fault.MALFORMED, "an encoding nobody asked for")
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Stream(answer),
            extensions={"fingerprint": answer.fingerprint},
        )


class _Stream(httpx.AsyncByteStream):
    def __init__(self, answer: Answer | Whole) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for data in self._answer.chunks():
            size += len(data)
            if size > ANSWER_CAP:
                raise PartlyAnswered(Fault.TOO_LARGE, f"an answer of more than {ANSWER_CAP} bytes")
            yield data

    async def aclose(self) -> None:
        await self._answer.aclose()
