"""StreamLog over entries in memory."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from eventsourcing.utils import get_topic

from application.event_store.event_mapper import encode_state
from domain.aggregates import LISTED_TOPICS
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from projections.audit.stream_log import StreamEntry, StreamSlice, Subject
from projections.engine.memory_rows import Entry


class FakeStreamLog:
    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries = [StreamEntry(entry.position, entry.domain_event) for entry in entries]

    def entries_of(
        self, stream_ids: Sequence[UUID], *, topics: Sequence[str] | None = None
    ) -> list[StreamEntry]:
        return [
            entry
            for entry in self.entries
            if entry.domain_event.originator_id in stream_ids
            and (topics is None or get_topic(type(entry.domain_event)) in topics)
        ]

    def read_streams(
        self, mentioned: UUID, *, whole: Sequence[UUID], partly: Sequence[UUID], topics: Sequence[str]
    ) -> StreamSlice:
        named = [
            entry
            for entry in self.entries_of(partly, topics=topics)
            if str(mentioned).encode() in encode_state(entry.domain_event)
        ]
        entries = sorted([*self.entries_of(whole), *named], key=lambda entry: entry.position)
        return StreamSlice(self.head(), entries)

    def entries_about(self, topics: Sequence[str], *, until: int, after: int = 0) -> Iterator[StreamEntry]:
        return (
            entry
            for entry in self.entries
            if after < entry.position <= until and get_topic(type(entry.domain_event)) in topics
        )

    def acts(
        self,
        *,
        before: int | None,
        limit: int,
        topics: Sequence[str] | None = None,
        about: Subject | None = None,
    ) -> list[StreamEntry]:
        wanted = LISTED_TOPICS if topics is None else LISTED_TOPICS.intersection(topics)
        found = [
            entry
            for entry in reversed(self.entries)
            if get_topic(type(entry.domain_event)) in wanted
            and (before is None or entry.position < before)
            and (about is None or _concerns(entry.domain_event, about))
        ]
        return found[:limit]

    def prefix_end(self, as_of: datetime) -> int:
        for entry in self.entries:
            if entry.domain_event.recorded_at > as_of:
                return entry.position - 1
        return self.head()

    def head(self) -> int:
        return self.entries[-1].position if self.entries else 0

    def dr_events_called(self, utility_event_id: str) -> list[UUID]:
        return [
            entry.domain_event.originator_id
            for entry in self.entries
            if isinstance(entry.domain_event, DREvent.Opened)
            and entry.domain_event.utility_event_id == utility_event_id
        ]


def _concerns(domain_event: DomainEvent, subject: Subject) -> bool:
    named = msgspec.json.encode(subject.name) in encode_state(domain_event)
    return named or domain_event.originator_id == subject.stream_id
