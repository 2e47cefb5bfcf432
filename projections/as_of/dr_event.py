"""Single DR events and facilities as of a position: the projections, folded in memory over a prefix of the
log.

A historical row has the same shape as a live one; as of now it equals the live one. Nothing is stored. Lists
are in lists.py.
"""

from collections.abc import Iterable
from uuid import UUID

import msgspec

from domain.facility import Facility
from domain.identifiers import dispatch_id, facility_stream_id
from projections.audit.replay import history_as_of
from projections.audit.stream_log import AsOf, StreamEntry, StreamLog, position_as_of
from projections.dispatch.projection import DispatchesProjection, DispatchRow
from projections.dr_event.projection import DREventRow, DREventsProjection
from projections.engine.memory_rows import MemoryRows
from projections.engine.projection import Projection, TRow
from projections.facility import FacilitiesProjection, FacilityRow
from projections.facility import key_of as facility_key_of
from projections.queries.memory_view import MemoryView


class HistoricalDREvent(msgspec.Struct, frozen=True):
    """The rows of one DR event after the prefix that ends at `position`."""

    position: int
    dr_events: MemoryView[DREventRow]
    dispatches: MemoryView[DispatchRow]


def dr_event_as_of(log: StreamLog, dr_event_id: UUID, as_of: AsOf) -> HistoricalDREvent:
    """The DR event and its dispatches as of a position or moment.

    Raises DREventNotRecorded if it did not exist then, PositionAhead, FoldFailed or StreamLogUnavailable.
    """
    position, history = history_as_of(log, dr_event_id, as_of)
    entries = [entry for entry in history.entries if entry.position <= position]
    return HistoricalDREvent(
        position,
        MemoryView(_folded(DREventsProjection(), entries)),
        MemoryView(_folded(DispatchesProjection(), entries)),
    )


def facility_as_of(log: StreamLog, facility_id: str, as_of: AsOf) -> FacilityRow | None:
    """The facility as of a position or moment; None if it did not exist then. Raises as `dr_event_as_of`."""
    position = position_as_of(log, as_of)
    own = log.entries_of([facility_stream_id(facility_id)])
    served = {
        entry.domain_event.dr_event_id for entry in own if isinstance(entry.domain_event, Facility.Reserved)
    }
    dispatches = log.entries_of([dispatch_id(dr_event_id, facility_id) for dr_event_id in sorted(served)])
    history = sorted([*own, *dispatches], key=lambda entry: entry.position)
    rows = _folded(FacilitiesProjection(), (entry for entry in history if entry.position <= position))
    view: MemoryView[FacilityRow] = MemoryView(rows)
    return view.get(facility_key_of(facility_id))


def _folded(projection: Projection[TRow], entries: Iterable[StreamEntry]) -> MemoryRows[TRow]:
    rows = MemoryRows(projection)
    rows.fold(entries)
    return rows
