"""Samples -> text, by the client library: Prometheus' own spelling of names, numbers and escapes."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence

from prometheus_client import Metric, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from routing.core.histogram import Sample, cumulative
from routing.metrics import gauges, sharing
from routing.metrics.families import FAMILIES, Family, Kind
from routing.runtime import Runtime

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Page(Collector):
    """One family at a time, for the library's writer."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        yield self._metric


def own(runtime: Runtime) -> list[Sample]:
    """What this worker counted and measures."""
    return [
        *runtime.service.counts.samples(),
        *gauges.of_worker(runtime, time.monotonic(), time.time()),
    ]


async def text(runtime: Runtime, *, most_offers: int) -> bytes:
    """The page. Others have their turn on the event loop between families, and among many offers."""
    wall = time.time()
    fleet = await gauges.of_fleet(runtime, wall, most_offers)
    by_family: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in [*sharing.merged([own(runtime), *sharing.of_others(wall)]), *fleet]:
        by_family[sample[0]].append(sample)
    pieces = []
    for family in FAMILIES.values():
        pieces.append(generate_latest(Page(metric(family, by_family[family.name]))))
        await asyncio.sleep(0)
    return b"".join(pieces)


def metric(family: Family, samples: Sequence[Sample]) -> Metric:
    if family.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for _, labels, value in samples:
            if isinstance(value, list):
                histogram.add_metric(labels, *cumulative(family.bounds, value))
        return histogram
    kind = "unknown" if family.kind is Kind.UNTYPED else family.kind.value
    found = Metric(family.name.removesuffix("_total"), family.help, kind)
    for _, labels, value in samples:
        if not isinstance(value, list):
            found.add_sample(family.name, dict(zip(family.labels, labels, strict=True)), value)
    return found
