"""The measurements of a DR event's facilities, summed by interval: baseline, load and delivered power."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from domain.dispatch import Dispatch
from domain.identifiers import dispatch_id
from projections.as_of.measurement_history import MEASUREMENT_TOPICS
from projections.audit.stream_log import AsOf, StreamLog, position_as_of


class MeasuredStep(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the facilities whose interval is complete; mean kW."""

    starts_at: datetime
    baseline_kw: float
    """The adjusted baseline."""
    metered_kw: float
    delivered_kw: float
    facilities: int


class MeasuredLoads(NamedTuple):
    """Sums of the measured facilities."""

    facility_ids: frozenset[str]
    """The facilities that are measured."""
    steps: tuple[MeasuredStep, ...]


def measured_loads(
    log: StreamLog, dr_event_id: UUID, facility_ids: Collection[str], as_of: AsOf | None
) -> MeasuredLoads:
    """The sums of the measurements in force then. Raises PositionAhead or StreamLogUnavailable."""
    position = position_as_of(log, as_of)
    streams = [dispatch_id(dr_event_id, facility_id) for facility_id in sorted(facility_ids)]
    newest: dict[str, Dispatch.Event] = {}
    for entry in log.entries_of(streams, topics=MEASUREMENT_TOPICS):
        if entry.position <= position and isinstance(entry.domain_event, Dispatch.Event):
            newest[str(entry.domain_event.originator_id)] = entry.domain_event
    in_force = {
        facility_id: measured
        for facility_id, stream in zip(sorted(facility_ids), streams, strict=True)
        if isinstance(measured := newest.get(str(stream)), Dispatch.Measured | Dispatch.Remeasured)
    }
    return MeasuredLoads(frozenset(in_force), _summed(in_force.values()))


def _summed(measurements: Collection[Dispatch.Measured | Dispatch.Remeasured]) -> tuple[MeasuredStep, ...]:
    sums: dict[datetime, list[float]] = {}
    for measurement in measurements:
        for interval in measurement.figures.intervals:
            figures = (interval.adjusted_kw, interval.metered_kw, interval.delivered_kw)
            if None in figures:
                continue
            totals = sums.setdefault(interval.starts_at, [0.0, 0.0, 0.0, 0.0])
            for column, figure in enumerate((*figures, 1.0)):
                totals[column] += figure or 0.0
    return tuple(
        MeasuredStep(
            starts_at=starts_at,
            baseline_kw=round(baseline, 3),
            metered_kw=round(metered, 3),
            delivered_kw=round(delivered, 3),
            facilities=round(number),
        )
        for starts_at, (baseline, metered, delivered, number) in sorted(sums.items())
    )
