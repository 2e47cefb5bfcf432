"""The measurements of one dispatch: the one in force with its figures, and all revisions with the domain events."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
from eventsourcing.utils import get_topic

from domain.dispatch import Dispatch, MeasurementFigures
from projections.as_of.number_origins import Origin, origin_of
from projections.audit.stream_log import AsOf, StreamEntry, StreamLog, position_as_of

_MEASUREMENTS = (
    Dispatch.Measured,
    Dispatch.NotMeasurable,
    Dispatch.Remeasured,
    Dispatch.MeasurementWithdrawn,
)


class MeasurementRevision(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement; the last one is in force."""

    revision: int
    delivered_kw: float | None
    """None: not measurable, or withdrawn."""
    reason: str
    """Why it is not measurable, or why it was measured again."""
    corrected_at: datetime | None
    """Of the newest correction of readings that caused it."""
    origin: Origin


class MeasurementHistory(msgspec.Struct, frozen=True, kw_only=True):
    """`figures` is None where nothing is measured, or the measurement was withdrawn."""

    figures: MeasurementFigures | None
    revisions: tuple[MeasurementRevision, ...]


def measurement_history(log: StreamLog, dispatch_stream: UUID, as_of: AsOf | None) -> MeasurementHistory:
    """The measurements until then. Raises PositionAhead or StreamLogUnavailable."""
    position = position_as_of(log, as_of)
    entries = log.entries_of([dispatch_stream], topics=[get_topic(kind) for kind in _MEASUREMENTS])
    known = [entry for entry in entries if entry.position <= position]
    last = known[-1].domain_event if known else None
    return MeasurementHistory(
        figures=last.figures if isinstance(last, Dispatch.Measured | Dispatch.Remeasured) else None,
        revisions=tuple(_revision(number, entry) for number, entry in enumerate(known, start=1)),
    )


def _revision(number: int, entry: StreamEntry) -> MeasurementRevision:
    happened = entry.domain_event
    measured = happened if isinstance(happened, Dispatch.Measured | Dispatch.Remeasured) else None
    return MeasurementRevision(
        revision=number,
        delivered_kw=None if measured is None else measured.figures.delivered_kw,
        reason=getattr(happened, "reason", ""),
        corrected_at=getattr(happened, "corrected_at", None),
        origin=origin_of(entry),
    )
