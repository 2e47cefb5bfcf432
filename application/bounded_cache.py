"""Caches in memory: bounded in size, some with a lifetime, and counted under a name (ADR 0090).

docs/guides/caches.md has them all in one table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from threading import Lock
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakSet

from cachetools import Cache, LRUCache, TTLCache

TKey = TypeVar("TKey", bound=Hashable)
TValue = TypeVar("TValue")


class CacheCounts(NamedTuple):
    """The counts of all caches of one name in this process; hits and misses since each was made."""

    size: int
    hits: int
    misses: int


class BoundedCache(Generic[TKey, TValue]):
    """Evicts the least recently used entry. Thread-safe: each method is one step."""

    def __init__(
        self,
        name: str,
        *,
        max_size: int,
        size_of: Callable[[TValue], int] | None = None,
        max_entries: int | None = None,
        ttl_s: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`name`: the label of its metrics. `max_size`: of all values together, as `size_of` states each when it is
        put; without it each counts as 1. `ttl_s`: seconds of `monotonic` after which an entry counts as absent."""
        self.name = name
        self._max_entries = max_entries
        self._entries: Cache[TKey, TValue] = (
            LRUCache(max_size, size_of) if ttl_s is None else TTLCache(max_size, ttl_s, monotonic, size_of)
        )
        self._lock = Lock()
        self._hits = self._misses = 0
        with _caches_lock:
            _caches.add(self)

    def get(self, key: TKey) -> TValue | None:
        with self._lock:
            return self._find(key)

    def get_all(self, keys: Iterable[TKey]) -> list[TValue | None]:
        """As `get`, for each of them."""
        with self._lock:
            return [self._find(key) for key in keys]

    def put(self, key: TKey, value: TValue) -> None:
        """Replaces the entry. A value larger than the whole cache is not cached."""
        with self._lock:
            try:
                self._entries[key] = value
            except ValueError:
                self._entries.pop(key, None)
            if self._max_entries is not None and len(self._entries) > self._max_entries:
                self._entries.popitem()

    def pop(self, key: TKey) -> TValue | None:
        with self._lock:
            return self._entries.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def items(self) -> list[tuple[TKey, TValue]]:
        """All entries, without using any."""
        with self._lock:
            entries = self._entries
            if isinstance(entries, TTLCache):
                entries.expire()
            # Of the base class: that of a TTLCache reads the time for each entry.
            return [(key, Cache.__getitem__(entries, key)) for key in Cache.__iter__(entries)]

    def counts(self) -> CacheCounts:
        with self._lock:
            return CacheCounts(int(self._entries.currsize), self._hits, self._misses)

    def __contains__(self, key: TKey) -> bool:
        with self._lock:
            is_cached = key in self._entries
            self._hits += is_cached
            self._misses += not is_cached
            return is_cached

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def _find(self, key: TKey) -> TValue | None:
        try:
            value = self._entries[key]
        except KeyError:
            self._misses += 1
            return None
        self._hits += 1
        return value


_caches: WeakSet[BoundedCache[Any, Any]] = WeakSet()
_caches_lock = Lock()


def cache_counts() -> dict[str, CacheCounts]:
    """The name of each cache -> its counts."""
    with _caches_lock:
        caches = list(_caches)
    counts: dict[str, CacheCounts] = {}
    for cache in caches:
        before = counts.get(cache.name, CacheCounts(0, 0, 0))
        counts[cache.name] = CacheCounts(
            *(one + other for one, other in zip(before, cache.counts(), strict=True))
        )
    return counts
