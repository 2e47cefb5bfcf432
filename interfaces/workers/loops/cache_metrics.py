"""Prometheus metrics of the caches in memory of this process (ADR 0090)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from application.bounded_cache import cache_counts


class CacheCollector(Collector):
    """Reads the counts when it is scraped: a look-up costs no more than an addition."""

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        size = GaugeMetricFamily(
            "gridproof_cache_size",
            "What a cache holds: entries, or bytes where it is bounded in bytes",
            labels=["cache"],
        )
        hits = CounterMetricFamily("gridproof_cache_hits", "Look-ups that found an entry", labels=["cache"])
        misses = CounterMetricFamily("gridproof_cache_misses", "Look-ups that found none", labels=["cache"])
        for name, counts in sorted(cache_counts().items()):
            size.add_metric([name], counts.size)
            hits.add_metric([name], counts.hits)
            misses.add_metric([name], counts.misses)
        yield from (size, hits, misses)


@cache
def show_caches(registry: CollectorRegistry = REGISTRY) -> None:
    """Once for each registry."""
    registry.register(CacheCollector())
