"""A cache of encoded list pages, valid while no row of their read model has changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from sys import getsizeof
from threading import Lock
from typing import NamedTuple

from projections.queries.views import RowsVersion

MAX_BYTES = 16_000_000
ENTRY_OVERHEAD_BYTES = 500


class CachedPage(NamedTuple):
    view: object
    """A reference, so that no other object gets its id, which is part of the name."""
    version: RowsVersion
    body: bytes
    size: int
    """Approximate memory in bytes, with the name: callers choose filters and cursors."""


class PageCache:
    """In one process; used from threads. Evicts the least recently used page."""

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._pages: OrderedDict[Hashable, CachedPage] = OrderedDict()
        self._bytes = 0
        self._max_bytes = max_bytes
        self._lock = Lock()

    def find(self, name: Hashable, view: object, version: RowsVersion | None) -> bytes | None:
        """`name` contains everything that the page depends on besides the rows; None if those may have changed."""
        with self._lock:
            cached = self._pages.get(name)
            if cached is None or cached.version != version or cached.view is not view:
                return None
            self._pages.move_to_end(name)
            return cached.body

    def store(self, name: Hashable, view: object, version: RowsVersion | None, body: bytes) -> None:
        """`version` was read before the rows. Without a version the page is not cached."""
        with self._lock:
            before = self._pages.pop(name, None)
            if before is not None:
                self._bytes -= before.size
            if version is None:
                return
            size = len(body) + _bytes_of(name) + ENTRY_OVERHEAD_BYTES
            if size > self._max_bytes:
                return
            self._pages[name] = CachedPage(view, version, body, size)
            self._bytes += size
            while self._bytes > self._max_bytes:
                _, evicted = self._pages.popitem(last=False)
                self._bytes -= evicted.size


def _bytes_of(name: Hashable) -> int:
    return getsizeof(name) + (sum(map(_bytes_of, name)) if isinstance(name, tuple) else 0)
