"""Read models as they stood: the same projections, folded in memory over a prefix of the log.

A past row has the shape of a live one, and as of now it is the live one. Nothing is stored. Lists: past_lists.py.
"""

from collections.abc import Iterable
from uuid import UUID

import msgspec
from eventsourcing.utils import get_topic

from domain.dispatch import Dispatch, Interval
from domain.facility import Facility
from domain.identifiers import dispatch_id, facility_stream_id
from projections.audit.replay import past_story
from projections.audit.stream_log import AsOf, StreamEntry, StreamLog, position_as_of
from projections.dispatch.projection import DispatchesProjection, DispatchRow
from projections.dr_event.projection import DREventRow, DREventsProjection
from projections.engine.memory_rows import MemoryRows
from projections.engine.projection import Projection, TRow
from projections.facility import FacilitiesProjection, FacilityRow
from projections.facility import key_of as facility_key_of
from projections.queries.memory_view import MemoryView

_MEASUREMENTS = (Dispatch.Measured, Dispatch.Remeasured, Dispatch.MeasurementWithdrawn)


class PastStory(msgspec.Struct, frozen=True):
    """The rows of one DR event after the prefix that ends at `position`."""

    position: int
    dr_events: MemoryView[DREventRow]
    dispatches: MemoryView[DispatchRow]


def dr_event_as_of(log: StreamLog, dr_event_id: UUID, as_of: AsOf) -> PastStory:
    """One DR event and its dispatches as they stood.

    Raises DREventNotRecorded if it was not known then, PositionAhead, FoldFailed or StreamLogUnavailable.
    """
    position, story = past_story(log, dr_event_id, as_of)
    entries = [entry for entry in story.entries if entry.position <= position]
    return PastStory(
        position,
        MemoryView(_folded(DREventsProjection(), entries)),
        MemoryView(_folded(DispatchesProjection(), entries)),
    )


def facility_as_of(log: StreamLog, facility_id: str, as_of: AsOf) -> FacilityRow | None:
    """One facility as it stood; None where it was not known then. Raises as `dr_event_as_of`."""
    position = position_as_of(log, as_of)
    own = log.entries_of([facility_stream_id(facility_id)])
    served = {
        entry.domain_event.dr_event_id for entry in own if isinstance(entry.domain_event, Facility.Reserved)
    }
    dispatches = log.entries_of([dispatch_id(dr_event_id, facility_id) for dr_event_id in sorted(served)])
    story = sorted([*own, *dispatches], key=lambda entry: entry.position)
    rows = _folded(FacilitiesProjection(), (entry for entry in story if entry.position <= position))
    view: MemoryView[FacilityRow] = MemoryView(rows)
    return view.get(facility_key_of(facility_id))


def measured_intervals(log: StreamLog, dispatch_stream: UUID, as_of: AsOf | None) -> tuple[Interval, ...]:
    """The intervals of the measurement in force then; none where there is none, or it was withdrawn.

    Raises PositionAhead or StreamLogUnavailable.
    """
    position = position_as_of(log, as_of)
    entries = log.entries_of([dispatch_stream], topics=[get_topic(kind) for kind in _MEASUREMENTS])
    said = [entry.domain_event for entry in entries if entry.position <= position]
    last = said[-1] if said else None
    return last.intervals if isinstance(last, Dispatch.Measured | Dispatch.Remeasured) else ()


def _folded(projection: Projection[TRow], entries: Iterable[StreamEntry]) -> MemoryRows[TRow]:
    rows = MemoryRows(projection)
    rows.fold(entries)
    return rows
