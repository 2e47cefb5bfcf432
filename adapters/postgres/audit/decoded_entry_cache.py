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

MOST_BYTES = 8_000_000
"""Of stored states; decoded they take several times as much."""
OVERHEAD = 200
Row = tuple[Any, ...]
"""Position, topic, stream, version, state."""


class DecodedEntries:
    """Used from threads."""

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self._known: OrderedDict[int, tuple[Row, StreamEntry]] = OrderedDict()
        self._bytes = 0
        self._most_bytes = most_bytes
        self._lock = Lock()

    def of(self, rows: Iterable[Row]) -> list[StreamEntry]:
        """Raises what cannot be decoded by this release (application/event_store/event_mapper.py)."""
        found = []
        with self._lock:
            for row in rows:
                known = self._known.get(row[0])
                if known is not None and known[0] == row:
                    self._known.move_to_end(row[0])
                    found.append(known[1])
                else:
                    found.append(self._decoded(row))
            while self._bytes > self._most_bytes:
                _, (row, _) = self._known.popitem(last=False)
                self._bytes -= _size(row)
        return found

    def _decoded(self, row: Row) -> StreamEntry:
        position, topic, stream, version, state = row
        entry = StreamEntry(position, decode_domain_event(topic, stream, version, bytes(state)))
        before = self._known.pop(position, None)
        self._bytes += _size(row) - (0 if before is None else _size(before[0]))
        self._known[position] = row, entry
        return entry


def _size(row: Row) -> int:
    return len(row[4]) + OVERHEAD
