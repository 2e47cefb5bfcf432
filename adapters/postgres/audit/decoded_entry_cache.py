"""Rows of the log that were decoded lately: the log never changes, and one story is read again and again.

Each row is still read and compared byte by byte, so that what is told is what stands in the log, whoever changed it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock
from typing import Any

from application.event_store.event_mapper import decode_domain_event
from projections.audit.stream_log import StreamEntry

MAX_BYTES = 8_000_000
"""Of stored states; decoded they take several times as much."""
OVERHEAD = 200
Row = tuple[Any, ...]
"""Position, topic, stream, version, state."""


class DecodedEntryCache:
    """Used from threads."""

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._cached: OrderedDict[int, tuple[Row, StreamEntry]] = OrderedDict()
        self._bytes = 0
        self._max_bytes = max_bytes
        self._lock = Lock()

    def of(self, rows: Iterable[Row]) -> list[StreamEntry]:
        """Raises what cannot be decoded by this release (application/event_store/event_mapper.py)."""
        entries = []
        with self._lock:
            for row in rows:
                cached = self._cached.get(row[0])
                if cached is not None and cached[0] == row:
                    self._cached.move_to_end(row[0])
                    entries.append(cached[1])
                else:
                    entries.append(self._decode(row))
            while self._bytes > self._max_bytes:
                _, (row, _) = self._cached.popitem(last=False)
                self._bytes -= _size(row)
        return entries

    def _decode(self, row: Row) -> StreamEntry:
        position, topic, stream, version, state = row
        entry = StreamEntry(position, decode_domain_event(topic, stream, version, bytes(state)))
        before = self._cached.pop(position, None)
        self._bytes += _size(row) - (0 if before is None else _size(before[0]))
        self._cached[position] = row, entry
        return entry


def _size(row: Row) -> int:
    return len(row[4]) + OVERHEAD
