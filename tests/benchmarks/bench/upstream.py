"""An orchestrator that costs next to nothing: what is slow in a measurement is then not it.

    python -m tests.benchmarks.bench.upstream PORT ...

    GET  /process/token              a token: claimed, cheap, 5,000 slots
    POST .../wait/<ms>               the answer after so long
    POST .../events/<n>/<ms>         n server-sent events, one every so many ms
    POST anything else               the answer at once
    GET  /seen                       {"in_flight", "most", "aborted": when, "first", "last": of an upload}

Times are seconds on the machine's monotonic clock, which all of its processes share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import httptools
import uvloop

# What an OpenAI-compatible container answers, some 1 KB: all peers can pass it on.
ANSWER = json.dumps(
    {
        "id": "chatcmpl-0123456789",
        "object": "chat.completion",
        "created": 1_800_000_000,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "all work and no play " * 30},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 200, "completion_tokens": 150, "total_tokens": 350},
    }
).encode()
# And what it promises to answer.
SCHEMA = {
    "type": "object",
    "required": ["id", "choices"],
    "properties": {
        "id": {"type": "string"},
        "choices": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["index", "message"],
                "properties": {
                    "index": {"type": "integer"},
                    "message": {
                        "type": "object",
                        "required": ["role", "content"],
                        "properties": {"role": {"type": "string"}, "content": {"type": ["string", "null"]}},
                    },
                    "finish_reason": {"enum": ["stop", "length", "tool_calls", "content_filter", None]},
                },
            },
        },
        "usage": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
}
TOKEN = json.dumps({"price": {"pricePerUnit": 100, "pixelsPerUnit": 1}, "available_capacity": 5000}).encode()
EVENT = b'data: {"token": "word"}\n\n'


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


AT_ONCE = whole(ANSWER)
SEEN: dict[str, float] = {"in_flight": 0, "most": 0, "aborted": 0.0, "first": 0.0, "last": 0.0}


class Connection(asyncio.Protocol):
    busy = False
    streaming: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_headers_complete(self) -> None:
        SEEN["in_flight"] += 1
        SEEN["most"] = max(SEEN["most"], SEEN["in_flight"])
        SEEN["first"] = 0.0
        self.busy = True

    def on_body(self, body: bytes) -> None:
        SEEN["first"] = SEEN["first"] or time.monotonic()

    def on_message_complete(self) -> None:
        SEEN["last"] = time.monotonic()
        path = self.url.split(b"/")
        if b"wait" in path:
            seconds = int(path[path.index(b"wait") + 1]) / 1000
            self.timer = asyncio.get_running_loop().call_later(seconds, self.answer, AT_ONCE)
        elif b"events" in path:
            number, gap = (int(part) for part in path[path.index(b"events") + 1 :][:2])
            self.streaming = asyncio.get_running_loop().create_task(self.stream(number, gap / 1000))
        elif self.url == b"/process/token":
            self.answer(whole(TOKEN))
        elif self.url == b"/seen":
            SEEN["in_flight"] -= 1  # it is not one of those that are counted
            self.busy = False
            self.transport.write(whole(json.dumps(SEEN).encode()))
        else:
            self.answer(AT_ONCE)

    def answer(self, data: bytes) -> None:
        self.transport.write(data)
        self.done()

    def done(self) -> None:
        self.timer = self.streaming = None
        if self.busy:
            self.busy = False
            SEEN["in_flight"] -= 1

    async def stream(self, number: int, gap: float) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        self.transport.write(head)
        for each in range(number):
            if each and gap:
                await asyncio.sleep(gap)
            self.transport.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
        self.transport.write(b"0\r\n\r\n")
        self.done()

    def connection_lost(self, exc: Exception | None) -> None:
        for pending in (self.timer, self.streaming):
            if pending is not None:
                pending.cancel()
        if self.busy:
            SEEN["aborted"] = time.monotonic()
            self.done()


async def main() -> None:
    loop = asyncio.get_running_loop()
    for port in sys.argv[1:]:
        await loop.create_server(Connection, "127.0.0.1", int(port), backlog=2048)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
