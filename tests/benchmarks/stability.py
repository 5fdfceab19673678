"""Two things that inference must not feel: a slow database, and a large routing table being rebuilt.

    .venv/bin/python -m tests.benchmarks.stability [database | rebuild]

database   200 ms added to every message to PostgreSQL; p50 of inference in five pairs of interleaved runs
           differs by less than 10 %
rebuild    10,000 offers in the table, rebuilt whole every two seconds under traffic; p99 of the calls of those
           moments is less than 20 ms above that of the others

gunicorn with two workers, 100 calls a second from this process. Exit status 1 when a bound is passed.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byocgw.settings")
os.environ.setdefault("DATABASE_URL", "sqlite://:memory:")
django.setup()

from orchestrators.simulator import SimulatorProcess  # noqa: E402  Django first
from tests.chaos.conftest import document, fleet_arguments  # noqa: E402
from tests.chaos.load import Call, Load  # noqa: E402
from tests.chaos.postgres import Cluster  # noqa: E402
from tests.support.served import Served  # noqa: E402

RATE = 100
DELAY, PAIRS, RUN, WITHIN = 0.2, 5, 8.0, 0.10
ENDPOINTS, EACH, REBUILDS, FELT, WORSE = 500, 20, 15, 0.8, 0.020

# Run by `manage.py shell`: offers that nobody answers for, but that are all in the table.
REGISTER = f"""
from orchestrators.models import Advert, Capability, Offer, OfferHealth, Orchestrator, RoutingProfile
from orchestrators.core.price import Price
profile = RoutingProfile.objects.get(slug="warm")
slugs = [f"cap-{{number}}" for number in range({EACH})]
Capability.objects.bulk_create(Capability(slug=slug, profile=profile) for slug in slugs)
names = [f"endpoint-{{number}}" for number in range({ENDPOINTS})]
Orchestrator.objects.bulk_create(
    Orchestrator(name=name, service_uri=f"https://{{name}}.invalid") for name in names
)
owners, served = Orchestrator.objects.filter(name__in=names), Capability.objects.filter(slug__in=slugs)
Offer.objects.bulk_create(Offer(orchestrator=owner, capability=each) for owner in owners for each in served)
offers = Offer.objects.filter(capability__in=served)
claimed = dict(claimed=True, price=Price.parse("10 wei/second"), largest_capacity=4)
Advert.objects.bulk_create(Advert(offer=offer, **claimed) for offer in offers)
OfferHealth.objects.bulk_create(OfferHealth(offer=offer) for offer in offers)
"""


@asynccontextmanager
async def delaying(server: str, folder: Path) -> AsyncIterator[Callable[[float], None]]:
    """A socket in `folder` that leads to PostgreSQL's, each message later by what is set."""
    delay = 0.0

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, slow: bool) -> None:
        while data := await reader.read(65_536):
            if slow and delay:
                await asyncio.sleep(delay)
            writer.write(data)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await asyncio.open_unix_connection(server)
        ways = forward(reader, upstream[1], True), forward(upstream[0], writer, False)
        await asyncio.gather(*ways, return_exceptions=True)

    def set_delay(seconds: float) -> None:
        nonlocal delay
        delay = seconds

    async with await asyncio.start_unix_server(connected, folder / ".s.PGSQL.5432"):
        yield set_delay


async def slow_database(fleet: SimulatorProcess, folder: Path) -> bool:
    with Cluster() as cluster:
        async with delaying(f"{cluster.home}/.s.PGSQL.5432", folder) as set_delay:
            url = f"postgres:///{folder}/byocgw?user=byocgw"
            gateway = Served(folder, document(fleet), DATABASE_URL=url, WEB_CONCURRENCY="2")
            await asyncio.to_thread(gateway.__enter__)
            try:
                fast, slow = list[float](), list[float]()
                for _ in range(PAIRS):
                    for delay, into in ((0.0, fast), (DELAY, slow)):
                        set_delay(delay)
                        await asyncio.sleep(1)
                        async with Load(gateway, rate=RATE) as load:
                            await asyncio.sleep(RUN)
                        assert not load.failures
                        into.append(load.latency(0.5))
            finally:
                set_delay(0.0)
                await asyncio.to_thread(gateway.stop)
    ratio = statistics.median(slow) / statistics.median(fast)
    print("p50 in ms without delay: " + ", ".join(f"{each * 1000:.2f}" for each in fast))
    print(
        f"p50 in ms with {DELAY * 1000:.0f} ms a message: " + ", ".join(f"{each * 1000:.2f}" for each in slow)
    )
    print(f"ratio of the medians: {ratio:.3f} (within {WITHIN:.0%}: {abs(ratio - 1) < WITHIN})")
    return abs(ratio - 1) < WITHIN


async def rebuilds(fleet: SimulatorProcess, folder: Path) -> bool:
    gateway = Served(folder, document(fleet), WEB_CONCURRENCY="2")
    gateway.prepare()
    gateway.manage("shell", "-v", "0", "-c", REGISTER)
    with gateway:
        moved = []
        async with Load(gateway, rate=RATE) as load:
            await asyncio.sleep(2)
            for _ in range(REBUILDS):
                await asyncio.sleep(2)
                moved.append(time.monotonic())
                change_policy(gateway)
    during = [call for call in load.calls if any(0 <= call.at - at < FELT for at in moved)]
    others = [call for call in load.calls if call not in during]
    worse = load.latency(0.99, during) - load.latency(0.99, others)
    for name, calls in (("while rebuilding", during), ("otherwise", others)):
        print(f"{name}: {len(calls)} calls, {percentiles(load, calls)}")
    print(f"p99 is {worse * 1000:+.1f} ms (below {WORSE * 1000:.0f}: {worse < WORSE})")
    print(f"failures: {len(load.failures)}")
    return worse < WORSE and not load.failures


def percentiles(load: Load, calls: list[Call]) -> str:
    return ", ".join(
        f"p{share * 100:g} {load.latency(share, calls) * 1000:.1f} ms" for share in (0.5, 0.9, 0.99)
    )


def change_policy(gateway: Served) -> None:
    connection = sqlite3.connect(gateway.database, timeout=20)
    with connection:
        connection.execute("UPDATE orchestrators_revision SET policy = policy + 1")
    connection.close()


MEASURES: dict[str, Callable[[SimulatorProcess, Path], Coroutine[Any, Any, bool]]] = {
    "database": slow_database,
    "rebuild": rebuilds,
}


def main(chosen: list[str]) -> int:
    good = True
    for name in chosen or MEASURES:
        print(f"--- {name}")
        with SimulatorProcess(*fleet_arguments()) as fleet, tempfile.TemporaryDirectory() as folder:
            good = asyncio.run(MEASURES[name](fleet, Path(folder))) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
