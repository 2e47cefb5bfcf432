"""The metrics of the caches of a process."""

from prometheus_client import CollectorRegistry

from application.bounded_cache import BoundedCache
from interfaces.workers.loops.cache_metrics import show_caches


def test_the_metrics_show_the_size_and_the_look_ups_of_each_cache() -> None:
    registry = CollectorRegistry()
    show_caches(registry)
    show_caches(registry)
    cache = BoundedCache[str, bytes]("shown", max_size=100, size_of=len)
    cache.put("a", b"12345")
    assert cache.get("a")
    assert not cache.get("b")
    shown = {
        name: registry.get_sample_value(f"gridproof_cache_{name}", {"cache": "shown"})
        for name in ("size", "hits_total", "misses_total")
    }
    assert shown == {"size": 5, "hits_total": 1, "misses_total": 1}
