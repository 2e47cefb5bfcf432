"""StreamLog over entries in memory."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

from eventsourcing.utils import get_topic

from application.event_store.event_mapper import encode_state
from domain.administration import ACTS_ON_DR_EVENTS, AdministrativeAct
from domain.dr_event import DREvent
from projections.audit.stream_log import StreamEntry, StreamSlice
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

    def acts(self, *, before: int | None, limit: int) -> list[StreamEntry]:
        found = [
            entry
            for entry in reversed(self.entries)
            if isinstance(entry.domain_event, (AdministrativeAct.Event, *ACTS_ON_DR_EVENTS))
            and (before is None or entry.position < before)
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
