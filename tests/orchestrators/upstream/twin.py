"""aiohttp behind the transport's seam: `Pool(limits).origin(target).send(...)`, and the errors of `base`.

Insurance: should ours have to go, this is what would take its place, held to the same contract. What it cannot
hold to is marked `beyond_aiohttp` where it is tested, with the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Iterator

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from orchestrators.core.outcome import Fault
from orchestrators.upstream.base import Body, NotAnswered, NotConnected, PartlyAnswered, Target
from orchestrators.upstream.transport.limits import DEFAULT, Limits
from orchestrators.upstream.transport.origin import Address
from orchestrators.upstream.transport.request import Field, head

AS_THEY_ARE = ("user-agent", "accept", "accept-encoding", "content-type")


class TwinPool:
    def __init__(self, limits: Limits = DEFAULT) -> None:
        self._limits = limits
        self._origins: dict[str, TwinOrigin] = {}

    def origin(self, target: Target) -> TwinOrigin:
        try:
            Address.of(target.service_uri)
        except ValueError as error:
            raise NotConnected(Fault.UNREACHABLE, str(error)) from error
        if target.service_uri not in self._origins:
            self._origins[target.service_uri] = TwinOrigin(target.service_uri, self._limits)
        return self._origins[target.service_uri]

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.chunks()])

    async def aclose(self) -> None:
        for origin in self._origins.values():
            for response in origin.open:
                response.close()
            await origin.session.close()


class TwinOrigin:
    """A session of its own: nobody else's connections."""

    def __init__(self, uri: str, limits: Limits) -> None:
        self._uri, self._limits = uri, limits
        self.open: weakref.WeakSet[aiohttp.ClientResponse] = weakref.WeakSet()
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limits.connections, keepalive_timeout=limits.keep, ssl=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=AS_THEY_ARE,
            max_field_size=limits.head,
            max_line_size=limits.head,
        )

    async def send(
        self,
        method: bytes,
        target: bytes,
        fields: list[Field],
        body: bytes | Body = b"",
        *,
        timeout: float,
        total: float | None = None,
    ) -> TwinAnswer:
        length = len(body) if isinstance(body, bytes) else body.length
        head(method, target, b"x", fields)  # refuses what cannot be sent
        headers = [(name.decode(), value.decode("latin-1")) for name, value in fields]
        if not isinstance(body, bytes) and length is not None:
            headers.append(("content-length", str(length)))
        limits = self._limits
        seconds = aiohttp.ClientTimeout(
            total=total or limits.total,
            connect=limits.wait + limits.connect,
            sock_connect=limits.connect,
            sock_read=timeout,
        )
        # sock_read begins again with each byte, and before an upload has ended nothing else would do
        whole = timeout if isinstance(body, bytes) else None
        with _before_the_head():
            async with asyncio.timeout(whole):
                response = await self.session.request(
                    method.decode(),
                    URL(self._uri + target.decode("latin-1"), encoded=True),
                    headers=headers,
                    data=body if isinstance(body, bytes) else body.chunks(),
                    allow_redirects=False,
                    timeout=seconds,
                )
        self.open.add(response)
        return TwinAnswer(response, limits.idle)


class TwinAnswer:
    fingerprint = ""

    def __init__(self, response: aiohttp.ClientResponse, idle: float) -> None:
        self._response = response
        self._idle = idle
        self.status = response.status
        self.headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.raw_headers
        }
        self.length = response.content_length

    @property
    def complete(self) -> bool:
        return self._response.content.at_eof()

    async def chunks(self) -> AsyncIterator[bytes]:
        content = self._response.content
        while not content.at_eof():
            try:
                with _within_the_body():
                    async with asyncio.timeout(self._idle):
                        chunk = await content.readany()
            except PartlyAnswered:
                self._response.close()
                raise
            if chunk:
                yield chunk

    async def aclose(self) -> None:
        self._response.close()


@contextlib.contextmanager
def _before_the_head() -> Iterator[None]:
    try:
        yield
    except aiohttp.ClientConnectorError as error:
        refused = isinstance(error.os_error, ConnectionRefusedError)
        raise NotConnected(Fault.REFUSED if refused else Fault.UNREACHABLE, str(error)) from error
    except aiohttp.ConnectionTimeoutError as error:
        raise NotConnected(Fault.UNREACHABLE, str(error)) from error
    except TimeoutError as error:
        raise NotAnswered(Fault.NO_ANSWER, str(error)) from error
    except aiohttp.ClientResponseError as error:
        raise NotAnswered(Fault.MALFORMED, str(error)) from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise NotAnswered(Fault.BROKEN, str(error)) from error


@contextlib.contextmanager
def _within_the_body() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise PartlyAnswered(Fault.STALLED, str(error)) from error
    except (aiohttp.ClientError, ConnectionError) as error:
        malformed = isinstance(error.__cause__, HttpProcessingError) and "Not enough data" not in str(error)
        raise PartlyAnswered(Fault.MALFORMED if malformed else Fault.CUT_OFF, str(error)) from error
