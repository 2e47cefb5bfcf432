"""Cache of decoded log entries. The log never changes, and an audit reads the same streams repeatedly.

Each row is still read from the log and compared byte by byte, so that a result always shows what the log
contains, even after tampering.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock
from typing import Any

from application.event_store.event_mapper import decode_domain_event
from projections.audit.stream_log import StreamEntry

MAX_BYTES = 8_000_000
"""Size of the stored states; decoded they take several times as much."""
OVERHEAD = 200
Row = tuple[Any, ...]
"""Position, topic, stream, version, state."""


class DecodedEntryCache:
    """Thread-safe."""

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._cached: OrderedDict[int, tuple[Row, StreamEntry]] = OrderedDict()
        self._bytes = 0
        self._max_bytes = max_bytes
        self._lock = Lock()

    def of(self, rows: Iterable[Row]) -> list[StreamEntry]:
        """Decode the rows, using cached entries. Raises the errors of
        application/event_store/event_mapper.py."""
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
