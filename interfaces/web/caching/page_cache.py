"""Pages of lists as they were read last, for as long as no row of their read model can have changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from sys import getsizeof
from threading import Lock
from typing import NamedTuple

from projections.queries.views import RowsVersion

MOST_BYTES = 16_000_000
OVERHEAD = 500


class _Known(NamedTuple):
    view: object
    """Kept, so that nothing else comes to have its id, which is in the name."""
    version: RowsVersion
    body: bytes
    size: int
    """About how many bytes of memory it takes, with its name: filters and cursors are the callers'."""


class PageCache:
    """Of one process; used from threads. The least recently asked for is forgotten first."""

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self._pages: OrderedDict[Hashable, _Known] = OrderedDict()
        self._bytes = 0
        self._most_bytes = most_bytes
        self._lock = Lock()

    def find(self, name: Hashable, view: object, version: RowsVersion | None) -> bytes | None:
        """`name` says all that the page depends on but the rows; None where they may be others now."""
        with self._lock:
            known = self._pages.get(name)
            if known is None or known.version != version or known.view is not view:
                return None
            self._pages.move_to_end(name)
            return known.body

    def keep(self, name: Hashable, view: object, version: RowsVersion | None, body: bytes) -> None:
        """`version` was read before the rows were. Without one it is not kept."""
        with self._lock:
            before = self._pages.pop(name, None)
            if before is not None:
                self._bytes -= before.size
            if version is None:
                return
            size = len(body) + _bytes_of(name) + OVERHEAD
            if size > self._most_bytes:
                return
            self._pages[name] = _Known(view, version, body, size)
            self._bytes += size
            while self._bytes > self._most_bytes:
                _, forgotten = self._pages.popitem(last=False)
                self._bytes -= forgotten.size


def _bytes_of(name: Hashable) -> int:
    return getsizeof(name) + (sum(map(_bytes_of, name)) if isinstance(name, tuple) else 0)
