"""The origin of each number of a DR event and of a dispatch: the domain event that gave it its present value.

The projections are folded one domain event at a time; where a number changes, or is given again by a new notice or
measurement, that domain event is its origin. So it is the origin of exactly what the read models, the API and the page
show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from eventsourcing.utils import get_topic

from domain.identifiers import dispatch_id
from projections.audit.stream_log import AsOf, StreamEntry, StreamLog, position_as_of
from projections.dispatch.projection import DispatchesProjection, DispatchRow
from projections.dr_event.projection import DREventRow, DREventsProjection
from projections.dr_event.projection import key_of as dr_event_key_of
from projections.engine.memory_rows import MemoryRows
from projections.engine.projection import Projection, TRow

Numbers = dict[str, float | None]
Versions = dict[str, object]
"""Number -> what changes where the number is given again, with an equal value perhaps."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A domain event in the log."""

    topic: str
    position: int
    recorded_at: datetime


class NumberOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """A number and the domain event that it comes from."""

    name: str
    value: float
    origin: Origin


def origin_of(entry: StreamEntry) -> Origin:
    return Origin(
        topic=get_topic(type(entry.domain_event)),
        position=entry.position,
        recorded_at=entry.domain_event.recorded_at,
    )


def dr_event_number_origins(
    log: StreamLog, dr_event_id: UUID, as_of: AsOf | None
) -> tuple[NumberOrigin, ...]:
    """The numbers of the DR event as a whole. Raises PositionAhead, FoldFailed or StreamLogUnavailable."""
    position = position_as_of(log, as_of)
    entries = [entry for entry in log.entries_of([dr_event_id]) if entry.position <= position]
    return _origins(DREventsProjection(), dr_event_key_of(dr_event_id), entries, _of_dr_event)


def dispatch_number_origins(
    log: StreamLog, dr_event_id: UUID, facility_ids: Sequence[str], as_of: AsOf | None
) -> dict[str, tuple[NumberOrigin, ...]]:
    """Facility -> the numbers of its dispatch. Raises PositionAhead, FoldFailed or StreamLogUnavailable."""
    position = position_as_of(log, as_of)
    streams = {str(dispatch_id(dr_event_id, facility_id)): facility_id for facility_id in facility_ids}
    entries: dict[str, list[StreamEntry]] = {stream: [] for stream in streams}
    for entry in log.entries_of([UUID(stream) for stream in streams]):
        if entry.position <= position:
            entries[str(entry.domain_event.originator_id)].append(entry)
    return {
        facility_id: _origins(DispatchesProjection(), stream, entries[stream], _of_dispatch)
        for stream, facility_id in streams.items()
    }


def _origins(
    projection: Projection[TRow],
    key: str,
    entries: Iterable[StreamEntry],
    numbers_of: Callable[[TRow], tuple[Numbers, Versions]],
) -> tuple[NumberOrigin, ...]:
    rows = MemoryRows(projection)
    origins: dict[str, NumberOrigin] = {}
    before: Numbers = {}
    versions_before: Versions = {}
    for entry in entries:
        rows.fold([entry])
        if (row := rows.get(key)) is None:
            continue
        now, versions = numbers_of(row)
        for name, value in now.items():
            is_same = value == before.get(name) and versions.get(name) == versions_before.get(name)
            if value is None:
                origins.pop(name, None)
            elif not is_same:
                origins[name] = NumberOrigin(name=name, value=value, origin=origin_of(entry))
        before, versions_before = now, versions
    return tuple(origins[name] for name in before if name in origins)


def _of_dr_event(row: DREventRow) -> tuple[Numbers, Versions]:
    """A number that no domain event has given yet is None, not its default of 0."""
    numbers: Numbers = {
        "target_kw": row.target_kw if row.notification_id is not None else None,
        "capacity_kw": row.capacity_kw or None,
        "capacity_degraded_kw": row.capacity_degraded_kw or None,
        "shortfall_kw": row.shortfall_kw or None,
        "missing_kw": row.missing_kw or None,
    }
    for name in ("asked", "prepared", "committed", "failed", "restored"):
        numbers[name] = None if row.batch is None else getattr(row.batch, name)
    numbers |= {"delivered_kw": row.delivered_kw, "measured_facilities": row.measured_facilities}
    notice = (row.accepted_at, row.notification_id, row.modification_number)
    measurement = (row.measured_at, row.remeasured_at)
    return numbers, {"target_kw": notice, "delivered_kw": measurement, "measured_facilities": measurement}


def _of_dispatch(row: DispatchRow) -> tuple[Numbers, Versions]:
    numbers: Numbers = {"target_kw": row.target_kw, "delivered_kw_so_far": row.delivered_kw_so_far}
    measured = ("baseline_kw", "metered_kw", "coverage_pct")
    for name in measured:
        numbers[name] = None if row.measurement is None else getattr(row.measurement, name)
    numbers["delivered_kw"] = row.delivered_kw
    revision = row.measurement and row.measurement.revision
    return numbers, dict.fromkeys((*measured, "delivered_kw"), revision)
