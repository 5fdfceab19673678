"""One function for each kind of figure. Each returns plain numbers; who repeats and compares is `__main__`."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import threading
import time
from pathlib import Path
from urllib.request import urlopen

from tests.benchmarks.bench import usage
from tests.benchmarks.bench.load import REQUEST, Load, closed, connect, open_loop, request
from tests.benchmarks.bench.stage import Peer

SETTLE = 0.7  # seconds until what is written behind is written too
MB = 1024 * 1024
EVENTS = 50


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def throughput(peer: Peer, folder: Path, seconds: float, body: bytes = REQUEST) -> tuple[Load, float]:
    """32 connections, and the CPU of a request in microseconds: all threads of all workers, and what they
    write behind."""
    before = usage.cpu_seconds(peer.workers)
    load = closed(peer, folder, connections=32, seconds=seconds, body=body)
    pause(SETTLE)
    spent = usage.cpu_seconds(peer.workers) - before
    return load, spent / max(load.requests, 1) * 1e6


def latency(peer: Peer, seconds: float) -> Load:
    """2,000 requests a second, come what may."""
    return open_loop(peer, rate=2000, connections=64, seconds=seconds)


def waiting(peer: Peer, folder: Path, seconds: float) -> Load:
    """1,000 connections whose answers take 500 ms."""
    return closed(peer, folder, connections=1000, seconds=seconds, behaviour="wait/500")


def memory_in_flight(peer: Peer, ports: list[int], number: int) -> tuple[float, float]:
    """(KB for each call in flight, calls that the upstream had at once). Proportional memory: PSS."""

    async def hold() -> tuple[float, float]:
        url = peer.url("wait/4000")
        data = request(url, peer.headers, REQUEST)
        connections = [await connect(url) for _ in range(number)]
        before = memory(peer)
        asking = [asyncio.create_task(each.ask(data)) for each in connections]
        await asyncio.sleep(3)
        during, at_once = memory(peer), (await asyncio.to_thread(seen, ports))["in_flight"]
        await asyncio.gather(*asking)
        for each in connections:
            each.transport.close()
        return (during - before) * 1024 / number, at_once

    return asyncio.run(hold())


def memory(peer: Peer, field: str = "Pss") -> float:
    return sum(usage.memory(pid, field) for pid in peer.workers)


def idle_memory(peer: Peer) -> float:
    """MB resident, of the larger worker."""
    return max(usage.memory(pid, "Rss") for pid in peer.workers)


def uploads(peer: Peer, folder: Path, seconds: float) -> tuple[Load, float]:
    """16 at once of 2 MB as a form; and the most that one worker had resident, MB."""
    body = folder / "upload"
    if not body.exists():
        part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        body.write_bytes(part + os.urandom(2 * MB) + b"\r\n--b--\r\n")
    form = Peer(peer.name, peer.base, peer.path, peer.headers, peer.process)
    form.headers["content-type"] = "multipart/form-data; boundary=b"
    for pid in peer.workers:
        usage.forget_peak(pid)
    load = closed(form, folder, connections=16, seconds=seconds, body=body)
    return load, max((usage.peak_memory(pid) for pid in peer.workers), default=0.0)


def first_event(peer: Peer, times: int) -> float:
    """Milliseconds to the first byte of a stream, each on a new connection; the median."""

    async def one() -> float:
        url = peer.url("events/2/1")
        began = time.monotonic()
        asking = await connect(url)
        await asking.ask(request(url, peer.headers, REQUEST))
        asking.transport.close()
        assert asking.first is not None
        return (asking.first - began) * 1000

    async def all_of_them() -> list[float]:
        return [await one() for _ in range(times)]

    return statistics.median(asyncio.run(all_of_them()))


def cpu_of_events(peer: Peer, streams: int) -> float:
    """Microseconds of CPU for each event, 20 ms apart on so many streams at once."""

    async def all_of_them() -> None:
        url = peer.url(f"events/{EVENTS}/20")
        data = request(url, peer.headers, REQUEST)
        connections = [await connect(url) for _ in range(streams)]
        await asyncio.gather(*(each.ask(data) for each in connections))
        for each in connections:
            each.transport.close()

    before = usage.cpu_seconds(peer.workers)
    asyncio.run(all_of_them())
    return (usage.cpu_seconds(peer.workers) - before) / (streams * EVENTS) * 1e6


def gone(peer: Peer, behaviour: str, ports: list[int], *, half: bool = False) -> float | None:
    """Milliseconds from the client's hanging up to the upstream's noticing; None: not within 2 s.
    `half`: while the body is on its way."""

    async def hang_up() -> float:
        url = peer.url(behaviour)
        data = request(url, peer.headers, b"x" * (4 * MB) if half else REQUEST)
        asking = await connect(url)
        asking.transport.write(data[: len(data) // 2] if half else data)
        await asyncio.sleep(0.4)
        asking.transport.abort()
        return time.monotonic()

    before = seen(ports)["aborted"]
    left = asyncio.run(hang_up())
    for _ in range(200):
        noticed = seen(ports)["aborted"]
        if noticed > before:
            return max(0.0, noticed - left) * 1000
        pause(0.01)
    return None


def seen(ports: list[int]) -> dict[str, float]:
    """What the upstream has counted, of all its ports."""
    with urlopen(f"http://127.0.0.1:{ports[0]}/seen", timeout=5) as answer:
        return dict(json.load(answer))
