"""A source -> the bytes of its answer, or the sentence why there is none.

Over the transport that orchestrators are called with: addresses are judged at every connection, redirects
are not followed, no proxy of this machine is used, nothing is decompressed, and time and size end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from urllib.parse import urlsplit

from orchestrators.core.discovery import LARGEST, Format
from orchestrators.models import DiscoverySource
from orchestrators.models.secret import NoKey
from orchestrators.upstream.base import Target, UpstreamError
from orchestrators.upstream.transport import Answer, Limits, Pool, Whole

HEAD_WITHIN = 10.0  # seconds
LIMITS = Limits(connect=5.0, idle=5.0, total=20.0, connections=8, body=LARGEST)
AT_ONCE = 16
BEGINNING = 200  # bytes of a refusal kept for the operator

_TRANSCODERS = "{transcoders(first: 1000, where: {active: true}) {id serviceURI active}}"
_QUERY = json.dumps({"query": _TRANSCODERS}).encode()
_FIELDS = [(b"accept", b"application/json, */*;q=0.5"), (b"user-agent", b"byocgw")]


class Refused(Exception):
    """An answer that is none. The text is a sentence for the operator."""


def fetch(sources: Sequence[DiscoverySource], limits: Limits) -> Mapping[int, bytes | str]:
    """By primary key, bytes or a sentence. All at once: nobody waits for another. No loop may be running."""
    return asyncio.run(_fetch_all(sources, limits))


async def _fetch_all(sources: Sequence[DiscoverySource], limits: Limits) -> dict[int, bytes | str]:
    pool, seats = Pool(limits), asyncio.Semaphore(AT_ONCE)
    try:
        answers = await asyncio.gather(*(_fetch(pool, seats, each, limits) for each in sources))
    finally:
        await pool.aclose()
    return {source.pk: answer for source, answer in zip(sources, answers, strict=True)}


async def _fetch(pool: Pool, seats: asyncio.Semaphore, source: DiscoverySource, limits: Limits) -> bytes | str:
    if source.text:
        return source.text.encode()
    try:
        async with seats:
            return await _ask(pool, source, limits)
    except (UpstreamError, Refused, ValueError, NoKey) as exc:
        return str(exc)


async def _ask(pool: Pool, source: DiscoverySource, limits: Limits) -> bytes:
    parts = urlsplit(source.url)
    tls = "verify" if source.verify_tls else "insecure"
    origin = pool.origin(Target(f"{parts.scheme}://{parts.netloc}", "", "", tls=tls))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    method, fields, body = b"GET", [*_FIELDS, *source.header_fields()], b""
    if source.format == Format.SUBGRAPH:
        method, fields, body = b"POST", [*fields, (b"content-type", b"application/json")], _QUERY
    within = min(HEAD_WITHIN, limits.total)
    answer = await origin.send(method, path.encode(), fields, body, timeout=within, total=limits.total)
    try:
        return await _read(answer)
    finally:
        await answer.aclose()


async def _read(answer: Answer | Whole) -> bytes:
    if 300 <= answer.status < 400:
        where = answer.headers.get("location", "nowhere")[:BEGINNING]
        raise Refused(f"It answered {answer.status}, a redirect to {where}; give that URL if it is right.")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise Refused("It answered in a compression that nobody asked for.")
    if answer.status != 200:
        async with aclosing(answer.chunks()) as chunks:
            beginning = (await anext(chunks, b""))[:BEGINNING]
        raise Refused(f"It answered {answer.status}: {beginning.decode('utf-8', 'replace').strip()}")
    return b"".join([chunk async for chunk in answer.chunks()])
