"""What waits for approval in the seeded fleet: found by two sources, or added by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from orchestrators.models import (
    Advert,
    Capability,
    DiscoveredEndpoint,
    DiscoveryRun,
    DiscoverySource,
    Offer,
    Orchestrator,
    Trial,
)

POOLS = ("community-pool", "explorer")
SAMPLE = {"content_type": "application/json", "body": {"prompt": "a lighthouse"}}
ANSWERS = ("answers", "pass", "All 9 calls in a row were answered.")
CONTRACT = ("contract", "pass", "Every answer was what the capability promises.")
NAMED = {"kind": "byoc", "path": "", "model": "", "capacity": None}
UNTRIABLE = "transcribe"  # its capability has no sample request


class Card(NamedTuple):
    """A trial. Milliseconds; `points`: name, verdict, sentence."""

    verdict: str
    warm: float | None
    p95: float | None
    cold: float | None
    points: tuple[tuple[str, str, str], ...]


class Newcomer(NamedTuple):
    """`pool`: the source that names it, for so many `days`; "": added by hand. `gwei`: a second, if known."""

    name: str
    pool: str
    days: int
    slug: str
    gwei: int | None
    card: Card | None


GOOD = Card("pass", 52.0, 71.0, 3100.0, (ANSWERS, CONTRACT, ("cold start", "pass", "It took 3.1 s.")))
TOO_DEAR = ("price", "fail", "340 gwei/second is more than any client may pay.")
SLOW_START = (
    "cold start",
    "warn",
    "From the first call to the first good answer: 14 s, over 10 s: ranked later.",
)
SHARED = ("steadiness", "warn", "The same work takes 60 % more or less time: shared with others?")
DEAD = ("answers", "fail", "Not one good answer: gpu_oom, CUDA out of memory.")
NEWCOMERS = (
    Newcomer("bru-gpu-01", "community-pool", 3, "depth", 90, GOOD),
    Newcomer(
        *("bru-gpu-01", "community-pool", 3, "style-transfer", 340),
        Card("fail", 455.0, 610.0, None, (ANSWERS, CONTRACT, TOO_DEAR)),
    ),
    Newcomer(
        *("mad-gpu-01", "community-pool", 1, "image-to-image", 210),
        Card("warn", 700.0, 1460.0, 14200.0, (ANSWERS, CONTRACT, SLOW_START)),
    ),
    Newcomer("mad-gpu-01", "community-pool", 1, UNTRIABLE, None, None),
    Newcomer("osl-gpu-01", "explorer", 6, "upscale", 180, Card("fail", None, None, None, (DEAD,))),
    Newcomer("lab-gpu-01", "", 0, "depth", 120, None),
    Newcomer("lab-gpu-02", "", 0, "pose", 0, Card("warn", 31.0, 36.0, None, (ANSWERS, CONTRACT, SHARED))),
)


def newcomers(now: datetime) -> None:
    Capability.objects.exclude(slug=UNTRIABLE).update(sample_request=SAMPLE)
    pools = {name: DiscoverySource.objects.create(name=name, url=f"https://{name}.example/") for name in POOLS}
    for pool in pools.values():
        DiscoveryRun.objects.create(source=pool, at=now - timedelta(minutes=4), ok=True, found=40)
    for each in NEWCOMERS:
        _add(each, pools, now)


def _add(each: Newcomer, pools: Mapping[str, DiscoverySource], now: datetime) -> None:
    uri = f"https://{each.name}.example:8935"
    mode = "trial" if each.name == "lab-gpu-01" else "discovered"
    home, is_new = Orchestrator.objects.get_or_create(
        name=each.name, defaults={"service_uri": uri, "mode": mode, "region": "eu"}
    )
    if each.pool and is_new:
        served = [each.slug for each in NEWCOMERS if each.name == home.name]
        said = {"serves": [NAMED | {"name": slug, "price": "150 gwei/second"} for slug in served]}
        first = now - timedelta(days=each.days)
        DiscoveredEndpoint.objects.create(
            source=pools[each.pool], service_uri=uri, first_seen=first, last_seen=now, said=said
        )
    row = Offer.objects.create(orchestrator=home, capability=Capability.objects.get(slug=each.slug), mode=mode)
    price = None if each.gwei is None else f"{each.gwei} gwei/second"
    if price:
        Advert.objects.create(offer=row, claimed=True, price=price, capacity=4, checked_at=now)
    if each.card:
        _try(row, each.card, price, now - timedelta(hours=each.days + 1))


def _try(row: Offer, card: Card, price: str | None, at: datetime) -> None:
    points = [dict(zip(("name", "verdict", "sentence"), each, strict=True)) for each in card.points]
    Trial.objects.create(
        offer=row, at=at, who="operator", verdict=card.verdict, points=points, price=price, calls=15,
        cold_ms=card.cold, warm_ms=card.warm, warm_p95_ms=card.p95,
    )  # fmt: skip
