"""Read models as they stood: the same projections, folded in memory over a prefix of the log.

A past row has the shape of a live one, and as of now it is the live one. Nothing is stored.
"""

from collections.abc import Iterable
from uuid import UUID

import msgspec
from eventsourcing.utils import get_topic

from domain.dr_event import DREvent
from projections.audit_replay import past_story
from projections.dispatches import DispatchesProjection, DispatchRow
from projections.dr_events import DREventRow, DREventsProjection
from projections.memory_rows import MemoryRows
from projections.memory_view import MemoryView
from projections.read_model import Projection, TRow
from projections.story_log import AsOf, StoryEntry, StoryLog, position_as_of

DR_EVENT_TOPICS = tuple(
    sorted(
        get_topic(kind)
        for kind in vars(DREvent).values()
        if isinstance(kind, type) and issubclass(kind, DREvent.Event) and kind is not DREvent.Event
    )
)


class PastStory(msgspec.Struct, frozen=True):
    """The rows of one DR event after the prefix that ends at `position`."""

    position: int
    dr_events: MemoryView[DREventRow]
    dispatches: MemoryView[DispatchRow]


class PastDREvents(msgspec.Struct, frozen=True):
    """Every DR event after the prefix that ends at `position`."""

    position: int
    dr_events: MemoryView[DREventRow]


def dr_event_as_of(log: StoryLog, dr_event_id: UUID, as_of: AsOf) -> PastStory:
    """One DR event and its dispatches as they stood.

    Raises UnknownStory if it was not known then, PositionAhead, FoldFailed or StoryLogUnavailable.
    """
    position, story = past_story(log, dr_event_id, as_of)
    entries = [entry for entry in story if entry.position <= position]
    return PastStory(
        position,
        MemoryView(_folded(DREventsProjection(), entries)),
        MemoryView(_folded(DispatchesProjection(), entries)),
    )


def dr_events_as_of(log: StoryLog, as_of: AsOf) -> PastDREvents:
    """Every DR event as it stood. Reads the log from its beginning: the cost grows with it.

    Raises PositionAhead, FoldFailed or StoryLogUnavailable.
    """
    position = position_as_of(log, as_of)
    entries = log.entries_about(DR_EVENT_TOPICS, until=position)
    return PastDREvents(position, MemoryView(_folded(DREventsProjection(), entries)))


def _folded(projection: Projection[TRow], entries: Iterable[StoryEntry]) -> MemoryRows[TRow]:
    rows = MemoryRows(projection)
    rows.fold(entries)
    return rows
