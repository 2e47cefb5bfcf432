"""The measurements of one dispatch: the one in force with its figures, and all revisions with the domain events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from eventsourcing.utils import get_topic

from domain.dispatch import Dispatch, MeasurementFigures
from projections.as_of.number_origins import Origin, origin_of
from projections.audit.stream_log import AsOf, StreamEntry, StreamLog, position_as_of

MEASUREMENT_TOPICS = tuple(
    get_topic(kind)
    for kind in (
        Dispatch.Measured,
        Dispatch.NotMeasurable,
        Dispatch.Remeasured,
        Dispatch.MeasurementWithdrawn,
    )
)
"""Of the domain events of which the last one says what is measured."""


class MeasurementRevision(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement; the last one is in force."""

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
    entries = log.entries_of([dispatch_stream], topics=MEASUREMENT_TOPICS)
    known = [entry for entry in entries if entry.position <= position]
    return MeasurementHistory(
        figures=_figures_of(known),
        revisions=tuple(_revision(number, entry) for number, entry in enumerate(known, start=1)),
    )


def measurement_in_force(
    log: StreamLog, dispatch_stream: UUID, as_of: AsOf | None
) -> MeasurementFigures | None:
    """The measurement in force then; None if there was none, or it was withdrawn.

    Raises PositionAhead or StreamLogUnavailable.
    """
    return measurement_history(log, dispatch_stream, as_of).figures


def _figures_of(known: Sequence[StreamEntry]) -> MeasurementFigures | None:
    last = known[-1].domain_event if known else None
    return last.figures if isinstance(last, Dispatch.Measured | Dispatch.Remeasured) else None


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
