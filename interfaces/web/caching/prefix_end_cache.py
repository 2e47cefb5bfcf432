"""A stream log that caches which position belongs to a past time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from application.bounded_cache import BoundedCache
from projections.audit.stream_log import StreamEntry, StreamLog, StreamSlice, Subject

MAX_TIMES = 1_000


class PrefixEndCache:
    """Caches the end of the prefix of past times, over another StreamLog; thread-safe.

    The end of a prefix is final once a later domain event is recorded behind it. The position of the present is not.
    """

    def __init__(self, log: StreamLog) -> None:
        self._log = log
        self._ends = BoundedCache[datetime, int]("prefix ends", max_size=MAX_TIMES)

    def prefix_end(self, as_of: datetime) -> int:
        end = self._ends.get(as_of)
        if end is not None:
            return end
        head = self._log.head()  # Read first: a domain event recorded meanwhile may belong to the prefix.
        end = self._log.prefix_end(as_of)
        if end < head:
            self._ends.put(as_of, end)
        return end

    def head(self) -> int:
        return self._log.head()

    def acts(
        self,
        *,
        before: int | None,
        limit: int,
        topics: Sequence[str] | None = None,
        about: Subject | None = None,
    ) -> list[StreamEntry]:
        return self._log.acts(before=before, limit=limit, topics=topics, about=about)

    def entries_of(
        self, stream_ids: Sequence[UUID], *, topics: Sequence[str] | None = None
    ) -> list[StreamEntry]:
        return self._log.entries_of(stream_ids, topics=topics)

    def read_streams(
        self, mentioned: UUID, *, whole: Sequence[UUID], partly: Sequence[UUID], topics: Sequence[str]
    ) -> StreamSlice:
        return self._log.read_streams(mentioned, whole=whole, partly=partly, topics=topics)

    def entries_about(self, topics: Sequence[str], *, until: int, after: int = 0) -> Iterator[StreamEntry]:
        return self._log.entries_about(topics, until=until, after=after)

    def dr_events_called(self, utility_event_id: str) -> list[UUID]:
        return self._log.dr_events_called(utility_event_id)
