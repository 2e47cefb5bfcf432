"""Audits of a DR event, folded again only where the log says something else than before.

The log is read each time, by one statement while the story is told in the same streams as before. The fold is pure: of
the same entries it is the same document, but for the position that it was taken at.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import NamedTuple
from uuid import UUID

import msgspec

from projections.audit.replay import AuditDocument, StreamSet, history_as_of, replay
from projections.audit.stream_log import AsOf, StreamEntry, StreamLog

MOST_ENTRIES = 50_000
"""And facilities, of all documents that are remembered together; the least recently asked for is forgotten first."""


class _Told(NamedTuple):
    entries: list[StreamEntry]
    streams: StreamSet
    document: AuditDocument

    @property
    def size(self) -> int:
        return len(self.entries) + len(self.streams.facilities)


class AuditDocumentCache:
    """Of one process; used from threads."""

    def __init__(self, log: StreamLog, *, most_entries: int = MOST_ENTRIES) -> None:
        self._log = log
        self._most_entries = most_entries
        self._told: OrderedDict[tuple[UUID, AsOf | None], _Told] = OrderedDict()
        self._entries = 0
        self._lock = Lock()

    def read(self, dr_event_id: UUID, *, as_of: AsOf | None) -> AuditDocument:
        """Raises DREventNotRecorded, PositionAhead or StreamLogUnavailable."""
        told = self._last_told((dr_event_id, as_of))
        # Whoever looks at past moments has mostly looked at the present one first.
        near = told or self._last_told((dr_event_id, None))
        position, history = history_as_of(
            self._log, dr_event_id, as_of, last_streams=None if near is None else near.streams
        )
        entries = [entry for entry in history.entries if entry.position <= position]
        if told is None or told.entries != entries:  # by identity first, where they are remembered as well
            names = history.streams.facilities
            document = replay(entries, dr_event_id, names=names, as_of=as_of, position=position)
        else:
            document = msgspec.structs.replace(told.document, position=position)
        self._remember((dr_event_id, as_of), _Told(entries, history.streams, document))
        return document

    def _last_told(self, asked: tuple[UUID, AsOf | None]) -> _Told | None:
        with self._lock:
            told = self._told.get(asked)
            if told is not None:
                self._told.move_to_end(asked)
            return told

    def _remember(self, asked: tuple[UUID, AsOf | None], told: _Told) -> None:
        with self._lock:
            before = self._told.pop(asked, None)
            self._entries -= 0 if before is None else before.size
            if told.size > self._most_entries:
                return
            self._told[asked] = told
            self._entries += told.size
            while self._entries > self._most_entries:
                _, forgotten = self._told.popitem(last=False)
                self._entries -= forgotten.size
