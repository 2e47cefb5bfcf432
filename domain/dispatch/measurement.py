"""Decisions of `Dispatch` about measurements: the delivered power, later corrections, and their time limit; pure
functions."""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.dispatch import observation_events
from domain.dispatch.decisions import DispatchDecision
from domain.dispatch.measurement_figures import MeasurementFigures
from domain.dispatch.state import DispatchState
from domain.errors import MeasurementClosed, NotAllowedNow
from domain.event_sourcing.aggregate import pending

MEASURED_WITHIN = timedelta(hours=76)
"""For this long after the end, the first measurement may wait for what it needs."""
REMEASURED_FOR = timedelta(days=60)
"""For this long after the end, late and corrected readings change the measurement.

It is less than the 90 days for which single readings are kept, so that the readings behind a new measurement
exist.
"""


def measure(state: DispatchState, *, figures: MeasurementFigures) -> DispatchDecision:
    """Record the first measurement; later calls record nothing. Corrections use `remeasure`."""
    if state.measured:
        return
    if not state.was_committed:
        raise NotAllowedNow(f"{state.facility_id} was never committed: there is nothing to measure")
    yield pending(observation_events.Measured, figures=figures)


def not_measurable(state: DispatchState, *, reason: str) -> DispatchDecision:
    """Record that the readings do not allow a measurement."""
    if not state.measured:
        yield pending(observation_events.NotMeasurable, reason=reason)


def remeasure(
    state: DispatchState,
    now: datetime,
    *,
    corrected_at: datetime,
    reason: str,
    figures: MeasurementFigures,
) -> DispatchDecision:
    """Record a measurement from corrected readings beside the earlier one. Nothing is recorded if it used the
    same readings.

    Raises MeasurementClosed, or NotAllowedNow before the first measurement.
    """
    if figures.data_hash == state.data_hash:
        return
    _require_open(state, now)
    yield pending(
        observation_events.Remeasured,
        revision=state.measurements + 1,
        corrected_at=corrected_at,
        previous_kw=state.delivered_kw,
        reason=reason,
        figures=figures,
    )


def withdraw_measurement(
    state: DispatchState, now: datetime, *, corrected_at: datetime, reason: str
) -> DispatchDecision:
    """Record that corrected readings no longer allow a measurement; without one, nothing is recorded."""
    _require_open(state, now)
    if state.delivered_kw is None:
        return
    yield pending(
        observation_events.MeasurementWithdrawn,
        revision=state.measurements + 1,
        corrected_at=corrected_at,
        previous_kw=state.delivered_kw,
        reason=reason,
    )


def _require_open(state: DispatchState, now: datetime) -> None:
    if not state.measured or not state.was_committed:
        raise NotAllowedNow(f"{state.facility_id} was not measured yet: there is nothing to correct")
    if now > state.ends_at + REMEASURED_FOR:
        raise MeasurementClosed(
            f"what {state.facility_id} delivered until {state.ends_at:%Y-%m-%d %H:%M} is final since "
            f"{state.ends_at + REMEASURED_FOR:%Y-%m-%d %H:%M}"
        )
