"""A cache of folded audit documents, valid while the log has the same entries.

The log is read for each request, with one statement while the DR event concerns the same streams as before. The fold is
pure: the same entries give the same document, except for the position at which it was taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar
from uuid import UUID

import msgspec

from application.bounded_cache import BoundedCache
from projections.audit.replay import AuditDocument, DREventHistory, StreamSet, history_as_of, replay
from projections.audit.stream_log import AsOf, StreamEntry, StreamLog

TResult = TypeVar("TResult")
MAX_ENTRIES = 50_000
"""Log entries and facilities of all cached documents together; the least recently used document is evicted first."""


class PastReads(Protocol):
    """Reads past states of the log, of a replica where it has them."""

    def read_past(self, as_of: AsOf, read: Callable[[StreamLog], TResult], primary: StreamLog) -> TResult: ...


class CachedAudit(NamedTuple):
    entries: list[StreamEntry]
    streams: StreamSet
    document: AuditDocument

    @property
    def size(self) -> int:
        return len(self.entries) + len(self.streams.facilities)


class AuditDocumentCache:
    """In one process; used from threads."""

    def __init__(
        self, log: StreamLog, replica: PastReads | None = None, *, max_entries: int = MAX_ENTRIES
    ) -> None:
        """`replica` may serve past states; None: `log` serves all."""
        self._log = log
        self._replica = replica
        self._audits = BoundedCache[tuple[UUID, AsOf | None], CachedAudit](
            "audits", max_size=max_entries, size_of=lambda audit: audit.size
        )

    def read(self, dr_event_id: UUID, *, as_of: AsOf | None) -> AuditDocument:
        """Raises DREventNotRecorded, PositionAhead or StreamLogUnavailable."""
        cached = self._audits.get((dr_event_id, as_of))
        # A reader of the past has mostly read the present first, which names the same streams.
        similar = cached or self._audits.get((dr_event_id, None))
        last_streams = None if similar is None else similar.streams

        def read(log: StreamLog) -> tuple[int, DREventHistory]:
            return history_as_of(log, dr_event_id, as_of, last_streams=last_streams)

        if as_of is None or self._replica is None:
            position, history = read(self._log)
        else:
            position, history = self._replica.read_past(as_of, read, self._log)
        entries = [entry for entry in history.entries if entry.position <= position]
        if (
            cached is None or cached.entries != entries
        ):  # compared by identity first: decoded entries are cached too
            names = history.streams.facilities
            document = replay(entries, dr_event_id, names=names, as_of=as_of, position=position)
        else:
            document = msgspec.structs.replace(cached.document, position=position)
        self._audits.put((dr_event_id, as_of), CachedAudit(entries, history.streams, document))
        return document
